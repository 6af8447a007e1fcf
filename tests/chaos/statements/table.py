"""Which function a statement's text stands for, and those that belong to any session."""

from functools import partial

from pipeline import (
    accept,
    audit,
    dated,
    due,
    heads,
    judge,
    load,
    notify,
    poison,
    rules,
    stage,
    through,
    write,
)
from pipeline.prepared import Prepared
from pipeline.verify import chain, replay, runs, shifts
from pipeline.verify import rules as kept_rules
from tasks import due as due_task
from tasks import sweep
from tests.chaos.fake_database import Parameters, Session, Statement
from tests.chaos.statements.audit import blocks, insert_blocks, leaves, read_heads, take_turns
from tests.chaos.statements.claims import (
    lagging,
    lock_next,
    look_and_lock,
    stands_beside,
    through_look,
)
from tests.chaos.statements.decisions import (
    approvers,
    end_pending,
    insert_decisions,
    keep_pending,
    kept_pending,
    target_legs,
    targets,
)
from tests.chaos.statements.due import read_due, with_due
from tests.chaos.statements.intake import insert_log, look_up
from tests.chaos.statements.poison import clear, failed, forget, recent_rejections, record, rejected
from tests.chaos.statements.posting import (
    insert_accounts,
    insert_postings,
    insert_shifts,
    last_numbers,
    load_accounts,
    shifts_of,
    update_accounts,
    update_shifts,
)
from tests.chaos.statements.rules import (
    keep_settings,
    keep_usage,
    kept_usage,
    load_settings,
    load_usage,
)
from tests.chaos.statements.runs import fetch, insert_rejections, insert_runs, runs_of, tell

SET_TENANT = "SELECT set_config('trident.tenant', :tenant, true)"


def rollback(session: Session, _: Parameters) -> None:
    """ROLLBACK."""
    session.end()


def commit(session: Session, _: Parameters) -> None:
    """COMMIT."""
    session.commit()


def set_tenant(session: Session, given: Parameters) -> None:
    """The transaction's tenant."""
    session.step("SET tenant")
    session.within().tenant = int(given["tenant"])


def prepare_it(statement: Prepared, session: Session, _: Parameters) -> None:
    """PREPARE: the session knows the statement from now on."""
    session.step("PREPARE")
    session.prepared.add(statement.execute)


PREPARED = accept.LOOK_UP, accept.INSERT, through.LOOK_AND_LOCK, through.READ
STATEMENTS: dict[str, Statement] = {
    "ROLLBACK": rollback,
    "COMMIT": commit,
    SET_TENANT: set_tenant,
    **{one._prepare: partial(prepare_it, one) for one in PREPARED},
    accept.BEGIN + accept.LOOK_UP.execute: look_up,
    accept.INSERT.execute + "COMMIT": insert_log,
    stage.LOOK_AND_LOCK: look_and_lock,
    through.BEGIN + through.LOOK_AND_LOCK.execute + through.READ.execute: through_look,
    judge.LOCK_NEXT: lock_next,
    judge.STANDS_BESIDE: stands_beside,
    stage.FETCH: fetch,
    stage.INSERT_REJECTIONS: insert_rejections,
    stage.INSERT_RUNS: insert_runs,
    rules.SETTINGS: load_settings,
    rules.USAGE: load_usage,
    rules.KEEP_SETTINGS: keep_settings,
    rules.KEEP_USAGE: keep_usage,
    load.LAST_NUMBERS: last_numbers,
    load.LOAD_ACCOUNTS: load_accounts,
    load.TARGETS: targets,
    load.TARGET_LEGS: target_legs,
    load.APPROVERS: approvers,
    write.INSERT_ACCOUNTS: insert_accounts,
    write.UPDATE_TOTALS: update_accounts,
    write.UPDATE_ALL: update_accounts,
    write.INSERT_POSTINGS: insert_postings,
    write.INSERT_DECISIONS: insert_decisions,
    write.KEEP_PENDING: keep_pending,
    write.END_PENDING: end_pending,
    dated.INSERT: insert_shifts,
    dated.UPDATE: update_shifts,
    audit.LEAVES: leaves,
    audit.HEADS: read_heads,
    audit.INSERT_BLOCKS: insert_blocks,
    heads.TAKE_TURNS: take_turns,
    notify.TELL: tell,
    poison.RECORD: record,
    poison.FORGET: forget,
    poison.CLEAR: clear,
    poison.FAILED: failed,
    poison.RECENT_REJECTIONS: recent_rejections,
    poison.REJECTED: rejected,
    sweep.LAGGING.text: lagging,
    due.READ: read_due,
    due_task.WITH_DUE.text: with_due,
    chain.BLOCKS: blocks,
    runs.RUNS: runs_of,
    replay.PENDING: kept_pending,
    shifts.ROWS: shifts_of,
    kept_rules.USAGE: kept_usage,
}
assert heads.HEADS_LOCK not in stage.LOCKS.values()
