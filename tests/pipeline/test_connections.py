"""Connections: a role or a server that would not keep the promises is refused when it is met.

And what becomes of a run whose connection the database has ended.
"""

import time
from contextlib import suppress

import psycopg2
import pytest
from sqlalchemy import text

from models.db import (
    INTAKE_TIMEOUT_MS,
    STAGE_TIMEOUT_MS,
    UnsafeServer,
    app_engine,
    check_server,
    intake_engine,
    make_engine,
)
from pipeline.drain import EFFECTS
from pipeline.stage import Claim
from tests.bank import Bank

# Much longer than the database bears with here.
SILENT_S = 0.2


def test_the_owner_is_refused_as_the_application(env: dict[str, str]) -> None:
    """A role that owns tables is not let in where the application's role belongs."""
    engine = make_engine(env["TRIDENT_OWNER_DATABASE_URL"], statement_timeout_ms=5000)
    with pytest.raises(UnsafeServer, match="trident_owner is a superuser, bypasses"):
        engine.connect()
    engine.dispose()


def test_a_role_that_could_hide_tables_is_refused(env: dict[str, str]) -> None:
    """As where a dump was restored into a database whose rights nobody took away."""
    owner = make_engine(env["TRIDENT_OWNER_DATABASE_URL"], statement_timeout_ms=5000, trusted=True)
    engine = make_engine(env["TRIDENT_DATABASE_URL"], statement_timeout_ms=5000)
    with owner.connect() as connection:
        connection.execute(text("GRANT TEMPORARY ON DATABASE trident TO PUBLIC"))
        connection.commit()
        try:
            with pytest.raises(UnsafeServer, match="REVOKE TEMPORARY ON DATABASE trident"):
                engine.connect()
        finally:
            connection.execute(text("REVOKE TEMPORARY ON DATABASE trident FROM PUBLIC"))
            connection.commit()
    engine.connect().close()
    owner.dispose()
    engine.dispose()


@pytest.mark.parametrize(
    ("name", "value"),
    [("synchronous_commit", "off"), ("default_transaction_isolation", "serializable")],
)
def test_a_server_that_would_lose_what_it_confirmed_is_refused(
    env: dict[str, str], name: str, value: str
) -> None:
    """What durability and isolation rest on is asked of each connection."""
    url = env["TRIDENT_DATABASE_URL"]
    connection = psycopg2.connect(url, options=f"-c {name}={value}")
    with pytest.raises(UnsafeServer, match=f"{name} = {value}, must be"):
        check_server(connection)
    connection.close()


def test_every_wait_in_the_database_ends(env: dict[str, str]) -> None:
    """Statements, locks and idle transactions have finite time-outs, intake's the shortest."""
    for engine, statement_ms in ((app_engine(), STAGE_TIMEOUT_MS), (intake_engine(), 3000)):
        engine.dispose()  # other tests cut connections: ask a new one
        with engine.connect() as connection:
            cursor = connection.connection.cursor()
            cursor.execute(
                "SELECT name, setting::int FROM pg_settings WHERE name IN ('statement_timeout',"
                " 'lock_timeout', 'idle_in_transaction_session_timeout')"
            )
            found = dict(cursor.fetchall())
        assert found["statement_timeout"] == statement_ms
        assert all(0 < timeout_ms <= 15_000 for timeout_ms in found.values())
    assert INTAKE_TIMEOUT_MS == 3000


def test_a_run_that_computes_for_too_long_is_halved(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database ends a transaction that says nothing; the same again would never end."""
    good, sizes = EFFECTS["post"], []

    def slow(work: Claim) -> None:
        sizes.append(work.alone.last - work.alone.first + 1)
        if sizes[-1] > 2:
            work.cursor.execute("SET LOCAL idle_in_transaction_session_timeout = 20")
            time.sleep(SILENT_S)
        good(work)

    monkeypatch.setitem(EFFECTS, "post", slow)
    monkeypatch.setattr("pipeline.drain.SILENCE_ENDS_AFTER_S", SILENT_S / 2)
    opened = [bank.open(f"a{n}") for n in range(8)]
    for _ in range(6):
        with suppress(psycopg2.Error):
            bank.work()
    assert sizes[0] == len(opened)
    assert [bank.status(one) for one in opened] == ["posted"] * len(opened)
