"""How every stage claims its work, and how it commits effect and progress together.

    look     without a lock: at which ledgers is the stage before ahead of this one? none: idle
    try      the lock (ledger, stage) of each: held by another: that one will look again
    read     THEN, in a second statement, the last run of this stage and of the one before
    fetch    the operations of (done, upto], as many as a run takes; a missing row is a fault
    commit   the effect and the runs, in one message

The look that ends a claim holds no lock, so whoever was turned away by the lock had its work seen
by a later look of the holder: no wake-up is lost between two workers.

A claim covers one ledger, or several of one tenant that have little work each: they share the
statements, the round trips and the commit, and each has a run of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, starmap
from operator import attrgetter
from typing import Any, NamedTuple

import orjson
import structlog

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.crash import crash_point
from pipeline.refusal import Refusal

STAGES = ("validate", "authorize", "post", "audit", "notify")
# Where a stage stands in the order is also the first half of its advisory lock; 0 is accept's.
LOCKS = {stage: number for number, stage in enumerate(STAGES, start=1)}
BEFORE = dict(zip(STAGES, ("accept", *STAGES), strict=False))

# One run takes at most so many operations and bytes of bodies. Ten thousand transfers are about
# 1.5 MB; journals of 1,000 legs are 80 kB each, so the bytes bound the postings of a run too.
RUN_OPERATIONS = 10_000
RUN_BYTES = 2 * 1024 * 1024

# Operations of one ledger that count as few. They take all stages together some 30 ms; more are
# better worked by several workers side by side.
FEW = 200

LEDGER_OF = attrgetter("ledger_id")

alert = structlog.get_logger("trident.alert")


class MissingOperationsError(Exception):
    """The log has positions that this transaction cannot see: a wrong tenant, or lost rows."""


class Span(NamedTuple):
    """The positions `first` to `last` of one ledger."""

    ledger_id: int
    first: int
    last: int


# (ledger, position, refusal)
Refused = tuple[int, int, Refusal]


class Operation(NamedTuple):
    """One operation as a stage reads it. `body` is its canonical JSON."""

    ledger_id: int
    position: int
    kind: str
    body: str
    accepted_at: Any
    principal: str
    rejected: bool


@dataclass(slots=True)
class Claim:
    """The spans of one tenant's ledgers, locked for one stage in an open transaction.

    `careful`: the ledger is under suspicion, so the stage works it by itself.
    """

    cursor: Any
    stage: str
    tenant_id: int
    spans: list[Span]  # never changed, but for others
    careful: bool = False
    _scope: tuple[list[Span], dict[str, Any]] | None = None  # of which spans it is

    @property
    def alone(self) -> Span:
        """The span of a claim that covers one ledger."""
        (span,) = self.spans
        return span

    @property
    def scope(self) -> dict[str, Any]:
        """The parameters that every statement of the run shares: the spans, column by column."""
        if self._scope is None or self._scope[0] is not self.spans:
            self._scope = self.spans, scope(self.tenant_id, self.spans)
        return self._scope[1]


def scope(tenant_id: int, spans: Sequence[Span]) -> dict[str, Any]:
    """The tenant, and its spans as the arrays `ledgers`, `firsts` and `lasts`."""
    ledgers, firsts, lasts = zip(*spans, strict=True)
    return {
        "tenant": tenant_id,
        "ledgers": arrays.integers(ledgers),
        "firsts": arrays.integers(firsts),
        "lasts": arrays.integers(lasts),
    }


LOOK_AND_LOCK = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
SELECT set_config('trident.claim', coalesce(string_agg(ledger::text, ',') FILTER (WHERE CASE
           WHEN last_position(%(tenant)s, ledger, %(before)s)
                <= last_position(%(tenant)s, ledger, %(stage)s) THEN false
           ELSE pg_try_advisory_xact_lock(%(lock)s, ledger) END), ''), true)
  FROM unnest(%(ledgers)s::integer[]) ledger;
SELECT ledger, last_position(%(tenant)s, ledger, %(stage)s),
       last_position(%(tenant)s, ledger, %(before)s)
  FROM unnest(string_to_array(current_setting('trident.claim'), ',')::integer[]) ledger
"""

# OFFSET 0 keeps the planner from joining a whole table where one index range per span is meant.
# The stored size of a body stands in its row, so the first cut reads no body; it may be compressed,
# so the second cut counts the text of what is left.
FETCH = """
SELECT s.ledger, o.position, o.kind, o.body, o.accepted_at, o.principal,
       (s.ledger, o.position) IN (
           SELECT s.ledger, r.position
             FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[])
                  AS s (ledger, first, last)
            CROSS JOIN LATERAL (
                  SELECT position FROM rejections
                   WHERE tenant_id = %(tenant)s AND ledger_id = s.ledger
                     AND position BETWEEN s.first AND s.last OFFSET 0) r)
  FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[])
       AS s (ledger, first, last)
 CROSS JOIN LATERAL (
       SELECT position, kind, body::text AS body, accepted_at, principal::text AS principal,
              sum(octet_length(body::text)) OVER running AS bytes
         FROM (SELECT *, sum(pg_column_size(body)) OVER running AS stored_bytes
                 FROM operations
                WHERE tenant_id = %(tenant)s AND ledger_id = s.ledger
                  AND position BETWEEN s.first AND s.last
               WINDOW running AS (ORDER BY position ROWS UNBOUNDED PRECEDING)) stored
        WHERE stored_bytes <= %(bytes)s OR position = s.first
       WINDOW running AS (ORDER BY position ROWS UNBOUNDED PRECEDING)) o
 WHERE o.bytes <= %(bytes)s OR o.position = s.first
 ORDER BY s.ledger, o.position
"""

