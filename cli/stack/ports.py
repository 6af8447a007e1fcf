"""Ports on the loopback interface: the usual ones, or free ones when those are taken."""

import errno
import socket

import psutil

HOST = "127.0.0.1"

# Ports that people expect, or that lie clear of a server which the machine may run already
# (PostgreSQL's 5432 and Redis' 6379, with a zero).
API = 8080
FLOWER = 5555
POSTGRES = 54320
VALKEY = 63790
ANY = 0


class Port:
    """A port kept for one of our servers: no other stack gets it, even while that server is down.

    The socket is bound and does not listen. With SO_REUSEADDR on both, our server may bind it too.
    """

    def __init__(self, usual: int) -> None:
        self._socket = _bind(usual) or _bind(ANY)
        assert self._socket is not None
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.number: int = self._socket.getsockname()[1]

    def close(self) -> None:
        """Let the port go."""
        assert self._socket is not None
        self._socket.close()


def _bind(number: int) -> socket.socket | None:
    """A socket bound to the port, or None when somebody has it."""
    for reuse in (False, True):
        held = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
        try:
            held.bind((HOST, number))
        except OSError as error:
            held.close()
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
        else:
            return held
        if not _only_echoes(number):
            return None
    return None


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
