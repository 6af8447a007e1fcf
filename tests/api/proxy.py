"""A proxy in front of Postgres that loses connections around a commit, as networks do."""

import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import psycopg2
from sqlalchemy import URL, make_url

from models.db import app_engine

Moment = Literal["before", "after"]
COMMITTING = b"EXECUTE accept_insert"
CHUNK = 1 << 16


class Proxy:
    """Forwards bytes. When it is told to, it cuts the next connection that commits operations."""

    def __init__(self, upstream: URL) -> None:
        self._upstream = (upstream.host or "127.0.0.1", upstream.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._cuts: list[Moment] = []
        self.refusing = False
        self.on_cut: Callable[[], object] = lambda: None
        self._open: set[socket.socket] = set()
        self.url = upstream.set(host="127.0.0.1", port=self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *moments: Moment) -> None:
        """Cut the next commits: `before` they reach Postgres, or `after` they took place."""
        with self._lock:
            self._cuts += moments

    def drop_all(self) -> None:
        """Cut every connection."""
        for client in list(self._open):
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.refusing:
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._open.add(client)
        try:
            self._forward(client)
        finally:
            self._open.discard(client)

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as server, suppress(OSError):
            while True:
                readable, _, _ = select.select([client, server], [], [])
                for source in readable:
                    data = source.recv(CHUNK)
                    if not data:
                        return
                    moment = self._moment(data) if source is client else None
                    if moment == "before":
                        return
                    (server if source is client else client).sendall(data)
                    if moment == "after":
                        server.recv(CHUNK)  # Postgres has answered: it is committed
                        self.on_cut()
                        return

    def _moment(self, data: bytes) -> Moment | None:
        if COMMITTING not in data:
            return None
        with self._lock:
            return self._cuts.pop(0) if self._cuts else None


@contextmanager
def proxied(url: str) -> Iterator[Proxy]:
    """A proxy in front of the database that the address names."""
    proxy = Proxy(make_url(url))
    try:
        yield proxy
    finally:
        proxy.close()


def end_connections(url: str) -> int:
    """Let Postgres end all other connections of the address's role; how many there were."""
    connection = psycopg2.connect(url)
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE usename = current_user AND pid <> pg_backend_pid()"
        )
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])
    finally:
        connection.close()
        # What tests look with is not under test: it starts anew.
        app_engine().dispose()
