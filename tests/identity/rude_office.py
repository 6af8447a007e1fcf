"""Mail servers that do not do what they should."""

import socket
import threading
from contextlib import suppress
from typing import Self

from cli.stack.ports import HOST

DRIPS_EVERY_S = 0.05


class _Rude:
    """Listens on loopback, and does to each connection what its class does."""

    def __init__(self) -> None:
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection, suppress(OSError):
                    self.answer(connection)

    def answer(self, connection: socket.socket) -> None:
        """What it does to one who comes."""
        raise NotImplementedError


class Dripping(_Rude):
    """Greets, and then answers letter by letter, and never comes to an end."""

    def answer(self, connection: socket.socket) -> None:
        """Until nobody listens any more."""
        connection.sendall(b"220 here\r\n250-")
        while not self._closing.wait(DRIPS_EVERY_S):
            connection.sendall(b"x")


class Dropping(_Rude):
    """Takes every mail, and hangs up without a word about it."""

    def __init__(self) -> None:
        super().__init__()
        self.came = 0

    def answer(self, connection: socket.socket) -> None:
        """One after the other."""
        with connection.makefile("rb") as words:
            connection.sendall(b"220 here\r\n")
            for line in words:
                if line == b".\r\n":
                    self.came += 1
                    return
                if line[:4].upper() == b"DATA":
                    connection.sendall(b"354 go on\r\n")
                elif line[:4].upper() in (b"EHLO", b"MAIL", b"RCPT"):
                    connection.sendall(b"250 fine\r\n")


class Silent(_Rude):
    """Never says a word."""

    def answer(self, connection: socket.socket) -> None:
        """Until nobody is there any more."""
        while connection.recv(1024):
            pass
