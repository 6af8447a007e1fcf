"""A stand-in for Postgres: its sessions, their transactions and the locks they wait for.

A statement is a function of its session (statements/), under READ COMMITTED: each sees what was
committed when it began, and what its own transaction wrote. Each is a switch point, also within a
message of several; so is the moment between a commit that others can see and the release of its
locks.
"""

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import psycopg2

from models.db import LOCK_TIMEOUT_MS
from tests.chaos.fake_guards import Guards
from tests.chaos.fake_store import (
    NOWHERE,
    Books,
    BrokenConnection,
    InFailedTransaction,
    Scope,
    Transaction,
)
from tests.chaos.schedule import EPOCH_S, Condition, Process, Scheduler, Task

Parameters = dict[str, Any]
Rows = list[tuple[Any, ...]]
Statement = Callable[["Session", Parameters], Rows | None]
Lock = tuple[Any, ...]

MILLISECONDS = 1_000


class LockTimeout(psycopg2.OperationalError):
    """Canceling statement due to lock timeout."""

    pgcode = "55P03"


class UnknownStatement(psycopg2.ProgrammingError):
    """Prepared statement does not exist."""

    pgcode = "26000"


class Hooks(Protocol):
    """What a world does about what it sees; any of them may raise, or never return."""

    def on_send(self) -> None:
        """A message is about to be sent."""

    def on_statement(self, session: "Session", what: str) -> None:
        """A statement is about to take effect."""

    def on_post(self, bodies: Iterable[str]) -> None:
        """`post` is about to work on these operations."""

    def on_committed(self, session: "Session") -> None:
        """A transaction is committed, and its client does not know it yet."""


class Database:
    """The server: committed rows, locks, and who is connected."""

    def __init__(
        self,
        scheduler: Scheduler,
        guards: Guards,
        statements: dict[str, Statement],
        hooks: "Hooks",
    ) -> None:
        self.scheduler = scheduler
        self.guards = guards
        self.statements = statements
        self.hooks = hooks
        self.books: dict[Scope, Books] = {}
        self.names: dict[Scope, str] = {}
        self.told: list[str] = []  # what pg_notify has delivered
        self.starts = 1
        self.over = False
        self.waits_for_itself: list[str] = []
        self.sessions: list[Session] = []
        self.locks: dict[Lock, Transaction] = {}
        self.waiting: dict[Lock, Condition] = {}

    def add_ledger(self, scope: Scope, name: str) -> Books:
        """An empty ledger."""
        self.names[scope] = name
        self.books[scope] = Books()
        return self.books[scope]

    def now(self) -> dt.datetime:
        """clock_timestamp()."""
        return dt.datetime.fromtimestamp(EPOCH_S + self.scheduler.now, dt.UTC)

    def restart(self) -> None:
        """Every session and transaction ends; attempts, which do not wait for the disk, too."""
        self.starts += 1
        for session in self.sessions:
            session.sever()
        self.sessions.clear()
        for books in self.books.values():
            del books.attempts[-1:]


class Session:
    """The server's side of a connection, and its transaction."""

    def __init__(self, database: Database, process: Process) -> None:
        self.database = database
        self.process = process
        self.severed = False
        self.tx: Transaction | None = None
        self.task: Task | None = None  # whose message the server is at
        self.prepared: set[str] = set()  # the statements that the session knows by name
        database.sessions.append(self)

    def sever(self) -> None:
        """The server's side ends: what was not committed is undone."""
        self.severed = True
        self.end()

    def step(self, what: str) -> None:
        """The switch point before a statement takes effect."""
        database = self.database
        database.scheduler.pause()
        database.hooks.on_statement(self, what)
        if self.severed:
            self.check()

    def check(self) -> None:
        """Raise what psycopg2 does when the other side is gone."""
        if self.severed:
            raise BrokenConnection("server closed the connection unexpectedly")

    def check_prepared(self, execute: str) -> None:
        """EXECUTE of a statement, which this very session must have prepared."""
        if execute not in self.prepared:
            raise UnknownStatement("prepared statement does not exist")

    def begin(self) -> Transaction:
        """BEGIN."""
        assert self.tx is None, "BEGIN within a transaction"
        self.tx = Transaction(self.database.scheduler.current)
        return self.tx

    def within(self) -> Transaction:
        """The transaction that a statement belongs to."""
        assert self.tx is not None, "a statement outside a transaction"
        if self.tx.failed:
            raise InFailedTransaction("current transaction is aborted")
        return self.tx

    def see(self, given: Parameters, ledger: int) -> Books:
        """The rows of a ledger, as far as row-level security shows them."""
        tenant = given["tenant"]
        if self.within().tenant != tenant:
            return NOWHERE
        return self.database.books.get((tenant, ledger), NOWHERE)

    def write(self, given: Parameters, ledger: int, *table: str) -> tuple[Transaction, Books]:
        """As `see`, to insert into one table: two that insert the same rows wait for each other."""
        books = self.see(given, ledger)
        assert books is not NOWHERE, "a row of another tenant was written"
        self.lock((id(books), *table))
        return self.within(), books

    def try_lock(self, lock: Lock) -> bool:
        """pg_try_advisory_xact_lock."""
        tx = self.within()
        holder = self.database.locks.setdefault(lock, tx)
        if holder is not tx:
            return False
        if lock not in tx.locks:
            tx.locks.append(lock)
        return True

    def lock(self, lock: Lock) -> None:
        """pg_advisory_xact_lock, and what a unique key does: wait until the holder ends."""
        if self.try_lock(lock):
            return
        scheduler = self.database.scheduler
        deadline = scheduler.now + LOCK_TIMEOUT_MS / MILLISECONDS
        while not self.try_lock(lock):
            if self.database.locks[lock].task is scheduler.current:
                self.database.waits_for_itself.append(str(lock[0]))
            if scheduler.now >= deadline:
                raise LockTimeout("canceling statement due to lock timeout")
            waiting = self.database.waiting.setdefault(lock, Condition(scheduler))
            waiting.wait(deadline - scheduler.now)
            self.check()

    def commit(self) -> None:
        """COMMIT: visible at one moment, its locks released a moment later."""
        self.step("COMMIT")
        tx = self.tx
        assert tx is not None, "COMMIT outside a transaction"
        if not tx.failed:
            tx.apply()
            if tx.locks:
                self.database.scheduler.pause()
        self.end()
        self.database.hooks.on_committed(self)
        self.check()

    def fail(self) -> None:
        """A statement failed: all is undone and the locks are free, before anybody rolls back."""
        if self.tx is not None:
            self.end()
            self.begin().failed = True

    def end(self) -> None:
        """The transaction is over, one way or the other."""
        tx, self.tx = self.tx, None
        for lock in tx.locks if tx else ():
            del self.database.locks[lock]
            if lock in self.database.waiting:
                self.database.waiting.pop(lock).notify_all()
