"""The embedded PostgreSQL: our own child in the foreground, on the loopback interface."""

import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password

from cli.stack import datadir
from cli.stack.child import Spec
from cli.stack.errors import StackError
from cli.stack.home import Home
from cli.stack.ports import HOST
from cli.stack.saying import Say
from cli.stack.supervisor import Supervisor
from cli.stack.user import User
from models import outside

NAME = "postgres"
DATABASE = "trident"
OWNER = "trident_owner"
APP = "trident_app"
SWEEPER = "trident_sweeper"

# Replaying max_wal_size of WAL after a kill takes about a minute on a slow disk.
UP_WITHIN_S = 180.0
# A fast shutdown writes a checkpoint: up to shared_buffers, and every dirty page of the cache.
GRACE_S = 60.0
STOP_RANK = 2

SETTINGS = {
    # What a 202 rests on. models/db.py refuses a server that has them otherwise.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    # Everything connects over TCP with a password; a socket's path could grow too long.
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # An API process holds up to 40 connections, a worker child 5, commands a few (models/db.py).
    "max_connections": "100",
    # The hot end of the log, its indexes and the accounts. The kernel caches the rest.
    "shared_buffers": "256MB",
    # What the planner may count on from both caches on a machine of 4 GB or more.
    "effective_cache_size": "1GB",
    # Enough to sort or hash a run of 10,000 operations without a file.
    "work_mem": "16MB",
    # One WAL segment: group commits of a busy bulk load find room without waiting for a write.
    "wal_buffers": "16MB",
    # At the bulk rate 100 MB of WAL are written in a second: at most one checkpoint in 40 s.
    "max_wal_size": "4GB",
    # Files kept for reuse: creating a segment costs more than writing one.
    "min_wal_size": "512MB",
    # The time that a checkpoint is spread over, so that its writes do not stop the commits.
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # The wheel is built without lz4, and pglz costs more CPU than the bytes that it saves here.
    "wal_compression": "off",
    # Compiling takes longer than any statement of ours runs.
    "jit": "off",
    # Two cores, both busy with stages: a parallel plan would take one from the ledger next door.
    "max_parallel_workers_per_gather": "0",
    # Local flash reads any page about as fast as the next one.
    "random_page_cost": "1.1",
    # Append-only tables grow without dead rows: they are visited when 5 % is new (not 20 %), so
    # that index-only scans stay such and freezing comes in small portions.
    "autovacuum_vacuum_insert_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    # `accounts` changes with every run: look every 15 s (not 60), two at a time on two cores, and
    # with five times the usual budget of pages, or vacuum falls behind a bulk load.
    "autovacuum_naptime": "15s",
    "autovacuum_max_workers": "2",
    "autovacuum_vacuum_cost_limit": "1000",
    # What is worth a line: an error, and a wait for a lock. Statements, and the rows and keys that
    # errors quote in their details, hold what people wrote, and nobody erases logs.
    "log_min_error_statement": "panic",
    "log_min_duration_statement": "-1",
    "log_error_verbosity": "terse",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %u %a ",
}


def start(
    supervisor: Supervisor,
    home: Home,
    port: int,
    secrets: dict[str, str],
    say: Say,
) -> None:
    """Start the server and wait until it answers; makes the database and its owner if need be."""
    user = datadir.make_ready(home, secrets[datadir.SUPERUSER], say)
    supervisor.start(_spec(home, port, user))

    def up() -> bool:
        # Who answers may be a stranger's server, while ours dies because that has the port.
        return datadir.is_served_by(home, supervisor.pid(NAME)) and _answers(port, secrets, home)

    supervisor.wait_until(NAME, up, UP_WITHIN_S)
    _bootstrap(port, secrets)


def url(port: int, role: str, secrets: dict[str, str]) -> str:
    """The database's address for one of its roles, as SQLAlchemy and psycopg2 read it."""
    return f"postgresql://{role}:{secrets[role]}@{HOST}:{port}/{DATABASE}"


def _spec(home: Home, port: int, user: User | None) -> Spec:
    settings = {"port": str(port), **SETTINGS}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return Spec(
        name=NAME,
        command=[str(datadir.binary("postgres")), "-D", str(home.postgres), *options],
        env={"LC_ALL": "C", "TZ": "UTC"},
        cwd=Path("/"),  # its user may not be let into ours; it goes to its data directory itself
        log=home.log(NAME),
        rank=STOP_RANK,
        stop_signal=signal.SIGINT,  # a fast shutdown: ends sessions, writes a checkpoint
        grace_s=GRACE_S,
        user=user,
    )


def _answers(port: int, secrets: dict[str, str], home: Home) -> bool:
    try:
        _connect(port, secrets).close()
    except psycopg2.OperationalError as error:
        if "authentication failed" in str(error):
            raise StackError(
                f"{home.secrets} does not hold the password of the data in {home.postgres}. Put"
                " back the secrets.json that was there when the data was made."
            ) from None
        return False
    return True


def _connect(port: int, secrets: dict[str, str], database: str = "postgres") -> Any:
    connection = psycopg2.connect(
        host=HOST,
        port=port,
        user=datadir.SUPERUSER,
        password=secrets[datadir.SUPERUSER],
        dbname=database,
        connect_timeout=3,
    )
    connection.autocommit = True
    return connection


def _bootstrap(port: int, secrets: dict[str, str]) -> None:
    """Make the owner and its database, where no other role writes outside of tables: all that the
    superuser is ever used for."""
    with closing(_connect(port, secrets)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (OWNER,))
        if cursor.rowcount == 0:
            role = sql.Identifier(OWNER)
            cursor.execute(
                sql.SQL("CREATE ROLE {} LOGIN CREATEROLE PASSWORD %s").format(role),
                (encrypt_password(secrets[OWNER], OWNER, connection, "scram-sha-256"),),
            )
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,))
        if cursor.rowcount == 0:
            names = sql.Identifier(DATABASE), sql.Identifier(OWNER)
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
    with closing(_connect(port, secrets, DATABASE)) as connection, connection.cursor() as cursor:
        cursor.execute(outside.SHUT)
