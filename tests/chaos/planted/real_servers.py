"""Real servers to plant bugs on: a Postgres and a Valkey of their own, and a ledger to harm."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from sqlalchemy import Engine, text

import pipeline.heads
import tasks.ring
from cli import stack
from cli.stack.home import HOME_MODE
from models.db import dispose_engines, make_engine
from models.key_ring import key_ring
from models.settings import settings
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger
from tests.chaos.planted.report import EscapedError


@contextmanager
def servers(template: Path | None) -> Iterator[Path]:
    """Postgres and Valkey in a home of their own, and the environment that leads to them."""
    with tempfile.TemporaryDirectory(prefix="trident-planted-") as name:
        home = Path(name).resolve()
        home.chmod(HOME_MODE)
        if template is not None:
            from tests.conftest import copy_home  # noqa: PLC0415 - only pytest has a template

            copy_home(template, home)
        kept = {n: v for n, v in os.environ.items() if not n.startswith("TRIDENT_")}
        with (
            mock.patch.dict(os.environ, kept, clear=True),
            stack.servers(home, any_ports=True) as env,
            mock.patch.dict(os.environ, env),
        ):
            forget_servers()
            yield home
            dispose_engines()
    forget_servers()


def forget_servers() -> None:
    """What this process knows about servers; it reads the environment anew."""
    dispose_engines()
    for cached in (settings, key_ring, tasks.ring.broker, pipeline.heads.store):
        cached.cache_clear()


def owner(*statements: str) -> list[Any]:
    """Statements as the owner of the tables; the rows of the last one."""
    url = settings().owner_database_url
    assert url is not None
    engine: Engine = make_engine(url, statement_timeout_ms=10_000, trusted=True)
    rows: list[Any] = []
    with engine.begin() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
            rows = list(result) if result.returns_rows else []
    engine.dispose()
    return rows


def expect(true: bool, what: str) -> None:
    """Raise EscapedError with `what` did not come true."""
    if not true:
        raise EscapedError(what)


def prepared(tenant_id: int = 1) -> Bank:
    """A ledger with an account `a` of 100 and `b` of nothing."""
    bank = Bank(new_ledger(tenant_id))
    bank.fund("a", 100)
    bank.open("b")
    bank.work()
    return bank


def first_fault(bank: Bank) -> str:
    """What `trident verify` says first; raises EscapedError if it finds nothing."""
    for finding in verify(bank.ledger):
        if finding.fault is not None:
            return f"trident verify: {finding.check}: {finding.fault}"
    raise EscapedError("`trident verify` finds nothing")
