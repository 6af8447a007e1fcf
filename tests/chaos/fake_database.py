"""A stand-in for Postgres at the level of psycopg2: it knows the statements that Trident sends.

Statements are recognised by their text and do in memory what they mean (fake_statements.py), under
READ COMMITTED: each sees what was committed when it began, and what its own transaction wrote. Each
is a switch point, also within a message of several; so is the moment between a commit that others
can see and the release of its locks.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg2
from psycopg2.extensions import (
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INERROR,
    TRANSACTION_STATUS_INTRANS,
    TRANSACTION_STATUS_UNKNOWN,
)

from models.db import LOCK_TIMEOUT_MS
from tests.chaos.fake_store import (
    NOWHERE,
    Books,
    BrokenConnection,
    Guards,
    InFailedTransaction,
    Scope,
    Transaction,
)
from tests.chaos.schedule import EPOCH_S, Condition, Process, Scheduler, Task

Parameters = dict[str, Any]
Rows = list[tuple[Any, ...]]
Statement = Callable[["Connection", Parameters], Rows | None]
Lock = tuple[Any, ...]

# What mogrify answers, between these two, until `execute` finds the statement again.
TOKEN = "\x01"
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

    def on_statement(self, connection: "Connection", what: str) -> None:
        """A statement is about to take effect."""

    def on_post(self, bodies: Iterable[str]) -> None:
        """`post` is about to work on these operations."""

    def on_committed(self, connection: "Connection") -> None:
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
        self.connections: list[Connection] = []
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
        """Every connection and transaction ends; attempts, which do not wait for the disk, too."""
        self.starts += 1
        for connection in self.connections:
            connection.sever()
        self.connections.clear()
        for books in self.books.values():
            del books.attempts[-1:]


class Connection:
    """A psycopg2 connection and the server's session behind it."""

    def __init__(self, database: Database, process: Process) -> None:
        self.database = database
        self.process = process
        self.closed = 0
        self.autocommit = False
        self.severed = False
        self.tx: Transaction | None = None
        self.task: Task | None = None  # whose message the server is at
        self.tokens: list[tuple[Statement, Parameters]] = []
        self.prepared: set[str] = set()  # the statements that the session knows by name
        database.connections.append(self)

    @property
    def info(self) -> "Connection":
        """Where psycopg2 keeps the status."""
        return self

    @property
    def transaction_status(self) -> int:
        """As libpq says it."""
        if self.closed:
            return TRANSACTION_STATUS_UNKNOWN
        if self.tx is None:
            return TRANSACTION_STATUS_IDLE
        return TRANSACTION_STATUS_INERROR if self.tx.failed else TRANSACTION_STATUS_INTRANS

    def cursor(self) -> "Cursor":
        """A cursor."""
        return Cursor(self)

    def close(self) -> None:
        """Hang up."""
        self.sever()
        self.closed = 1

    def sever(self) -> None:
        """The server's side ends: what was not committed is undone."""
        self.severed = True
        self.end()

    def step(self, what: str) -> None:
        """The switch point before a statement takes effect."""
        self.database.scheduler.pause()
        self.database.hooks.on_statement(self, what)
        if self.severed:
            self.check()

    def check(self) -> None:
        """Raise what psycopg2 does when the other side is gone."""
        if self.severed:
            self.closed = 2
            raise BrokenConnection("server closed the connection unexpectedly")

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
        if self.within().tenant != given["tenant"]:
            return NOWHERE
        return self.database.books.get((given["tenant"], ledger), NOWHERE)

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
        if holder is tx and lock not in tx.locks:
            tx.locks.append(lock)
        return holder is tx

    def lock(self, lock: Lock) -> None:
        """pg_advisory_xact_lock, and what a unique key does: wait until the holder ends."""
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


class Cursor:
    """A psycopg2 cursor."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._rows: Rows = []

    def __enter__(self) -> "Cursor":
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to free."""

    def mogrify(self, statement: str, parameters: Parameters) -> bytes:
        """A token for the statement with its parameters."""
        tokens = self.connection.tokens
        tokens.append((self.connection.database.statements[statement], parameters))
        return f"{TOKEN}{len(tokens) - 1}{TOKEN}".encode()

    def execute(self, message: str, parameters: Parameters | None = None) -> None:
        """Send a message of one statement or several, and wait for the answer."""
        connection, database = self.connection, self.connection.database
        if connection.closed or database.over:
            raise psycopg2.InterfaceError("connection already closed")
        database.hooks.on_send()
        task = database.scheduler.current
        task.in_message, connection.task = True, task
        try:
            for statement, given in self._read(message, parameters or {}):
                self._rows = statement(connection, given) or []
        except psycopg2.Error:
            connection.fail()
            self._answered(task)
            raise
        self._answered(task)

    def fetchone(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def fetchall(self) -> Rows:
        """All rows."""
        return self._rows

    def _answered(self, task: Task) -> None:
        connection = self.connection
        task.in_message, connection.task = False, None
        if task.lingers:  # the server sees only now that nobody is there to hear the answer
            connection.sever()
            connection.database.scheduler.bury(task)

    def _read(self, message: str, parameters: Parameters) -> list[tuple[Statement, Parameters]]:
        statements = self.connection.database.statements
        if message in statements:
            return [(statements[message], parameters)]
        parts = message.split(TOKEN)
        found = []
        for at, part in enumerate(parts):
            if at % 2:
                found.append(self.connection.tokens[int(part)])
            elif part:
                found.append((statements[part], parameters))
        self.connection.tokens.clear()
        return found


class Pooled:
    """What SQLAlchemy's pool hands out."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.driver_connection = engine.idle.pop() if engine.idle else engine.connect_anew()

    def invalidate(self) -> None:
        """Throw it away."""
        self.driver_connection.close()

    def close(self) -> None:
        """Give it back."""
        connection = self.driver_connection
        if not connection.closed:
            assert connection.tx is None, "a connection came back within a transaction"
            self._engine.idle.append(connection)


class Engine:
    """The pool of one process."""

    def __init__(self, database: Database, process: Process) -> None:
        self._database = database
        self._process = process
        self.idle: list[Connection] = []

    def raw_connection(self) -> Pooled:
        """A connection from the pool."""
        return Pooled(self)

    def connect_anew(self) -> Connection:
        """A connection; after the end of the world there is none."""
        if self._database.over:
            raise BrokenConnection("the server is gone")
        return Connection(self._database, self._process)

    def dispose(self) -> None:
        """Close what is idle."""
        while self.idle:
            self.idle.pop().close()

    @contextmanager
    def begin(self) -> Iterator["Session"]:
        """A transaction as SQLAlchemy's connections make it."""
        pooled = Pooled(self)
        connection = pooled.driver_connection
        try:
            connection.begin()
            yield Session(connection)
            connection.cursor().execute("COMMIT")
        except BaseException:
            pooled.invalidate()
            raise
        finally:
            pooled.close()

    def connect(self) -> Any:
        """The same; the sweeper only reads."""
        return self.begin()


class Session:
    """A SQLAlchemy connection: `text` statements, and the driver's cursor."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._cursor = connection.cursor()

    def execute(self, statement: Any, parameters: Parameters | None = None) -> "Session":
        """One statement."""
        self._cursor.execute(statement.text, parameters)
        return self

    def all(self) -> Rows:
        """All rows."""
        return self._cursor.fetchall()
