"""What the scheduler sends: which ledgers have something due, and what."""

import datetime as dt
from typing import NamedTuple

from tests.chaos.fake_database import Database, Parameters, Rows, Session
from tests.chaos.fake_store import Books

# What is due so soon is due here: the simulation lasts seconds, and a rule's shortest step is a
# minute. No clock decides what comes of a time, so nothing else changes.
AHEAD = dt.timedelta(seconds=150)


class WithDue(NamedTuple):
    """A row of tasks.due.WITH_DUE."""

    tenant_id: int
    ledger_id: int
    name: str
    oldest: dt.datetime
    accepted: int
    posted: int


def due_of(database: Database, books: Books) -> list[tuple[dt.datetime, int]]:
    """When it was due, and which operation that is, oldest first."""
    now = database.now() + AHEAD
    return sorted(
        (waits.due_at, target)
        for target, waits in books.pending.items()
        if waits.due_at is not None and waits.due_at <= now
    )


def read_due(session: Session, given: Parameters) -> Rows:
    """due.READ."""
    session.begin().tenant = given["tenant"]
    session.step("scheduler: read what is due")
    books = session.see(given, given["ledger"])
    rows: Rows = []
    for _, target in due_of(session.database, books)[: given["most"]]:
        rows.append((str(books.log[target - 1].id), *books.pending[target]))
    return rows


def with_due(session: Session, _: Parameters) -> Rows:
    """tasks.due.WITH_DUE."""
    session.step("scheduler: look at all ledgers")
    database = session.database
    rows: list[WithDue] = []
    for (tenant, ledger), books in database.books.items():
        due = due_of(database, books)
        if due:
            ends = books.last_position("accept"), books.last_position("post")
            name = database.names[tenant, ledger]
            rows.append(WithDue(tenant, ledger, name, due[0][0], *ends))
    return [*sorted(rows, key=lambda row: (row.oldest, row.ledger_id))]
