"""Read the log with its outcomes in chunks, so that memory stays bounded for any ledger."""

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from models.ledger import LedgerRef
from pipeline.ledger import Decision, Posting
from pipeline.stage import RUN_BYTES, Operation

# About 10 MB of rows and 100 ms of queries. Journals are bounded by their bytes, as in a run.
CHUNK_OPERATIONS = 5_000


class Logged(NamedTuple):
    """One row of the log, and the position that its idempotency key leads to."""

    operation: Operation
    id: UUID
    key_position: int | None


class Rejection(NamedTuple):
    """One row of the rejections."""

    stage: str
    code: str
    detail: Any


class Chunk(NamedTuple):
    """The rows of the positions above `after`, up to `last`."""

    after: int
    last: int
    logged: list[Logged]
    rejections: dict[int, Rejection]
    postings: dict[int, list[Posting]]
    decisions: dict[int, list[Decision]]


# LATERAL ... LIMIT is an index look-up per row whatever the planner believes about a table.
OPERATIONS = """
SELECT o.position, o.kind, o.body, o.accepted_at, o.principal, o.id, k.position
  FROM (SELECT position, kind, body::text, accepted_at, principal::text, id, idempotency_key,
               sum(octet_length(body::text)) OVER (ORDER BY position) AS bytes,
               row_number() OVER (ORDER BY position) AS number
          FROM (SELECT * FROM operations
                 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position > %(after)s
                 ORDER BY position LIMIT %(limit)s) o) o
  LEFT JOIN LATERAL (
       SELECT k.position FROM idempotency_keys k
        WHERE k.tenant_id = %(tenant)s AND k.ledger_id = %(ledger)s
          AND k.key_hash = encode(
              substr(sha256(convert_to(o.idempotency_key, 'UTF8')), 1, 16), 'hex')::uuid
        LIMIT 1) k ON true
 WHERE o.bytes <= %(bytes)s OR o.number = 1
 ORDER BY o.position
"""

REJECTIONS = """
SELECT position, stage, code, detail FROM rejections
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position > %(after)s AND position <= %(last)s
"""

POSTINGS = """
SELECT position, leg, account, version, pending, amount, balance_after, currency FROM postings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position > %(after)s AND position <= %(last)s
 ORDER BY position, leg
"""

DECISIONS = """
SELECT target, number, position, effect, amount, remaining, terminal, actor FROM decisions
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position > %(after)s AND position <= %(last)s
 ORDER BY position, target, number
"""


def chunks(cursor: Any, ledger: LedgerRef) -> Iterator[Chunk]:
    """The whole log in order, with what came of it."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    after = 0
    while logged := _read_logged(cursor, {**scope, "after": after}):
        last = logged[-1].operation.position
        part = {**scope, "after": after, "last": last}
        yield Chunk(
            after,
            last,
            logged,
            _read_rejections(cursor, part),
            _read_postings(cursor, part),
            _read_decisions(cursor, part),
        )
        after = last


def _read_logged(cursor: Any, scope: dict[str, Any]) -> list[Logged]:
    cursor.execute(OPERATIONS, {**scope, "limit": CHUNK_OPERATIONS, "bytes": RUN_BYTES})
    ledger_id = scope["ledger"]
    return [
        Logged(Operation._make((ledger_id, *row[:5], False)), row[5], row[6])
        for row in cursor.fetchall()
    ]


def _read_rejections(cursor: Any, scope: dict[str, Any]) -> dict[int, Rejection]:
    cursor.execute(REJECTIONS, scope)
    return {row[0]: Rejection(*row[1:]) for row in cursor.fetchall()}


def _read_postings(cursor: Any, scope: dict[str, Any]) -> dict[int, list[Posting]]:
    cursor.execute(POSTINGS, scope)
    rows = map(Posting._make, cursor.fetchall())
    return {position: list(legs) for position, legs in groupby(rows, attrgetter("position"))}


def _read_decisions(cursor: Any, scope: dict[str, Any]) -> dict[int, list[Decision]]:
    cursor.execute(DECISIONS, scope)
    rows = map(Decision._make, cursor.fetchall())
    return {position: list(these) for position, these in groupby(rows, attrgetter("position"))}
