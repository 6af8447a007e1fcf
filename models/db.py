"""Connections to Postgres: one engine per process and role, checked when a connection is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text

from models.settings import SettingsError, settings

# Every wait in the database ends. Intake must answer within its own deadline (3 s); a stage's
# run of 10,000 operations takes about a second, so ten are an accident, not work.
INTAKE_TIMEOUT_MS = 3_000
STAGE_TIMEOUT_MS = 10_000
LOCK_TIMEOUT_MS = 2_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 15_000
# Threads of one process that may hold a connection at the same time, and how many more in a rush.
POOL_SIZE = 5
POOL_OVERFLOW = 15
POOL_WAIT_S = 3
# The API keeps up to 20 connections open instead of opening them in each rush (10 ms each): four
# writers and the listener hold theirs, the rest is for requests that read.
INTAKE_POOL_SIZE = 20

# What durability and isolation rest on; a server set otherwise is refused at the first connection.
REQUIRED = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
}


class UnsafeServer(SettingsError):
    """The database server or role would not keep Trident's promises."""


def make_engine(
    url: str,
    *,
    statement_timeout_ms: int,
    pool_size: int = POOL_SIZE,
    trusted: bool = False,
) -> Engine:
    """An engine whose every new connection is checked; `trusted` skips the role check (owner)."""
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg2"),
        pool_size=pool_size,
        max_overflow=POOL_OVERFLOW,
        pool_timeout=POOL_WAIT_S,
        pool_pre_ping=False,
        hide_parameters=True,  # an error's text goes to the logs, what people wrote does not
        connect_args={
            "application_name": "trident",
            "connect_timeout": 3,
            "keepalives": 1,
            "keepalives_idle": 5,
            # A network that swallows what was sent is noticed after 10 s, not after 15 minutes.
            "tcp_user_timeout": 10_000,
            "options": (
                f"-c statement_timeout={statement_timeout_ms} -c lock_timeout={LOCK_TIMEOUT_MS}"
                f" -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_MS}"
                " -c timezone=UTC"
            ),
        },
    )

    @event.listens_for(engine, "connect")
    def _check(connection: Any, _record: Any) -> None:
        check_server(connection)
        if not trusted:
            check_role(connection)
        connection.rollback()

    return engine


def check_server(connection: Any) -> None:
    """Refuse a server whose settings would lose what we have called durable."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name = ANY(%s)", (list(REQUIRED),)
        )
        found = dict(cursor.fetchall())
    wrong = [f"{k} = {found.get(k)}, must be {v}" for k, v in REQUIRED.items() if found.get(k) != v]
    if wrong:
        raise UnsafeServer(f"The Postgres server is not safe for money: {'; '.join(wrong)}.")


def check_role(connection: Any) -> None:
    """Refuse a role that row-level security or the append-only guards would not bind."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rolsuper OR rolbypassrls, rolname,"
            " EXISTS (SELECT FROM pg_class WHERE relowner = r.oid AND relkind = 'r'),"
            " current_database(), has_database_privilege(current_database(), 'TEMPORARY')"
            " FROM pg_roles r WHERE rolname = current_user"
        )
        unbound, name, owns, database, shadows = cursor.fetchone()
    if unbound or owns:
        raise UnsafeServer(
            f"Role {name} is a superuser, bypasses row-level security or owns tables. Let"
            " TRIDENT_DATABASE_URL name trident_app, and TRIDENT_OWNER_DATABASE_URL the owner."
        )
    # A migration took that away; a dump that is restored into another database gives it back.
    if shadows:
        raise UnsafeServer(
            f"Role {name} may make temporary tables in {database}, and could hide the real ones"
            f" behind them. As its owner: REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"
        )


@lru_cache
def app_engine() -> Engine:
    """For stages and commands: the app role."""
    return make_engine(settings().database_url, statement_timeout_ms=STAGE_TIMEOUT_MS)


@lru_cache
def intake_engine() -> Engine:
    """For requests: the app role, with the short timeout that a caller waits for."""
    return make_engine(
        settings().database_url,
        statement_timeout_ms=INTAKE_TIMEOUT_MS,
        pool_size=INTAKE_POOL_SIZE,
    )


@lru_cache
def sweeper_engine() -> Engine:
    """The role that reads the progress of all tenants and nothing else."""
    url = settings().sweeper_database_url
    if url is None:
        raise SettingsError("TRIDENT_SWEEPER_DATABASE_URL is not set: the sweeper needs its role.")
    return make_engine(url, statement_timeout_ms=STAGE_TIMEOUT_MS)


@contextmanager
def owner_engine() -> Iterator[Engine]:
    """The owner's, for commands that look after the installation; raises SettingsError."""
    url = settings().owner_database_url
    if url is None:
        raise SettingsError(
            "TRIDENT_OWNER_DATABASE_URL is not set: only the owner of the database may do this."
        )
    engine = make_engine(url, statement_timeout_ms=STAGE_TIMEOUT_MS, trusted=True)
    try:
        yield engine
    finally:
        engine.dispose()


def dispose_engines() -> None:
    """Forget every pool, without closing what a parent process may still use (after a fork)."""
    for maker in (app_engine, intake_engine, sweeper_engine):
        if maker.cache_info().currsize:
            maker().dispose(close=False)
        maker.cache_clear()


@contextmanager
def tenant_reading(tenant_id: int, engine: Engine | None = None) -> Iterator[Connection]:
    """One REPEATABLE READ READ ONLY transaction of a tenant: rows and progress from one moment."""
    with (engine or app_engine()).connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            set_tenant(connection, tenant_id)
            yield connection


@contextmanager
def tenant_writing(tenant_id: int, engine: Engine | None = None) -> Iterator[Connection]:
    """One READ COMMITTED transaction of a tenant, committed at the end."""
    with (engine or app_engine()).begin() as connection:
        set_tenant(connection, tenant_id)
        yield connection


def set_tenant(connection: Connection, tenant_id: int) -> None:
    """Tell row-level security, for this transaction, whose rows there are."""
    connection.execute(
        text("SELECT set_config('trident.tenant', :tenant, true)"), {"tenant": str(tenant_id)}
    )


@contextmanager
def raw_connection(engine: Engine) -> Iterator[Any]:
    """A psycopg2 connection in autocommit mode, for the hot paths that write their own BEGIN.

    psycopg2 sends BEGIN as a round trip of its own; the hot paths put it into the first statement.
    A connection that comes back inside a transaction, or broken, is thrown away.
    """
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    assert connection is not None
    try:
        connection.autocommit = True
        yield connection
    except BaseException:
        pooled.invalidate()
        raise
    else:
        if connection.closed:  # it broke at a ROLLBACK, which nobody minds
            pooled.invalidate()
    finally:
        if not connection.closed:
            idle = connection.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE
            assert idle, "a hot path left its transaction open"
            connection.autocommit = False
        pooled.close()
