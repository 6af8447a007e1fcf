"""Bugs that need the real servers to show: each on a Postgres and a Valkey of its own.

Where two layers guard, each is taken away alone first, and the other holds; then both go.
"""

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import psutil
import psycopg2
from sqlalchemy import Engine, text

import models.db
import pipeline.accept
import pipeline.accounts
import pipeline.heads
import pipeline.validate
import tasks.ring
from cli import stack
from cli.stack import postgres
from cli.stack.home import HOME_MODE, Home
from cli.stack.register import read as read_processes
from models.db import app_engine, dispose_engines, make_engine, raw_connection, tenant_reading
from models.ledger import LedgerRef
from models.settings import settings
from pipeline.accept import LOOK_UP, Accepted, Receipt, Submission, rollback
from pipeline.stage import (
    FETCH,
    RUN_BYTES,
    RUN_OPERATIONS,
    Claim,
    MissingOperationsError,
    Operation,
    claim,
    operations,
)
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger, transfer
from tests.chaos.planted.report import Caught, EscapedError

# Scenarios, by the bug's name; each returns what caught it.
Scenario = Callable[[Path | None], str]

DROP_UNIQUE_KEY = "ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey"
NO_POLICY = (
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
)
WRONG_TENANT = "SELECT set_config('trident.tenant', '999999', true)"
RIGHT_TENANT = "SELECT set_config('trident.tenant', %(tenant)s::text, true)"
# Acknowledged before the kill: enough to take longer than one round of any background process,
# and less than the megabyte of WAL at which the WAL writer would be woken.
ACKNOWLEDGED = 300
UP_AGAIN_S = 60.0
LOOK_AGAIN_S = 0.1


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
    for cached in (settings, tasks.ring.broker, pipeline.heads.store):
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


# Unique keys dropped.


class BlindLookUp:
    """accept's look-up, which asks for no key."""

    def on(self, cursor: Any) -> str:
        """As Prepared.on."""
        sees = LOOK_UP.on(cursor)
        blind = sees.replace("%(hashes)s", "'{}'")
        assert blind != sees
        return blind


def keys_not_looked_up() -> Any:
    """accept inserts without asking which keys are known."""
    return mock.patch.object(pipeline.accept, "LOOK_UP", BlindLookUp())


def pay_twice(bank: Bank, key: str) -> int:
    """The same request two times; how much was paid."""
    before = bank.balance("b")
    for _ in range(2):
        with suppress(psycopg2.errors.UniqueViolation):
            bank.transfer("a", "b", 10, key=key)
    bank.work()
    return bank.balance("b") - before


def unique_keys_dropped(template: Path | None) -> str:
    """accept's look-up and the unique key both go: then a repeated request pays twice."""
    with servers(template):
        bank = prepared()
        expect(pay_twice(bank, "control") == 10, "paid other than once without the bug")
        with keys_not_looked_up():
            expect(pay_twice(bank, "guard") == 10, "the unique key alone does not hold")
        owner(DROP_UNIQUE_KEY)
        expect(pay_twice(bank, "look-up") == 10, "the look-up alone does not hold")
        with keys_not_looked_up():
            expect(pay_twice(bank, "both") == 20, "the bug did no harm")
        return first_fault(bank)


# Keys kept only in Redis.


def accept_by_redis(
    connection: Any, ledger: LedgerRef, submissions: Sequence[Submission], max_lag: int
) -> list[Receipt]:
    """What many services do: the key is looked up in Redis, and nowhere else."""
    (submission,) = submissions
    name = f"idempotency:{ledger.ledger_id}:{submission.key}"
    known: Any = tasks.ring.broker().get(name)
    if known is not None:
        return [Receipts[int(known)]]
    (receipt,) = pipeline.accept.accept(connection, ledger, submissions, max_lag)
    assert isinstance(receipt, Accepted)
    Receipts[receipt.position] = receipt._replace(replayed=True)
    tasks.ring.broker().set(name, receipt.position)
    return [receipt]


