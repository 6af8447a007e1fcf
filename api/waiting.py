"""`Prefer: wait=N`: requests that wait until their operation is final.

One thread listens for what `notify` tells when its run commits, and wakes whom it concerns. Waiting
requests are fewer than the server's threads, so that there is always a thread left to accept with.
A listener that lost its connection wakes everybody when it is back: they look for themselves.
"""

import re
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
import structlog
from flask import request
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from models.db import raw_connection
from models.ledger import LedgerRef
from models.settings import SettingsError
from pipeline.notify import CHANNEL

# The Procfile gives the server 64 threads; sixteen are left to those that do not wait.
WAITERS_MAX = 48
# The longest wait that is granted, however long was asked for: proxies commonly cut at 60 s.
WAIT_MAX_S = 30
# Between attempts to listen again after the database went away.
RECONNECT_S = 0.5
# A connection on which nothing was heard for so long is asked whether it still lives.
QUIET_S = 10.0

# RFC 7240: preferences are separated by commas; what cannot be understood is ignored.
WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;[^,]*)?(?=,|$)', re.IGNORECASE)

log = structlog.get_logger("trident.waiting")


def wanted_wait_s(default: int = 0) -> int:
    """How long the request asks to wait, in whole seconds; at most WAIT_MAX_S."""
    found = WAIT.search(request.environ.get("HTTP_PREFER", ""))
    return min(int(found[1]), WAIT_MAX_S) if found else default


class Watch:
    """One request's interest in one ledger, from before its operation is stored."""

    def __init__(self) -> None:
        self._heard = 0
        self._position: int | None = None
        self._woken = threading.Event()

    def wait(self, position: int, due: float) -> bool:
        """Wait until the position may be final; False when `due` (time.monotonic()) comes first."""
        self._position = position
        if self._heard >= position:
            return True
        woken = self._woken.wait(max(due - time.monotonic(), 0))
        self._woken.clear()
        return woken

    def hear(self, last: int) -> None:
        """Everything up to `last` is final."""
        # `wait` writes its position before it reads what was heard, here it is the other way round:
        # whoever comes second sees the other, and no wake-up falls between.
        self._heard = max(self._heard, last)
        if self._position is not None and last >= self._position:
            self._woken.set()

    def look_again(self) -> None:
        """Something may have been missed."""
        self._woken.set()


class Listener:
    """The listening thread of one process, and those who wait for what it hears."""

    def __init__(self, engine: Engine, waiters_max: int = WAITERS_MAX) -> None:
        self._engine = engine
        self._watches: dict[int, set[Watch]] = {}
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(waiters_max)
        self._trouble: str | None = "not listening yet"
        self._stop, self._stopped = socket.socketpair()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trident-listener", daemon=True)
        self._thread.start()

    @contextmanager
    def watch(self, ledger: LedgerRef, wait_s: int) -> Iterator[Watch | None]:
        """Listen for the ledger within the context. None: no wait is wanted, or too many wait."""
        if not wait_s or not self._free.acquire(blocking=False):
            yield None
            return
        watch = Watch()
        with self._lock:
            self._watches.setdefault(ledger.ledger_id, set()).add(watch)
        try:
            yield watch
        finally:
            with self._lock:
                watches = self._watches[ledger.ledger_id]
                watches.discard(watch)
                if not watches:
                    del self._watches[ledger.ledger_id]
            self._free.release()

    def trouble(self) -> str | None:
        """Why nobody is told of anything just now, or None."""
        return self._trouble if self._thread.is_alive() else "its thread died"

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._stop.send(b".")
        self._thread.join()
        self._stop.close()
        self._stopped.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with raw_connection(self._engine) as connection:
                    connection.cursor().execute(f"LISTEN {CHANNEL}")
                    self._trouble = None
                    self._wake_all()
                    self._listen(connection)
                    connection.cursor().execute("UNLISTEN *")
            except (psycopg2.Error, SQLAlchemyError, SettingsError, OSError, ValueError) as error:
                self._trouble = f"the database is away ({type(error).__name__})"
                log.warning("listener_lost", error=str(error))
                self._stopping.wait(RECONNECT_S)

    def _listen(self, connection: Any) -> None:
        while not self._stopping.is_set():
            readable, _, _ = select.select([connection, self._stopped], [], [], QUIET_S)
            if not readable:
                connection.cursor().execute("SELECT 1")
            connection.poll()
            while connection.notifies:
                self._hear(connection.notifies.pop(0).payload)

    def _hear(self, word: str) -> None:
        """`tenant:ledger:last`, as pipeline.notify says it."""
        _tenant, ledger_id, last = map(int, word.split(":"))
        with self._lock:
            for watch in self._watches.get(ledger_id, ()):
                watch.hear(last)

    def _wake_all(self) -> None:
        with self._lock:
            for watches in self._watches.values():
                for watch in watches:
                    watch.look_again()
