"""One stage, worked until nothing is left or it is somebody else's turn.

A refusal is data and never gets here. A fault of the surroundings is raised: the sweeper rings
again. A failure of the data turns the work careful (poison.py).

Several ledgers of one tenant are worked together: a thousand ledgers with an operation each cost
little more than one with a thousand. What fails together is worked ledger by ledger.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import structlog
from sqlalchemy import Engine

from models.db import IDLE_IN_TRANSACTION_TIMEOUT_MS, app_engine, raw_connection
from models.ledger import LedgerRef
from pipeline import poison
from pipeline.accept import rollback
from pipeline.audit import audit
from pipeline.judge import authorize_alone, validate_onwards
from pipeline.notify import notify
from pipeline.post import post
from pipeline.stage import RUN_OPERATIONS, Claim, Span, claim

EFFECTS: dict[str, Callable[[Claim], None]] = {
    "validate": validate_onwards,
    "authorize": authorize_alone,
    "post": post,
    "audit": audit,
    "notify": notify,
}

# Looks at one ledger before others get their turn; what then still waits is rung for again.
ROUNDS_MAX = 3
# Halving 10,000 operations down to one takes 14 rounds, then three lone attempts and the rest.
CAREFUL_ROUNDS_MAX = 24
# A bell may carry 50 ledgers and ends after 30 s: one ledger must not use that up alone.
ROUNDS_END_AFTER_S = 8.0
TIMEOUT_DIVISOR = 4
# The database ends a transaction that says nothing for so long, often without a word of why: a run
# that computed for longer and lost its connection would do so again.
SILENCE_ENDS_AFTER_S = IDLE_IN_TRANSACTION_TIMEOUT_MS / 1000
# What time-outs taught this process: how many operations a run of (stage, ledger) takes for now. It
# outlives the bell, because one time-out uses a bell's time up; each run that succeeds doubles it.
learned: dict[tuple[str, int], int] = {}


class Drained(NamedTuple):
    """What came of a ledger: how many runs were made, and whether operations still wait."""

    runs: int
    more: bool


class Together(NamedTuple):
    """What came of several ledgers: who had work, and whether operations still wait somewhere."""

    worked: set[int]
    more: bool


log = structlog.get_logger("trident.stage")


def drain_together(stage: str, ledgers: Sequence[LedgerRef]) -> Together:
    """Work the stage at ledgers of one tenant. Raises whatever fails: then drain each by itself."""
    worked: set[int] = set()
    deadline = time.monotonic() + ROUNDS_END_AFTER_S
    for _ in range(ROUNDS_MAX):
        if time.monotonic() > deadline:
            break
        done = run_once(app_engine(), stage, ledgers, RUN_OPERATIONS, careful=False)
        if not done:
            return Together(worked, more=False)
        worked.update(span.ledger_id for span in done)
    return Together(worked, more=True)


def drain(stage: str, ledger: LedgerRef, *, careful: bool = False) -> Drained:
    """Work the stage at one ledger. Raises faults, HaltedError, AuditStopError."""
    taught = (stage, ledger.ledger_id)
    rounds = runs = 0
    deadline = time.monotonic() + ROUNDS_END_AFTER_S
    while rounds < (CAREFUL_ROUNDS_MAX if careful else ROUNDS_MAX):
        rounds += 1
        if time.monotonic() > deadline:
            break
        limit = learned.get(taught, RUN_OPERATIONS)
        began = time.monotonic()
        try:
            if not run_once(app_engine(), stage, [ledger], limit, careful):
                return Drained(runs, more=False)
            runs += 1
            recover(taught, limit)
        except poison.HaltedError:
            raise
        except Exception as error:
            silent = poison.is_fault(error) and time.monotonic() - began > SILENCE_ENDS_AFTER_S
            if (poison.is_timeout(error) or silent) and limit > 1:
                learned[taught] = max(1, limit // TIMEOUT_DIVISOR)
                log.warning("run_timed_out", stage=stage, ledger=ledger.ledger_id, limit=limit)
            elif poison.is_fault(error) or stage not in poison.REJECTING:
                raise
            else:
                log.exception("run_failed", stage=stage, ledger=ledger.ledger_id)
                careful = True
    return Drained(runs, more=True)


def recover(taught: tuple[str, int], limit: int) -> None:
    """A run of so many operations succeeded: the next may take twice as many, up to the usual."""
    if taught in learned:
        learned[taught] = limit * 2
        if learned[taught] >= RUN_OPERATIONS:
            del learned[taught]


def run_once(
    engine: Engine, stage: str, ledgers: Sequence[LedgerRef], limit: int, careful: bool
) -> list[Span]:
    """Claim and do one run at each ledger that has work; the runs."""
    with uncollected(), raw_connection(engine) as connection:
        try:
            work = claim(connection, stage, ledgers, limit)
            if work is None:
                return []
            work.careful = careful
            if careful:
                _run_carefully(engine, work)
            else:
                _run(engine, work)
        finally:
            rollback(connection)
    return work.spans


@contextmanager
def uncollected() -> Iterator[None]:
    """Keep the collector of cycles away from a run.

    A run makes a hundred thousand objects, none of them in a cycle: they go when the run does. The
    collector counts them, takes them for litter, and looks through the whole process each time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _run(engine: Engine, work: Claim) -> None:
    """A normal run: nothing is written down unless it fails on its data."""
    try:
        EFFECTS[work.stage](work)
    except Exception as error:
        suspicious = not poison.is_fault(error) and work.stage in poison.REJECTING
        if suspicious and len(work.spans) == 1:
            with raw_connection(engine) as notes:
                poison.record(notes, work)
        raise


def _run_carefully(engine: Engine, work: Claim) -> None:
    """A run under suspicion: recorded before it is tried, taken back if the surroundings fail."""
    if poison.narrow(work) >= poison.LONE_ATTEMPTS_MAX:
        poison.reject_alone(work)
        return
    with raw_connection(engine) as notes:
        poison.record(notes, work)
    try:
        poison.clear(work)
        EFFECTS[work.stage](work)
    except BaseException as error:
        if poison.is_fault(error):
            # `clear` has locked the attempt: unless that ends first, we wait for ourselves.
            rollback(work.cursor.connection)
            # What broke this run's connection broke older ones of the pool too: take a new one.
            engine.dispose()
            with raw_connection(engine) as notes:
                poison.forget(notes, work)
        raise
