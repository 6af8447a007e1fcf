"""A stand-in for psycopg2, and for SQLAlchemy's pool on top: the clients' side of fake_database.py.

It knows the statements that Trident sends by their text (statements/table.py).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2.extensions import (
    TRANSACTION_STATUS_IDLE,
    TRANSACTION_STATUS_INERROR,
    TRANSACTION_STATUS_INTRANS,
    TRANSACTION_STATUS_UNKNOWN,
)

from tests.chaos.fake_database import Database, Parameters, Rows, Session, Statement
from tests.chaos.fake_store import BrokenConnection
from tests.chaos.schedule import Process, Task

# What mogrify answers, between these two, until `execute` finds the statement again.
TOKEN = "\x01"
BROKEN = 2  # what psycopg2 says in `closed` when it was the server that hung up


class Connection:
    """A psycopg2 connection."""

    def __init__(self, database: Database, process: Process) -> None:
        self.session = Session(database, process)
        self.closed = 0
        self.autocommit = False
        self.tokens: list[tuple[Statement, Parameters]] = []

    @property
    def info(self) -> "Connection":
        """Where psycopg2 keeps the status."""
        return self

    @property
    def transaction_status(self) -> int:
        """As libpq says it."""
        if self.closed:
            return TRANSACTION_STATUS_UNKNOWN
        if self.session.tx is None:
            return TRANSACTION_STATUS_IDLE
        return TRANSACTION_STATUS_INERROR if self.session.tx.failed else TRANSACTION_STATUS_INTRANS

    def cursor(self) -> "Cursor":
        """A cursor."""
        return Cursor(self)

    def close(self) -> None:
        """Hang up."""
        self.session.sever()
        self.closed = 1


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
        tokens.append((self.connection.session.database.statements[statement], parameters))
        return f"{TOKEN}{len(tokens) - 1}{TOKEN}".encode()

    def execute(self, message: str, parameters: Parameters | None = None) -> None:
        """Send a message of one statement or several, and wait for the answer."""
        connection, session = self.connection, self.connection.session
        database = session.database
        if connection.closed or database.over:
            raise psycopg2.InterfaceError("connection already closed")
        database.hooks.on_send()
        task = database.scheduler.current
        task.in_message, session.task = True, task
        try:
            alone = database.statements.get(message)
            if alone is not None:
                self._rows = alone(session, parameters or {}) or []
            else:
                for statement, given in self._read(message, parameters or {}):
                    self._rows = statement(session, given) or []
        except psycopg2.Error as error:
            if isinstance(error, BrokenConnection):
                connection.closed = BROKEN
            session.fail()
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
        session = self.connection.session
        task.in_message, session.task = False, None
        if task.lingers:  # the server sees only now that nobody is there to hear the answer
            session.sever()
            session.database.scheduler.bury(task)

    def _read(self, message: str, parameters: Parameters) -> list[tuple[Statement, Parameters]]:
        statements = self.connection.session.database.statements
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
            assert connection.session.tx is None, "a connection came back within a transaction"
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
    def begin(self) -> Iterator["SqlConnection"]:
        """A transaction as SQLAlchemy's connections make it."""
        pooled = Pooled(self)
        connection = pooled.driver_connection
        try:
            connection.session.begin()
            yield SqlConnection(connection)
            connection.cursor().execute("COMMIT")
        except BaseException:
            pooled.invalidate()
            raise
        finally:
            pooled.close()

    def connect(self) -> Any:
        """The same; the sweeper only reads."""
        return self.begin()


class SqlConnection:
    """A SQLAlchemy connection: `text` statements, and the driver's cursor."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._cursor = connection.cursor()

    def execute(self, statement: Any, parameters: Parameters | None = None) -> "SqlConnection":
        """One statement."""
        self._cursor.execute(statement.text, parameters)
        return self

    def all(self) -> Rows:
        """All rows."""
        return self._cursor.fetchall()
