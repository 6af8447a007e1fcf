"""Validate and authorize in one run, where they stand side by side.

Both judge an operation by itself, without the books, and read the same rows. Where authorize has
come as far as validate, a run of validate takes its work along: one reading of the log and one
commit for two stages. Each has its code, its refusals and its run, as by itself.
"""

from collections.abc import Sequence

from pipeline import authorize, validate
from pipeline.crash import crash_point
from pipeline.stage import LOCKS, Claim, Operation, commit_all, operations, record, reject

LOCK_NEXT = """
SELECT count(*) FROM unnest(%(ledgers)s::integer[]) ledger
 WHERE pg_try_advisory_xact_lock(%(lock)s, ledger)
"""

# In a statement of its own, after the lock: what was read before it may be old.
STANDS_BESIDE = """
SELECT coalesce(bool_and(last_position(%(tenant)s, ledger, %(next)s) = first - 1), false)
  FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[]) AS s (ledger, first)
"""

JUDGES = {"validate": validate.judge, "authorize": authorize.judge}


def validate_and_authorize(work: Claim) -> None:
    """A run of validate, and of authorize if nobody is at it and it stands beside.

    Whoever met authorize's lock meanwhile has gone away: the chain of this bell looks there next.
    """
    stages = ["validate"]
    if not work.careful and next_is_beside(work):
        crash_point("authorize.before_work")
        stages.append("authorize")
    _, written = judge(work, operations(work), stages)
    commit_all(work, stages, written)


def authorize_alone(work: Claim) -> None:
    """A run of authorize, where validate has gone ahead."""
    _, written = judge(work, operations(work), ["authorize"])
    commit_all(work, ["authorize"], written)


def next_is_beside(work: Claim) -> bool:
    """Lock authorize at every ledger of the claim; whether it stands where validate does."""
    parameters = {**work.scope, "next": "authorize", "lock": LOCKS["authorize"]}
    work.cursor.execute(LOCK_NEXT, parameters)
    (locked,) = work.cursor.fetchone()
    if locked < len(work.spans):
        return False
    work.cursor.execute(STANDS_BESIDE, parameters)
    (beside,) = work.cursor.fetchone()
    return bool(beside)


def judge(
    work: Claim, these: Sequence[Operation], stages: Sequence[str]
) -> tuple[list[Operation], list[str]]:
    """The operations, marked where they are refused, and the statements that write the judgement.

    They are refusals and runs of the stages.
    """
    these, written = list(these), []
    for stage in stages:
        work.stage = stage
        refused = JUDGES[stage](these)
        if refused:
            gone = {(ledger_id, position) for ledger_id, position, _ in refused}
            these = [o._replace(rejected=True) if o[:2] in gone else o for o in these]
        written += [reject(work, refused), record(work)]
    return these, written