Receipts: dict[int, Accepted] = {}


def pay_around_a_flush(bank: Bank, key: str) -> int:
    """A request, FLUSHALL, and the request again; how much was paid."""
    before = bank.balance("b")
    for _ in range(2):
        with suppress(psycopg2.errors.UniqueViolation):
            bank.transfer("a", "b", 10, key=key)
        tasks.ring.broker().flushall()
    bank.work()
    return bank.balance("b") - before


def keys_only_in_redis(template: Path | None) -> str:
    """Redis forgets: the request after FLUSHALL pays again, unless Postgres knows the key."""
    with servers(template):
        bank = prepared()
        expect(pay_around_a_flush(bank, "control") == 10, "paid other than once without the bug")
        by_redis = mock.patch("tests.bank.accept", accept_by_redis)
        with by_redis, keys_not_looked_up():
            expect(pay_around_a_flush(bank, "guard") == 10, "the unique key alone does not hold")
        owner(DROP_UNIQUE_KEY)
        with by_redis, keys_not_looked_up():
            expect(pay_twice(bank, "no flush") == 10, "keys in Redis do not even work")
            expect(pay_around_a_flush(bank, "both") == 20, "the bug did no harm")
        return first_fault(bank)


# The tenant filter removed.


def without_tenant_filter() -> Any:
    """The list of accounts forgets to say whose."""
    where = "tenant_id = %(tenant)s AND ledger_id = %(ledger)s"
    blind = pipeline.accounts.ACCOUNTS.replace(where, "true")
    assert blind != pipeline.accounts.ACCOUNTS
    return mock.patch.object(pipeline.accounts, "ACCOUNTS", blind)


def seen(bank: Bank) -> set[str]:
    """The codes of the accounts that the tenant is shown."""
    with tenant_reading(bank.ledger.tenant_id) as connection:
        return {account.code for account in pipeline.accounts.accounts(connection, bank.ledger)}


def tenant_filter_removed(template: Path | None) -> str:
    """Without the filter and without the policy a tenant is shown another's accounts."""
    with servers(template):
        (row,) = owner("INSERT INTO tenants (name) VALUES ('other') RETURNING tenant_id")
        ours, theirs = Bank(new_ledger()), Bank(new_ledger(row[0]))
        for bank, code in ((ours, "ours"), (theirs, "theirs")):
            bank.open(code)
            bank.work()
        expect(seen(ours) == {"ours"}, "a foreign account is shown without the bug")
        with without_tenant_filter():
            expect(seen(ours) == {"ours"}, "the policy alone does not hold")
        owner(*(statement.format(table="accounts") for statement in NO_POLICY))
        expect(seen(ours) == {"ours"}, "the filter alone does not hold")
        with without_tenant_filter():
            shown = seen(ours)
        expect("theirs" in shown, "the bug did no harm")
        return f"tenant 1 is shown {sorted(shown)}"


# A stage that skips its row-count check under a wrong tenant.


def unchecked(work: Claim) -> list[Operation]:
    """pipeline.stage.operations without its check."""
    work.cursor.execute(FETCH, {**work.scope, "bytes": RUN_BYTES})
    return [Operation._make(row) for row in work.cursor.fetchall()]


def under_wrong_tenant(
    read: Callable[[Claim], list[Operation]], *, back: bool = True
) -> Callable[[Claim], list[Operation]]:
    """The operations are read while the transaction says another tenant."""

    def operations_of(work: Claim) -> list[Operation]:
        work.cursor.execute(WRONG_TENANT)
        found = read(work)
        if back:
            work.cursor.execute(RIGHT_TENANT, work.scope)
        return found

    return operations_of


def validate_once(bank: Bank, read: Callable[[Claim], list[Operation]]) -> None:
    """One run of validate that reads its operations in this way."""
    with (
        mock.patch.object(pipeline.validate, "operations", read),
        raw_connection(app_engine()) as connection,
    ):
        work = claim(connection, "validate", [bank.ledger], RUN_OPERATIONS)
        assert work is not None
        try:
            pipeline.validate.validate(work)
        finally:
            rollback(connection)


