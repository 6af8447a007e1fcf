"""Rotation while a file is imported and requests are served: nothing fails, everything opens."""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from flask import Flask

from api.app import create_app
from api.state import NAME
from cli.importing import import_operations
from models.db import owner_engine
from models.key_ring import key_ring
from models.ledger import LedgerRef
from pipeline import rewrap
from tests.api.caller import Caller
from tests.bank import Bank, transfer
from tests.cli.test_keys import entry, file
from tests.cli.test_personal_files import CANARY, line

__all__ = ["file"]

ROWS, SUBJECTS = 2_000, 250
REQUESTS_LEAST = 20


@pytest.fixture
def app(env: dict[str, str]) -> Iterator[Flask]:
    """An app; the import's thread works what it takes in."""
    made = create_app(ring=lambda _ledger, _upto: None)
    yield made
    made.extensions[NAME].stop()


class Asking:
    """Requests with personal data, one after the other, until it is stopped."""

    def __init__(self, app: Flask, ledger: LedgerRef) -> None:
        self.stopped = threading.Event()
        self.statuses: list[int] = []
        self._caller = Caller(app, ledger.name)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """End it."""
        self.stopped.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count(1):
            body = {"kind": "transfer", **transfer("world", "ada", 1)}
            about = {"subject": f"asked-{number % SUBJECTS}", "name": CANARY}
            answer = self._caller.submit(body | {"personal": about}, f"asked-{number}")
            read = self._caller.get("operations?limit=5")
            self.statuses += [answer.status_code, read.status_code]
            if self.stopped.is_set() and number >= REQUESTS_LEAST:
                return


def test_nothing_fails_while_keys_are_rotated(
    opened: Bank, app: Flask, file: Path, tmp_path: Path
) -> None:
    """Two new KEKs, the older ones taken away behind each: then all of it still opens."""
    path = tmp_path / "ops.ndjson"
    lines = (line(f"row-{n}", f"imported-{n % SUBJECTS}") for n in range(ROWS))
    path.write_text("\n".join(lines))
    asking = Asking(app, opened.ledger)
    importing = threading.Thread(target=lambda: import_operations(path, opened.ledger))
    importing.start()
    try:
        for name in ("kek-second", "kek-third"):
            file.write_text(entry(name) + file.read_text())
            rotate()
        importing.join()
    finally:
        asking.stop()
    rotate()
    file.write_text(file.read_text().splitlines()[0] + "\n")
    key_ring.cache_clear()
    assert set(asking.statuses) <= {200, 202}
    opens(app, opened.ledger)


def rotate() -> None:
    """Wrap everything under the current KEK."""
    with owner_engine() as engine:
        for one in rewrap.COLUMNS:
            assert not rewrap.rewrap(engine, key_ring(), one).stuck


def opens(app: Flask, ledger: LedgerRef) -> None:
    """Every operation that names somebody, in clear."""
    caller, after, seen = Caller(app, ledger.name), "", 0
    while True:
        page = caller.get(f"operations?kind=transfer&limit=100{after}").json or {}
        named = [one["personal"]["name"] for one in page["data"] if "personal" in one]
        assert set(named) <= {CANARY}
        seen += len(named)
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen >= ROWS + REQUESTS_LEAST
