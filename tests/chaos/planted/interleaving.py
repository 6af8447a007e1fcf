"""Bugs that only some interleavings show: planted into the simulation, which must find them."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import api.writer
import pipeline.audit
import pipeline.notify
import pipeline.poison
import pipeline.post
import pipeline.stage
import tasks.stages
from models.ledger import LedgerRef
from pipeline.drain import Drained, Together, run_once
from pipeline.stage import RUN_OPERATIONS, Claim, mogrify
from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.plan import Plan
from tests.chaos.statements.arguments import integers
from tests.chaos.statements.table import STATEMENTS

COMMITTING = (
    pipeline.post,
    pipeline.audit,
    pipeline.notify,
    pipeline.poison,
)


@dataclass(frozen=True)
class Planted:
    """A bug, how it is put in, the plans that are to find it, and the same without the bug.

    `backstop`: the database's guards alone still hold the money, and it takes both to do harm.
    """

    name: str
    put_in: Callable[[], AbstractContextManager[Any]]
    given: Callable[[Plan], Plan]
    control: Callable[[Plan], Plan]
    backstop: bool = False


def anything(plan: Plan) -> Plan:
    """The plan as its seed made it."""
    return plan


def only_bells(plan: Plan) -> Plan:
    """No sweeper, and nothing is lost: bells alone must do."""
    return replace(plan, sweeper=False, losses_max=0, poison=False)


def flushed(plan: Plan) -> Plan:
    """Nothing is lost, except what FLUSHALL takes."""
    flush = frozenset({"flush"})
    return replace(plan, faults=flush, losses_max=40, loss_chance=0.02, sweeper=True, poison=False)


def flushed_without_sweeper(plan: Plan) -> Plan:
    """The same, and nobody looks for ledgers that stand still."""
    return replace(flushed(plan), sweeper=False)


# Progress read before the stage's lock.

READ_THEN_LOCK = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
SELECT ledger, done, upto
  FROM (SELECT ledger, last_position(%(tenant)s, ledger, %(stage)s) AS done,
               last_position(%(tenant)s, ledger, %(before)s) AS upto
          FROM unnest(%(ledgers)s::integer[]) ledger) progress
 WHERE done < upto AND pg_try_advisory_xact_lock(%(lock)s, ledger)
"""


def read_then_lock(session: Session, given: Parameters) -> Rows:
    """READ_THEN_LOCK: one snapshot for both, as old as the wait for the lock."""
    name = given["stage"]
    session.begin().tenant = given["tenant"]
    session.step(f"{name}: read progress")
    seen = [(ledger, session.see(given, ledger)) for ledger in integers(given["ledgers"])]
    rows = [(id_, b.last_position(name), b.last_position(given["before"])) for id_, b in seen]
    taken = []
    for row in rows:
        if row[1] < row[2]:
            session.step(f"{name}: try to lock {row[0]}")
            if session.try_lock((given["lock"], row[0])):
                taken.append(row)
    return taken


@contextmanager
def progress_before_lock() -> Iterator[None]:
    """Claims trust what they read before they had the lock."""
    with (
        mock.patch.dict(STATEMENTS, {READ_THEN_LOCK: read_then_lock}),
        mock.patch.object(pipeline.stage, "LOOK_AND_LOCK", READ_THEN_LOCK),
    ):
        yield


# The run recorded in a second transaction.

BEGIN_AGAIN = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
"""


def begin_again(session: Session, given: Parameters) -> None:
    """BEGIN_AGAIN."""
    session.step("BEGIN again")
    session.begin().tenant = given["tenant"]


def commit_twice(work: Claim, statements: Iterable[str] = ()) -> None:
    """First the effect, then, in another transaction, the run."""
    work.cursor.execute("".join(statements) + "COMMIT")
    runs = mogrify(work, pipeline.stage.INSERT_RUNS, stage=work.stage)
    work.cursor.execute(mogrify(work, BEGIN_AGAIN) + runs + "COMMIT")


@contextmanager
def second_transaction() -> Iterator[None]:
    """Effect and run commit one after the other."""
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(STATEMENTS, {BEGIN_AGAIN: begin_again}))
        for module in COMMITTING:
            stack.enter_context(mock.patch.object(module, "commit", commit_twice))
        yield


# The bell rung before the commit.


def ring_then_store(thread: Any, group: Any) -> None:
    """What api.writer does with a group, the first step last."""
    thread._ring(group.ledger, 0)
    group.answer(thread._store(group.ledger, group.submissions, group.due))


def ring_before_commit() -> AbstractContextManager[Any]:
    """Intake rings for what is not there yet."""
    return mock.patch.object(api.writer._Thread, "_write", ring_then_store)


# The look after the commit left out.


def drain_once(stage: str, ledger: LedgerRef, *, careful: bool) -> Drained:
    """One run, and content with it."""
    done = run_once(pipeline.drain.app_engine(), stage, [ledger], RUN_OPERATIONS, careful)
    return Drained(len(done), more=False)


def drain_together_once(stage: str, ledgers: Sequence[LedgerRef]) -> Together:
    """One run at each ledger, and content with it."""
    done = run_once(pipeline.drain.app_engine(), stage, ledgers, RUN_OPERATIONS, careful=False)
    return Together({span.ledger_id for span in done}, more=False)


def through_once(ledgers: list[LedgerRef], _ends: float) -> list[LedgerRef]:
    """One round, and content with it; which ledgers are left to the stages."""
    spans, left = tasks.stages.through(ledgers)
    for span in spans:
        tasks.stages.keeper().add(next(one for one in ledgers if one[1] == span.ledger_id), 0)
    return [ledger for ledger in ledgers if ledger.ledger_id in left]


def no_second_look() -> AbstractContextManager[Any]:
    """Who worked goes away without looking again."""
    return mock.patch.multiple(
        tasks.stages,
        drain=drain_once,
        drain_together=drain_together_once,
        through_rounds=through_once,
    )


PLANTED = (
    Planted(
        "progress read before the stage's lock",
        progress_before_lock,
        given=anything,
        control=anything,
        backstop=True,
    ),
    Planted(
        "run recorded in a second transaction",
        second_transaction,
        given=anything,
        control=anything,
        backstop=True,
    ),
    Planted("ring before commit", ring_before_commit, given=only_bells, control=only_bells),
    Planted(
        "look-again removed, sweeper off", no_second_look, given=only_bells, control=only_bells
    ),
    Planted(
        "sweeper off with FLUSHALL", nullcontext, given=flushed_without_sweeper, control=flushed
    ),
)
