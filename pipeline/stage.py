"""How every stage claims its work, and how it commits effect and progress together.

    look     without a lock: is the stage before ahead of this one? no: idle
    try      the lock (ledger, stage): held by another: that one will look again
    read     THEN, in a second statement, the last run of this stage and of the one before
    fetch    the operations of (done, upto], as many as a run takes; a missing row is a fault
    commit   the effect and the run, in one message

The look that ends a claim holds no lock, so whoever was turned away by the lock had its work seen
by a later look of the holder: no wake-up is lost between two workers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
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

alert = structlog.get_logger("trident.alert")


class MissingOperationsError(Exception):
    """The log has positions that this transaction cannot see: a wrong tenant, or lost rows."""


class Operation(NamedTuple):
    """One operation as a stage reads it. `body` is its canonical JSON."""

    position: int
    kind: str
    body: str
    accepted_at: Any
    principal: str
    rejected: bool


@dataclass(slots=True)
class Claim:
    """The positions `first` to `last` of a ledger, locked for one stage in an open transaction."""

    cursor: Any
    stage: str
    ledger: LedgerRef
    first: int
    last: int

    @property
    def scope(self) -> dict[str, Any]:
        """The parameters that every statement of the run shares."""
        return {
            "tenant": self.ledger.tenant_id,
            "ledger": self.ledger.ledger_id,
            "first": self.first,
            "last": self.last,
        }


LOOK_AND_LOCK = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
SELECT set_config('trident.claim', CASE
    WHEN last_position(%(tenant)s, %(ledger)s, %(before)s)
         <= last_position(%(tenant)s, %(ledger)s, %(stage)s) THEN 'idle'
    ELSE pg_try_advisory_xact_lock(%(lock)s, %(ledger)s)::text END, true);
SELECT current_setting('trident.claim'),
       last_position(%(tenant)s, %(ledger)s, %(stage)s),
       last_position(%(tenant)s, %(ledger)s, %(before)s)
"""

# The stored size of a body stands in its row, so the first cut reads no body; it may be compressed,
# so the second cut counts the text of what is left.
FETCH = """
SELECT o.position, o.kind, o.body, o.accepted_at, o.principal, o.position IN (
           SELECT r.position FROM rejections r
            WHERE r.tenant_id = %(tenant)s AND r.ledger_id = %(ledger)s
              AND r.position BETWEEN %(first)s AND %(last)s)
  FROM (SELECT position, kind, body::text AS body, accepted_at, principal::text AS principal,
               sum(octet_length(body::text)) OVER (ORDER BY position) AS bytes
          FROM (SELECT *, sum(pg_column_size(body)) OVER (ORDER BY position) AS stored_bytes
                  FROM operations
                 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                   AND position BETWEEN %(first)s AND %(last)s) s
         WHERE s.stored_bytes <= %(bytes)s OR s.position = %(first)s) o
 WHERE o.bytes <= %(bytes)s OR o.position = %(first)s
 ORDER BY o.position
"""

INSERT_REJECTIONS = """
INSERT INTO rejections (position, tenant_id, ledger_id, stage, code, detail)
SELECT position, %(tenant)s, %(ledger)s, %(stage)s, code, detail::json
  FROM unnest(%(positions)s::bigint[], %(codes)s::text[], %(details)s::text[])
       AS new (position, code, detail);
"""

INSERT_RUN = """
INSERT INTO runs (from_position, to_position, tenant_id, ledger_id, stage)
VALUES (%(first)s, %(last)s, %(tenant)s, %(ledger)s, %(stage)s);
COMMIT
"""


def claim(connection: Any, stage: str, ledger: LedgerRef, limit: int) -> Claim | None:
    """The stage's next work, in an open transaction; None when there is none or another has it."""
    parameters = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "stage": stage,
        "before": BEFORE[stage],
        "lock": LOCKS[stage],
    }
    cursor = connection.cursor()
    while True:
        cursor.execute(LOOK_AND_LOCK, parameters)
        state, done, upto = cursor.fetchone()
        if state == "true" and upto > done:
            crash_point(f"{stage}.before_work")
            return Claim(cursor, stage, ledger, done + 1, min(upto, done + limit))
        cursor.execute("ROLLBACK")
        if state != "true":
            return None
        # Another did the work between our look and our lock. Whoever met that lock of ours has
        # gone away, so look again now that it is free.


def operations(work: Claim) -> list[Operation]:
    """The claimed operations in order. Shortens the claim to what fits into one run's bytes."""
    work.cursor.execute(FETCH, {**work.scope, "bytes": RUN_BYTES})
    rows = [Operation._make(row) for row in work.cursor.fetchall()]
    if not rows or rows[-1].position - work.first + 1 != len(rows):
        alert.critical("operations_missing", stage=work.stage, **work.scope, found=len(rows))
        raise MissingOperationsError(
            f"{work.stage} sees {len(rows)} of the operations {work.first} to {work.last} of"
            f" ledger {work.ledger.ledger_id}"
        )
    work.last = rows[-1].position
    return rows


def reject(work: Claim, refusals: Sequence[tuple[int, Refusal]]) -> str:
    """The statement that stores the refusals, as (position, refusal), or nothing."""
    if not refusals:
        return ""
    return mogrify(
        work,
        INSERT_REJECTIONS,
        stage=work.stage,
        positions=arrays.integers(position for position, _ in refusals),
        codes=arrays.words(refusal.code for _, refusal in refusals),
        details=arrays.texts(orjson.dumps(refusal.detail).decode() for _, refusal in refusals),
    )


def mogrify(work: Claim, statement: str, **parameters: Any) -> str:
    """The statement with its parameters filled in by psycopg2, to be sent along with others."""
    filled: bytes = work.cursor.mogrify(statement, {**work.scope, **parameters})
    return filled.decode()


def commit(work: Claim, statements: Iterable[str] = ()) -> None:
    """Write the effect and the run, and commit, in one message to the server."""
    crash_point(f"{work.stage}.before_commit")
    work.cursor.execute("".join(statements) + mogrify(work, INSERT_RUN, stage=work.stage))
    crash_point(f"{work.stage}.after_commit")
