"""Statements: what was posted to accounts, line by line, each with the balance that it left."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.ledger import DEBIT_NORMAL, Account

# Lines of one query: many small accounts share one, a large account takes several. About 50 ms.
BATCH_LINES = 5_000


class Line(NamedTuple):
    """One posting as the account's owner reads it: amounts on its normal side, + raises it."""

    account: str
    currency: str
    position: int
    operation: UUID
    kind: str
    idempotency_key: str
    accepted_at: dt.datetime
    posted_at: dt.datetime
    effective_date: str
    description: str
    amount: int
    balance: int
    credit: bool  # else it is a debit


class Part(NamedTuple):
    """The versions `first` to `last` of an account: each is one line."""

    account: Account
    first: int
    last: int


def whole(account: Account) -> Part:
    """All versions of an account."""
    return Part(account, 1, account.version)


# LATERAL ... LIMIT is an index look-up per row whatever the planner believes about a table that
# autovacuum has not analyzed yet. A posting's run is there: they were committed together.
LINES = """
SELECT part.n, p.position, o.id, o.kind, o.idempotency_key, o.accepted_at, r.at,
       coalesce(o.body ->> 'effective_date', (o.accepted_at AT TIME ZONE 'UTC')::date::text),
       coalesce(o.body ->> 'description', ''), p.amount, p.balance_after
  FROM unnest(%(numbers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[])
       WITH ORDINALITY AS part (number, first, last, n)
 CROSS JOIN LATERAL (
       SELECT p.position, p.version, p.amount, p.balance_after FROM postings p
        WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s
          AND p.account = part.number AND NOT p.pending
          AND p.version BETWEEN part.first AND part.last
        ORDER BY p.version LIMIT part.last - part.first + 1) p
 CROSS JOIN LATERAL (
       SELECT o.id, o.kind, o.idempotency_key, o.accepted_at, o.body FROM operations o
        WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s AND o.position = p.position
        LIMIT 1) o
 CROSS JOIN LATERAL (
       SELECT r.at FROM runs r
        WHERE r.tenant_id = %(tenant)s AND r.ledger_id = %(ledger)s AND r.stage = 'post'
          AND r.from_position <= p.position
        ORDER BY r.from_position DESC LIMIT 1) r
 ORDER BY part.n, p.version
"""


def lines(connection: Connection, ledger: LedgerRef, parts: Iterable[Part]) -> Iterator[Line]:
    """The lines of these parts of accounts, in their order, each part's in the order of posting."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor:
        for batch in batches(parts, BATCH_LINES):
            cursor.execute(
                LINES,
                {
                    "tenant": ledger.tenant_id,
                    "ledger": ledger.ledger_id,
                    "numbers": arrays.integers(part.account.number for part in batch),
                    "firsts": arrays.integers(part.first for part in batch),
                    "lasts": arrays.integers(part.last for part in batch),
                },
            )
            for row in cursor.fetchall():
                yield _line(batch[row[0] - 1].account, row)


def batches(parts: Iterable[Part], size: int) -> Iterator[list[Part]]:
    """The parts in groups of up to `size` versions; a large part is cut."""
    batch: list[Part] = []
    room = size
    for account, begin, end in parts:
        first = begin
        while first <= end:
            last = min(end, first + room - 1)
            batch.append(Part(account, first, last))
            room -= last - first + 1
            first = last + 1
            if room == 0:
                yield batch
                batch, room = [], size
    if batch:
        yield batch


def _line(account: Account, row: tuple[Any, ...]) -> Line:
    _, position, id_, kind, key, accepted_at, posted_at, effective, text, amount, balance = row
    sign = -1 if account.type in DEBIT_NORMAL else 1
    return Line(
        account.code,
        account.currency,
        position,
        id_ if isinstance(id_, UUID) else UUID(id_),
        kind,
        key,
        accepted_at,
        posted_at,
        effective,
        text,
        sign * amount,
        sign * balance,
        amount > 0,
    )