def row_count_unchecked(template: Path | None) -> str:
    """A run that sees no rows refuses none: what validate should refuse is let through."""
    with servers(template):
        bank = prepared()
        bad = bank.submit("transfer", transfer("a", "b", 10, currency="ZZZ"))
        # The check alone, and the database's policy alone, where the tenant stays wrong.
        for read, refusal in (
            (under_wrong_tenant(operations), MissingOperationsError),
            (under_wrong_tenant(unchecked, back=False), psycopg2.errors.InsufficientPrivilege),
        ):
            try:
                validate_once(bank, read)
            except refusal:
                continue
            raise EscapedError(f"no {refusal.__name__} under a wrong tenant")
        expect(bank.status(bad) == "accepted", "a run under a wrong tenant was recorded")
        validate_once(bank, under_wrong_tenant(unchecked))
        bank.work()
        return first_fault(bank)


# synchronous_commit=off with Postgres killed.


def kill_postgres(home: Path) -> None:
    """SIGKILL for the server's processes all at once: stopped first, so that none acts alone."""
    (pid,) = [e.mark.pid for e in read_processes(Home(home).processes) if e.mark.name == "postgres"]
    server = psutil.Process(pid)
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    for process in family:
        process.send_signal(signal.SIGKILL)


def lost_after_a_kill(template: Path | None) -> int:
    """How many acknowledged operations are missing once Postgres, killed under load, is back."""
    with servers(template) as home:
        bank = Bank(new_ledger())
        # What the start has written is on the disk, so that only what follows can be lost.
        owner("SET LOCAL synchronous_commit = on", "CREATE TABLE flushed ()")
        for number in range(ACKNOWLEDGED):
            last = bank.open(f"a{number}")
        kill_postgres(home)
        dispose_engines()
        deadline = time.monotonic() + UP_AGAIN_S
        while True:
            try:
                with raw_connection(app_engine()) as connection, connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                break
            except Exception:  # noqa: BLE001 - it starts, recovers, refuses: until it answers
                expect(time.monotonic() < deadline, "Postgres did not come back")
                time.sleep(LOOK_AGAIN_S)
        (row,) = bank.rows("SELECT count(*) FROM operations WHERE ledger_id = :ledger")
        return last.position - int(row[0])


def asynchronous() -> Any:
    """A server that acknowledges before it has written, with the longest delay that there is."""
    return mock.patch.dict(
        postgres.SETTINGS, {"synchronous_commit": "off", "wal_writer_delay": "10s"}
    )


def synchronous_commit_off(template: Path | None) -> str:
    """Such a server is refused; where it is not, it loses what was acknowledged."""
    expect(lost_after_a_kill(template) == 0, "acknowledged operations are lost without the bug")
    with asynchronous():
        try:
            with servers(template):
                raise EscapedError("a server with synchronous_commit = off was not refused")
        except models.db.UnsafeServer:
            pass
        required = {k: v for k, v in models.db.REQUIRED.items() if k != "synchronous_commit"}
        with mock.patch.dict(models.db.REQUIRED, required, clear=True):
            lost = lost_after_a_kill(template)
    expect(lost > 0, "nothing was lost")
    return f"{lost} of {ACKNOWLEDGED} acknowledged operations are missing"


SCENARIOS: dict[str, Scenario] = {
    "unique keys dropped, and accept's look-up": unique_keys_dropped,
    "keys kept only in Redis": keys_only_in_redis,
    "tenant filter and policy removed": tenant_filter_removed,
    "row count unchecked under a wrong tenant": row_count_unchecked,
    "synchronous_commit=off, Postgres killed": synchronous_commit_off,
}


def catch(name: str, template: Path | None = None) -> Caught:
    """Play the scenario; raises EscapedError."""
    start = time.monotonic()
    by = SCENARIOS[name](template)
    return Caught(name, by, f"{time.monotonic() - start:.0f} s")