INSERT_REJECTIONS = """
INSERT INTO rejections (position, tenant_id, ledger_id, stage, code, detail)
SELECT position, %(tenant)s, ledger, %(stage)s, code, detail::json
  FROM unnest(%(ledgers)s::integer[], %(positions)s::bigint[], %(codes)s::text[],
              %(details)s::text[]) AS new (ledger, position, code, detail);
"""

INSERT_RUNS = """
INSERT INTO runs (from_position, to_position, tenant_id, ledger_id, stage)
SELECT first, last, %(tenant)s, ledger, %(stage)s
  FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[])
       AS s (ledger, first, last);
"""


def claim(connection: Any, stage: str, ledgers: Sequence[LedgerRef], limit: int) -> Claim | None:
    """The stage's next work at these ledgers of one tenant, in an open transaction.

    At most `limit` operations, shared evenly by the ledgers that have any. None when there is no
    work or others have it.
    """
    parameters = {
        "tenant": ledgers[0].tenant_id,
        "ledgers": arrays.integers(ledger.ledger_id for ledger in ledgers),
        "stage": stage,
        "before": BEFORE[stage],
        "lock": LOCKS[stage],
    }
    cursor = connection.cursor()
    while True:
        cursor.execute(LOOK_AND_LOCK, parameters)
        locked = cursor.fetchall()
        waiting = [row for row in locked if row[1] < row[2]]
        if waiting:
            crash_point(f"{stage}.before_work")
            share = max(limit // len(waiting), 1)
            spans = [Span(id_, done + 1, min(upto, done + share)) for id_, done, upto in waiting]
            return Claim(cursor, stage, ledgers[0].tenant_id, spans)
        cursor.execute("ROLLBACK")
        if not locked:
            return None
        # Another did the work between our look and our lock. Whoever met that lock of ours has
        # gone away, so look again now that it is free.


def operations(work: Claim) -> list[Operation]:
    """The claimed operations by ledger and position. Shortens each span to its share of bytes."""
    work.cursor.execute(FETCH, {**work.scope, "bytes": RUN_BYTES // len(work.spans)})
    rows = list(starmap(Operation, work.cursor.fetchall()))
    found = {ledger_id: list(these) for ledger_id, these in groupby(rows, LEDGER_OF)}
    work.spans = [_seen(work, span, found.get(span.ledger_id, [])) for span in work.spans]
    return rows


def _seen(work: Claim, span: Span, rows: list[Operation]) -> Span:
    """The span as far as its rows were read, none of them missing."""
    if not rows or rows[-1].position - span.first + 1 != len(rows):
        alert.critical("operations_missing", stage=work.stage, found=len(rows), **span._asdict())
        raise MissingOperationsError(
            f"{work.stage} sees {len(rows)} of the operations {span.first} to {span.last} of"
            f" ledger {span.ledger_id}"
        )
    return Span(span.ledger_id, span.first, rows[-1].position)


def reject(work: Claim, refusals: Sequence[Refused]) -> str:
    """The statement that stores the refusals, as (ledger, position, refusal), or nothing."""
    if not refusals:
        return ""
    return mogrify(
        work,
        INSERT_REJECTIONS,
        stage=work.stage,
        ledgers=arrays.integers(ledger for ledger, _, _ in refusals),
        positions=arrays.integers(position for _, position, _ in refusals),
        codes=arrays.words(refusal.code for _, _, refusal in refusals),
        details=arrays.texts(orjson.dumps(refusal.detail).decode() for _, _, refusal in refusals),
    )


def mogrify(work: Claim, statement: str, **parameters: Any) -> str:
    """The statement with its parameters filled in by psycopg2, to be sent along with others."""
    filled: bytes = work.cursor.mogrify(statement, {**work.scope, **parameters})
    return filled.decode()


def record(work: Claim) -> str:
    """The statement that stores the runs."""
    return mogrify(work, INSERT_RUNS, stage=work.stage)


def commit(work: Claim, statements: Iterable[str] = ()) -> None:
    """Write the effect and the runs, and commit, in one message to the server."""
    commit_all(work, [work.stage], [*statements, record(work)])


def commit_all(work: Claim, stages: Sequence[str], statements: Iterable[str]) -> None:
    """Write what the stages did, their runs among it, and commit, in one message to the server."""
    for stage in stages:
        crash_point(f"{stage}.before_commit")
    work.cursor.execute("".join(statements) + "COMMIT")
    for stage in stages:
        crash_point(f"{stage}.after_commit")
