"""The consumer that keeps the index of a ledger's log, segment by segment, behind the last stage.

A segment is read, packed and written together with the progress in one transaction, behind a lock
of its own: so it is in the index once, whoever else tries and whenever this process dies. Nothing
waits for it, and nothing that is searched for is missing meanwhile (sources.py).
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from models.db import app_engine, raw_connection
from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.accept import rollback
from pipeline.crash import crash_point
from pipeline.drain import uncollected
from pipeline.search import codes
from pipeline.search.codes import DENSE, SEGMENT, TERMS_MAX, Row
from pipeline.search.contents import contents
from pipeline.stage import MissingOperationsError

# Beside those of accept (0), the stages (1 to 5) and the keepers of heads (6).
SEARCH_LOCK = 12

BEGIN = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
"""
TRY = BEGIN + "SELECT pg_try_advisory_xact_lock(%(lock)s, %(ledger)s)"
WAIT = BEGIN + "SELECT pg_advisory_xact_lock(%(lock)s, %(ledger)s)"

PROGRESS = """
SELECT coalesce((SELECT segments FROM search_progress
                  WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s), 0),
       last_position(%(tenant)s, %(ledger)s, 'notify')
"""

OPERATIONS = """
SELECT position, kind, CASE WHEN octet_length(body::text) <= %(bytes)s THEN body::text END
  FROM operations
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position BETWEEN %(first)s AND %(last)s
 ORDER BY position
"""

# What was posted may be more than what the body names: a fee, the rest of a hold. A transfer with
# two postings moves what it says, so most postings need not be sent here.
POSTED = """
SELECT position, abs(amount), currency FROM postings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position BETWEEN %(first)s AND %(last)s
   AND NOT position = ANY(%(wide)s::bigint[])
   AND (position = ANY(%(others)s::bigint[]) OR position IN (
        SELECT position FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
           AND position BETWEEN %(first)s AND %(last)s AND leg > 1))
"""
TRANSFER = "transfer"

# A body that is larger says too much to be indexed; so a segment is 64 MB at the most.
BODY_MAX_BYTES = 16 * 1024

# Each bucket is looked up by the whole key; by the segment alone all of the ledger's would be read.
DELETE = """
DELETE FROM search_index
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND bucket = ANY(%(buckets)s::smallint[]) AND segment = %(segment)s;
"""

INSERT = """
INSERT INTO search_index (tenant_id, ledger_id, segment, bucket, places, dense)
SELECT %(tenant)s, %(ledger)s, %(segment)s, bucket, decode(places, 'hex'), decode(dense, 'hex')
  FROM unnest(%(buckets)s::smallint[], %(places)s::text[], %(dense)s::text[])
       AS new (bucket, places, dense);
"""

RECORD = """
INSERT INTO search_progress AS p (tenant_id, ledger_id, segments)
VALUES (%(tenant)s, %(ledger)s, 1)
    ON CONFLICT (tenant_id, ledger_id) DO
UPDATE SET segments = p.segments + 1, at = clock_timestamp();
"""


class Indexed(NamedTuple):
    """How far the index is, and whether another whole segment is there for it."""

    segments: int
    more: bool


def index_next(ledger: LedgerRef) -> Indexed | None:
    """Put the ledger's next whole segment into the index; None when another is at it.

    With less than a segment there it does nothing.
    """
    with uncollected(), raw_connection(app_engine()) as connection:
        try:
            return _index_next(connection.cursor(), ledger)
        finally:
            rollback(connection)


def reindex(ledger: LedgerRef) -> Iterator[Indexed]:
    """Make the index anew, a segment at a time, each of them whole at any moment."""
    segment = 0
    while (done := _index_again(ledger, segment)) is not None:
        segment += 1
        yield done
    while (done := index_next(ledger)) is not None and done.segments > segment:
        segment = done.segments
        yield done


def _index_next(cursor: Any, ledger: LedgerRef) -> Indexed | None:
    scope = _scope(ledger)
    cursor.execute(TRY, scope)
    if not cursor.fetchone()[0]:
        return None
    done, notified = _progress(cursor, scope)
    if notified - done * SEGMENT < SEGMENT:
        return Indexed(done, more=False)
    crash_point("index.before_work")
    statement = _written(cursor, ledger, done) + cursor.mogrify(RECORD, scope).decode()
    crash_point("index.before_commit")
    cursor.execute(statement + "COMMIT")
    crash_point("index.after_commit")
    return Indexed(done + 1, more=notified - (done + 1) * SEGMENT >= SEGMENT)


