"""A ledger, the stages working it in a thread, and `trident` called as a person would."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import CliRunner, Result
from sqlalchemy.exc import DBAPIError

from cli.importing import import_accounts
from cli.main import trident as command
from models.db import tenant_reading
from models.ledger import LedgerRef
from pipeline.drain import drain
from pipeline.events import Wanted, read_page
from pipeline.stage import STAGES
from tests.bank import Bank, new_ledger
from tests.cli.sheets import ACCOUNTS

Trident = Callable[..., Result]

IDLE_S = 0.005


@pytest.fixture
def bank(env: dict[str, str]) -> Bank:
    """An empty ledger."""
    return Bank(new_ledger())


@pytest.fixture
def trident(env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trident:
    """Run `trident` with these words in a folder of its own; what is no bug is a result."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str | Path, stdin: str | None = None) -> Result:
        result = CliRunner().invoke(command, [str(word) for word in words], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


def told(action: str, tenant_id: int = 1) -> list[dict[str, Any]]:
    """The bodies of a tenant's last events of this action, newest first."""
    with tenant_reading(tenant_id) as connection:
        found = read_page(connection, tenant_id, Wanted(10, action=action))
    return [one.body for one in found.events]


@contextmanager
def working(ledger: LedgerRef) -> Iterator[None]:
    """Every stage of the ledger works, as workers would, while the context lasts."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(IDLE_S):
            for stage in STAGES:
                with suppress(psycopg2.Error, DBAPIError):  # the next round goes on
                    drain(stage, ledger)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def at_work(bank: Bank) -> Iterator[Bank]:
    """The ledger, its stages at work."""
    with working(bank.ledger):
        yield bank


@pytest.fixture
def opened(at_work: Bank, tmp_path: Path) -> Bank:
    """A ledger at work with three accounts, opened from a file."""
    path = tmp_path / "accounts.csv"
    path.write_text(ACCOUNTS)
    assert import_accounts(path, at_work.ledger).posted == 3
    return at_work
