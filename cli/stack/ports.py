"""Ports on the loopback interface: the usual ones, or free ones when those are taken."""

import errno
import socket

import psutil

from cli.stack.errors import StackError

HOST = "127.0.0.1"

# Ports that people expect, or that lie clear of a server which the machine may run already
# (PostgreSQL's 5432 and Redis' 6379, with a zero).
API = 8080
FLOWER = 5555
POSTGRES = 54320
VALKEY = 63790
ANY = 0
# A port that the system picks may be somebody's by UDP; as many in a row are not.
TRIES = 10


class Port:
    """A port kept for one of our servers: no other stack gets it, even while that server is down.

    Two sockets keep it. One is bound and does not listen: strangers find the port taken, and our
    server, with SO_REUSEADDR on both, may bind it too. So might a second stack, where a server
    that has gone left closed connections on the port; the other socket is what stacks know of
    each other by: the same number, of UDP, which nobody can share.
    """

    def __init__(self, usual: int) -> None:
        sockets = next(filter(None, map(_claimed, (usual, *[ANY] * TRIES))), None)
        if sockets is None:
            raise StackError(f"{HOST} has no free port left: end what holds them, and start again.")
        self._held, self._claim = sockets
        self._held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._held.getsockname()[1]

    def close(self) -> None:
        """Let the port go."""
        self._held.close()
        self._claim.close()


def _claimed(number: int) -> tuple[socket.socket, socket.socket] | None:
    """The two sockets that keep a port, or None when somebody has it."""
    held = _bound(socket.SOCK_STREAM, number) or _bound_again(number)
    if held is None:
        return None
    claim = _bound(socket.SOCK_DGRAM, held.getsockname()[1])
    if claim is None:
        held.close()
        return None
    return held, claim


def _bound_again(number: int) -> socket.socket | None:
    """A socket on a port that closed connections alone keep us from, or None."""
    return _bound(socket.SOCK_STREAM, number, reuse=True) if _only_echoes(number) else None


def _bound(kind: socket.SocketKind, number: int, *, reuse: bool = False) -> socket.socket | None:
    """A socket bound to the port, or None when somebody has it."""
    made = socket.socket(socket.AF_INET, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    try:
        made.bind((HOST, number))
    except OSError as error:
        made.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return None
    return made


def _only_echoes(number: int) -> bool:
    """Is the port taken by nothing but the closed connections of a server that has gone?

    Those last a minute, and a restart within it shall find its usual port. Where the list of
    connections is not to be had (macOS, without root) the answer is no: another port is used.
    """
    try:
        connections = psutil.net_connections("tcp4")
    except psutil.AccessDenied:
        return False
    states = {c.status for c in connections if c.laddr and c.laddr.port == number}
    return states == {psutil.CONN_TIME_WAIT}