def _index_again(ledger: LedgerRef, segment: int) -> Indexed | None:
    """Write a segment anew that is in the index; None when it is not."""
    with raw_connection(app_engine()) as connection:
        try:
            cursor = connection.cursor()
            scope = _scope(ledger)
            cursor.execute(WAIT, scope)
            done, notified = _progress(cursor, scope)
            if segment >= done:
                return None
            old = {"segment": segment, "buckets": arrays.integers(codes.BUCKETS)}
            again = cursor.mogrify(DELETE, {**scope, **old}).decode()
            cursor.execute(again + _written(cursor, ledger, segment) + "COMMIT")
            return Indexed(segment + 1, more=notified - (segment + 1) * SEGMENT >= SEGMENT)
        finally:
            rollback(connection)


def _scope(ledger: LedgerRef) -> dict[str, Any]:
    return {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "lock": SEARCH_LOCK}


def _progress(cursor: Any, scope: dict[str, Any]) -> tuple[int, int]:
    """How many segments are in the index, and how far the last stage has come."""
    cursor.execute(PROGRESS, scope)
    done, notified = cursor.fetchone()
    return done, notified


def _written(cursor: Any, ledger: LedgerRef, segment: int) -> str:
    """The statement that writes the segment."""
    positions = codes.positions_of(segment)
    scope = {**_scope(ledger), "first": positions[0], "last": positions[-1]}
    cursor.execute(OPERATIONS, {**scope, "bytes": BODY_MAX_BYTES})
    operations = cursor.fetchall()
    if len(operations) != SEGMENT:
        raise MissingOperationsError(
            f"search sees {len(operations)} of the operations {positions[0]} to {positions[-1]} of"
            f" ledger {ledger.ledger_id}"
        )
    found = Offsets(positions[0])
    for operation in operations:
        found.add(*operation)
    others = [position for position, kind, _ in operations if kind != TRANSFER]
    wide = {"wide": arrays.integers(found.wide), "others": arrays.integers(others)}
    cursor.execute(POSTED, {**scope, **wide})
    for posting in cursor.fetchall():
        found.add_posting(*posting)
    rows = found.packed()
    columns = {
        "segment": segment,
        "buckets": arrays.integers(row.bucket for row in rows),
        "places": arrays.words(f'"{row.places.hex()}"' for row in rows),
        "dense": arrays.words(f'"{row.dense.hex()}"' for row in rows),
    }
    filled: bytes = cursor.mogrify(INSERT, {**scope, **columns})
    return filled.decode()


class Offsets:
    """Where in a segment that begins at `first` each word, member, kind, currency and amount is.

    `wide` are the positions of the operations that say too much.
    """

    def __init__(self, first: int) -> None:
        self.first = first
        self.wide: list[int] = []
        self._kinds: dict[str, list[int]] = defaultdict(list)
        self._words: dict[str, list[int]] = defaultdict(list)
        self._members: dict[tuple[str, str], list[int]] = defaultdict(list)
        self._currencies: dict[str, list[int]] = defaultdict(list)
        self._amounts: dict[int, list[int]] = defaultdict(list)

    def add(self, position: int, kind: str, body: str | None) -> None:
        """An operation; its body, unless it is too large."""
        said = None if body is None else contents(orjson.loads(body))
        if said is None or said.many > TERMS_MAX:
            self.wide.append(position)
            return
        offset = position - self.first
        self._kinds[kind].append(offset)
        for word in said.words:
            self._words[word].append(offset)
        for member in said.members:
            self._members[member].append(offset)
        for currency in said.currencies:
            self._currencies[currency].append(offset)
        for amount in said.amounts:
            if amount > 0:
                self._amounts[amount].append(offset)

    def add_posting(self, position: int, amount: int, currency: str) -> None:
        """One of the operation's postings; its amount without a sign."""
        self._amounts[amount].append(position - self.first)
        self._currencies[currency].append(position - self.first)

    def packed(self) -> list[Row]:
        """The rows of the segment."""
        places = codes.places(codes.WIDE, [position - self.first for position in self.wide])
        dense: list[int] = []
        for term, offsets in self._by_term():
            code = codes.code_of(term)
            if len(offsets) >= DENSE and len(set(offsets)) >= DENSE:
                dense.append(code)
            else:
                places += codes.places(code, offsets)
        for amount, offsets in self._amounts.items():
            places += codes.places(codes.code_of_amount(amount), offsets)
        return codes.pack(places, dense)

    def _by_term(self) -> Iterator[tuple[str, list[int]]]:
        for kind, offsets in self._kinds.items():
            yield codes.kind_term(kind), offsets
        for currency, offsets in self._currencies.items():
            yield codes.currency_term(currency), offsets
        for (name, value), offsets in self._members.items():
            yield codes.member_term(name, value), offsets
        begin: dict[str, list[int]] = defaultdict(list)
        for word, offsets in self._words.items():
            yield codes.word_term(word), offsets
            if len(word) >= codes.BEGINNING:
                begin[codes.beginning_term(word)] += offsets
        yield from begin.items()
