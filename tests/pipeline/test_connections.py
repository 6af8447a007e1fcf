"""Connections: a role or a server that would not keep the promises is refused when it is met."""

import psycopg2
import pytest

from models.db import (
    INTAKE_TIMEOUT_MS,
    STAGE_TIMEOUT_MS,
    UnsafeServer,
    app_engine,
    check_server,
    intake_engine,
    make_engine,
)


def test_the_owner_is_refused_as_the_application(env: dict[str, str]) -> None:
    """A role that owns tables is not let in where the application's role belongs."""
    engine = make_engine(env["TRIDENT_OWNER_DATABASE_URL"], statement_timeout_ms=5000)
    with pytest.raises(UnsafeServer, match="trident_owner is a superuser, bypasses"):
        engine.connect()
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
