"""What a run of validate takes along: authorize, and of many operations post.

Validate and authorize judge an operation by itself, and post applies what neither refused; all
three read the same rows. Where they stand side by side one reading of the log and one commit do for
all of them. Each has its code, its refusals and its run, as by itself. Of a bulk load this is how
most is posted; audit and notify follow beside it, in another process.

Few operations that come one by one go through all five stages at once (through.py). What stands
apart, or fails, is worked stage by stage.
"""

from collections.abc import Sequence

from pipeline import authorize, post, validate
from pipeline.crash import crash_point
from pipeline.stage import FEW, LOCKS, Claim, Operation, commit_all, operations, record, reject

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


def validate_onwards(work: Claim) -> None:
    """A run of validate, and of the stages after it that stand beside and nobody is at.

    Whoever met their locks meanwhile has gone away: the chain of this bell looks there next.
    """
    stages = ["validate", *locked_beside(work)]
    these, written = judge(work, operations(work), [stage for stage in stages if stage in JUDGES])
    if "post" in stages:
        work.stage = "post"
        written += [*post.effect(work, these), record(work)]
    commit_all(work, stages, written)


def authorize_alone(work: Claim) -> None:
    """A run of authorize, where validate has gone ahead."""
    _, written = judge(work, operations(work), ["authorize"])
    commit_all(work, ["authorize"], written)


def locked_beside(work: Claim) -> list[str]:
    """Which stages the run takes along, locked: authorize, and of many operations post."""
    if work.careful:
        return []
    many = sum(span.last - span.first + 1 for span in work.spans) > FEW
    found = []
    for stage in ("authorize", "post") if many else ("authorize",):
        if not is_beside(work, stage):
            break
        crash_point(f"{stage}.before_work")
        found.append(stage)
    return found


def is_beside(work: Claim, stage: str) -> bool:
    """Lock the stage at every ledger of the claim; whether it stands where validate does."""
    parameters = {**work.scope, "next": stage, "lock": LOCKS[stage]}
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
