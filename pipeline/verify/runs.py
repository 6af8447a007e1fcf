"""The runs: each stage's join up from position 1 on, and none has passed the stage before it."""

from typing import Any

from models.ledger import LedgerRef
from pipeline.progress import Progress
from pipeline.stage import BEFORE, STAGES
from pipeline.verify.finding import FoundError

# Runs read at a time: a few MB.
CHUNK_RUNS = 50_000

RUNS = """
SELECT from_position, to_position FROM runs
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND stage = %(stage)s
   AND from_position > %(after)s
 ORDER BY from_position LIMIT %(limit)s
"""


def check_runs(cursor: Any, ledger: LedgerRef, reached: Progress) -> int:
    """How many runs there are; raises FoundError."""
    count = 0
    for stage in STAGES:
        done, runs = _walk(cursor, ledger, stage)
        count += runs
        limit = getattr(reached, BEFORE[stage])
        if done > limit:
            raise FoundError(f"{stage} has passed {BEFORE[stage]}, which is at {limit}", done)
    return count


def _walk(cursor: Any, ledger: LedgerRef, stage: str) -> tuple[int, int]:
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "stage": stage}
    done = count = 0
    after = -1
    while True:
        cursor.execute(RUNS, {**scope, "after": after, "limit": CHUNK_RUNS})
        rows = cursor.fetchall()
        if not rows:
            return done, count
        for first, last in rows:
            if first != done + 1 or last < first:
                run = f"a run of {stage} is from {first} to {last}"
                raise FoundError(f"{run}, and the one before it ends at {done}", done + 1)
            done = last
        count += len(rows)
        after = rows[-1][0]
