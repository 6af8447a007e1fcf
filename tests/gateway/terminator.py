"""A server's TLS: takes connections, shows a certificate, and passes on what it deciphers.

The servers that come with Trident are built without TLS, so in tests this stands before them.
"""

import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.gateway.authority import Pair

# How a client of Postgres asks for TLS, before anything else (PostgreSQL's protocol, SSLRequest).
SSL_REQUEST = struct.pack("!II", 8, 80877103)
CHUNK = 65_536
LOOK_EVERY_S = 0.05


class Terminator:
    """Connections that were deciphered are counted."""

    def __init__(self, pair: Pair, upstream: tuple[str, int], *, postgres: bool) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*pair)
        self._upstream = upstream
        self._postgres = postgres
        self._ended = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(LOOK_EVERY_S)
        self.port: int = self._listening.getsockname()[1]
        self.deciphered = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def stop(self) -> None:
        """End every thread."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def _accept(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                client, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(5)
        with client, suppress(OSError):
            if self._postgres:
                if client.recv(len(SSL_REQUEST), socket.MSG_WAITALL) != SSL_REQUEST:
                    return  # it asks in clear, which this server does not take
                client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as safe,
                socket.create_connection(self._upstream) as server,
            ):
                self.deciphered += 1
                self._pass_on(safe, server)

    def _pass_on(self, safe: ssl.SSLSocket, server: socket.socket) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(safe, selectors.EVENT_READ, server)
            ready.register(server, selectors.EVENT_READ, safe)
            while not self._ended.is_set():
                for key, _ in ready.select(LOOK_EVERY_S):
                    assert isinstance(key.fileobj, socket.socket)
                    data = key.fileobj.recv(CHUNK)
                    while isinstance(key.fileobj, ssl.SSLSocket) and key.fileobj.pending():
                        data += key.fileobj.recv(CHUNK)
                    if not data:
                        return
                    key.data.sendall(data)


@contextmanager
def terminated(
    pair: Pair, upstream: tuple[str, int], *, postgres: bool = False
) -> Iterator[Terminator]:
    """TLS before a server, as long as the context lasts."""
    made = Terminator(pair, upstream, postgres=postgres)
    try:
        yield made
    finally:
        made.stop()
