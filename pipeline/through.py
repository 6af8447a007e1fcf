"""A few operations go through all five stages in one transaction.

A ledger whose stages have all come equally far, with a few operations ahead of them, needs no
hand-over from stage to stage: each stage does its work and records its run, in the same order and
by the same code as by itself, and one commit makes all of it true. That is a fifth of the round
trips and of the synced commits.

    look     without a lock: where does little wait, before stages that stand side by side?
    try      the locks of all five stages: the first is held: that one will look again;
             another is held: the ledger is left to the stages
    read     THEN, in a second statement, how far log and stages have come. Has somebody been
             there between our look and our locks, the ledger is left to the stages as well: who
             met those locks has gone away, and the stages are looked at again

Whatever fails here is rolled back and left to the stages by themselves (drain.py), which find out
whose fault it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from models.db import app_engine, raw_connection
from models.ledger import LedgerRef
from pipeline import arrays, audit, notify, post
from pipeline.accept import rollback
from pipeline.crash import crash_point
from pipeline.judge import judge
from pipeline.prepared import Prepared
from pipeline.stage import FEW, STAGES, Claim, Span, commit_all, operations, record

BEGIN = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
"""

# Stages never pass each other: where the first and the last are equally far, all are. What
# last_position would say is spelled out: in one statement over fifty ledgers a third of the time.
LAST = """
              coalesce((SELECT position FROM operations
                         WHERE tenant_id = %(tenant)s AND ledger_id = ledger
                         ORDER BY position DESC LIMIT 1), 0) AS accepted,
              coalesce((SELECT to_position FROM runs
                         WHERE tenant_id = %(tenant)s AND ledger_id = ledger
                           AND stage = 'validate'
                         ORDER BY from_position DESC LIMIT 1), 0) AS validated,
              coalesce((SELECT to_position FROM runs
                         WHERE tenant_id = %(tenant)s AND ledger_id = ledger AND stage = 'notify'
                         ORDER BY from_position DESC LIMIT 1), 0) AS notified
"""

LOOK_AND_LOCK = Prepared(
    "through_look_and_lock",
    """
SELECT set_config('trident.taken', coalesce(string_agg(ledger::text, ',')
                                            FILTER (WHERE state = 'taken'), ''), true),
       set_config('trident.left', coalesce(string_agg(ledger::text, ',')
                                           FILTER (WHERE state = 'left'), ''), true)
  FROM (SELECT ledger, CASE
               WHEN validated <> notified OR accepted - validated > %(few)s THEN 'left'
               WHEN accepted = validated THEN 'idle'
               WHEN NOT pg_try_advisory_xact_lock(1, ledger) THEN 'held'
               WHEN pg_try_advisory_xact_lock(2, ledger) AND pg_try_advisory_xact_lock(3, ledger)
                AND pg_try_advisory_xact_lock(4, ledger) AND pg_try_advisory_xact_lock(5, ledger)
               THEN 'taken' ELSE 'left' END AS state
          FROM (SELECT ledger,"""  # noqa: S608 - put together from constants
    + LAST
    + """
                  FROM unnest(%(ledgers)s) ledger OFFSET 0) looked OFFSET 0) tried
""",
    tenant="integer",
    ledgers="integer[]",
    few="integer",
)

READ = Prepared(
    "through_read",
    "SELECT ledger, taken,"  # noqa: S608 - put together from constants
    + LAST
    + """
  FROM (SELECT unnest(string_to_array(current_setting('trident.taken'), ',')::integer[]), true
         UNION ALL
        SELECT unnest(string_to_array(current_setting('trident.left'), ',')::integer[]), false)
       AS known (ledger, taken)
""",
    tenant="integer",
)


class Through(NamedTuple):
    """What went through, and the numbers of the ledgers that are left to the stages."""

    spans: list[Span]
    left: set[int]


def through(ledgers: Sequence[LedgerRef]) -> Through:
    """Take a few operations of each of a tenant's ledgers through all stages.

    Where somebody else holds the first stage nothing is done and nothing is left: that one looks
    again after its commit. Raises whatever fails, with nothing done.
    """
    with raw_connection(app_engine()) as connection:
        try:
            work, left = claim_all(connection, ledgers)
            if not work.spans:
                return Through([], left)
            write(work)
            return Through(work.spans, left)
        finally:
            rollback(connection)


def claim_all(connection: Any, ledgers: Sequence[LedgerRef]) -> tuple[Claim, set[int]]:
    """What waits, behind the locks of all stages, in an open transaction; and who is left."""
    tenant_id = ledgers[0].tenant_id
    asked = arrays.integers(ledger.ledger_id for ledger in ledgers)
    cursor = connection.cursor()
    statements = BEGIN + LOOK_AND_LOCK.on(cursor) + READ.on(cursor)
    cursor.execute(statements, {"tenant": tenant_id, "ledgers": asked, "few": FEW})
    spans, left = [], set()
    for ledger_id, taken, accepted, validated, notified in cursor.fetchall():
        if taken and notified == validated < accepted:
            spans.append(Span(ledger_id, notified + 1, min(accepted, notified + FEW)))
        else:
            left.add(ledger_id)
    return Claim(cursor, STAGES[0], tenant_id, spans), left


def write(work: Claim) -> None:
    """Every stage's effect and runs, and the commit."""
    for stage in STAGES:
        crash_point(f"{stage}.before_work")
    these, written = judge(work, operations(work), ("validate", "authorize"))
    work.stage = "post"
    written += [*post.effect(work, these), record(work)]
    work.cursor.execute("".join(written))
    work.stage = "audit"
    written = [audit.seal(work), record(work)]
    work.stage = "notify"
    written += [notify.tell(work), record(work)]
    commit_all(work, STAGES, written)
