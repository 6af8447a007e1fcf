"""The five tasks. Each takes a bell and works its stage for every ledger that the bell names."""

import time
from dataclasses import dataclass, field
from typing import Any

import redis
import structlog
from celery.signals import worker_process_shutdown
from kombu.exceptions import OperationalError

from models.ledger import LedgerRef
from pipeline.drain import ROUNDS_MAX, drain, drain_together
from pipeline.through import through
from tasks.app import app
from tasks.chain import AUDIT, AUTHORIZE, NOTIFY, POST, VALIDATE, Bell
from tasks.keep import keeper
from tasks.ring import clear_waiting, ring_now
from tasks.shown import drop_rest

# Celery kills a task after 30 s (celeryconfig.py) and pipeline.drain leaves a ledger after 8 s: who
# has not had its turn by now is rung for again, and the chain goes on for the others.
BELL_ENDS_AFTER_S = 15.0

# Taking a bell's ledgers through all stages takes milliseconds. Where it takes longer, the stages
# get what is left.
THROUGH_ENDS_AFTER_S = 5.0

log = structlog.get_logger("trident.stage")


@worker_process_shutdown.connect
def _last_heads(**_: Any) -> None:
    """A pool child that is replaced or stopped keeps the heads that are still due."""
    if keeper.cache_info().currsize:
        keeper().close()


@app.task(name=VALIDATE, bind=True)
def validate(self: Any, bell: Bell, careful: bool) -> None:
    """The first to hear a bell: from here on the ledger may be rung again.

    Where little waits, all stages are worked at once; if that was all, the chain ends here.
    """
    began = time.time()
    clear_waiting([ledger_id for _, ledger_id, _ in bell])
    left = bell if careful else work_through(bell)
    if not left:
        drop_rest(self.request, began)
        return
    work("validate", left, careful).raise_if_all_failed(left)


@app.task(name=AUTHORIZE)
def authorize(bell: Bell, careful: bool) -> None:
    """May these principals do this?"""
    work("authorize", bell, careful).raise_if_all_failed(bell)


@app.task(name=POST)
def post(bell: Bell, careful: bool) -> None:
    """Into the ledger."""
    work("post", bell, careful).raise_if_all_failed(bell)


@app.task(name=AUDIT)
def audit(bell: Bell, careful: bool) -> None:
    """Seal, and have the newest heads kept outside the database."""
    outcome = work("audit", bell, careful)
    for ledger in (*outcome.worked, *outcome.interrupted):
        keeper().add(ledger, 0)
    outcome.raise_if_all_failed(bell)


@app.task(name=NOTIFY)
def notify(bell: Bell, careful: bool) -> None:
    """Tell those who wait."""
    work("notify", bell, careful).raise_if_all_failed(bell)


def work_through(bell: Bell) -> Bell:
    """Work all stages of the ledgers where little waits; which are left to the stages."""
    left: list[LedgerRef] = []
    ends = time.monotonic() + THROUGH_ENDS_AFTER_S
    for ledgers in by_tenant(bell):
        try:
            left += through_rounds(ledgers, ends)
        except Exception as error:  # noqa: BLE001 - stage by stage shows whose fault it is
            log.warning("not_through", ledgers=len(ledgers), error=str(error))
            left += ledgers
            for ledger in ledgers:
                keeper().add(ledger, 0)  # whatever was committed before, or by the failing commit
    return [list(ledger) for ledger in left]


def through_rounds(ledgers: list[LedgerRef], ends: float) -> list[LedgerRef]:
    """Until a look without locks finds nothing more; which ledgers are left to the stages.

    Where operations keep coming in, another bell is rung: other ledgers get their turn before it.
    """
    by_id = {ledger.ledger_id: ledger for ledger in ledgers}
    if time.monotonic() > ends:
        return ledgers
    for _ in range(ROUNDS_MAX):
        spans, left = through(ledgers)
        for span in spans:
            keeper().add(by_id[span.ledger_id], span.last)
        if not spans:
            break
    else:
        ring_more([by_id[span.ledger_id] for span in spans], careful=False)
    return [by_id[ledger_id] for ledger_id in left]


@dataclass
class Outcome:
    """What came of a bell: who had work, who has more, and what failed.

    `interrupted`: a fault came in between, perhaps after runs that are committed.
    """

    worked: list[LedgerRef] = field(default_factory=list)
    more: list[LedgerRef] = field(default_factory=list)
    interrupted: list[LedgerRef] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)

    def raise_if_all_failed(self, bell: Bell) -> None:
        """End the chain with the fault if it stopped every ledger of the bell."""
        if self.faults and len(self.faults) == len(bell):
            raise self.faults[0]


def work(stage: str, bell: Bell, careful: bool) -> Outcome:
    """Drain the stage for each ledger; what came of it. No fault stops another ledger."""
    outcome = Outcome()
    deadline = time.monotonic() + BELL_ENDS_AFTER_S
    for ledgers in by_tenant(bell):
        if time.monotonic() > deadline:
            outcome.more += ledgers
        elif careful or len(ledgers) == 1 or not work_together(stage, ledgers, outcome):
            for ledger in ledgers:
                if time.monotonic() > deadline:
                    outcome.more.append(ledger)
                else:
                    work_alone(stage, ledger, careful, outcome)
    if outcome.more:
        ring_more(outcome.more, careful)
    return outcome


def by_tenant(bell: Bell) -> list[list[LedgerRef]]:
    """The bell's ledgers, those of a tenant together."""
    tenants: dict[int, list[LedgerRef]] = {}
    for tenant_id, ledger_id, name in bell:
        tenants.setdefault(tenant_id, []).append(LedgerRef(tenant_id, ledger_id, name))
    return list(tenants.values())


def work_together(stage: str, ledgers: list[LedgerRef], outcome: Outcome) -> bool:
    """Drain the stage for ledgers of one tenant in shared runs; whether that went well."""
    try:
        together = drain_together(stage, ledgers)
    except Exception as error:  # noqa: BLE001 - each by itself shows whose fault it is
        log.warning("not_together", stage=stage, ledgers=len(ledgers), error=str(error))
        outcome.interrupted += ledgers
        return False
    outcome.worked += [ledger for ledger in ledgers if ledger.ledger_id in together.worked]
    if together.more:
        outcome.more += ledgers
    return True


def work_alone(stage: str, ledger: LedgerRef, careful: bool, outcome: Outcome) -> None:
    """Drain the stage for one ledger."""
    try:
        drained = drain(stage, ledger, careful=careful)
        if drained.runs:
            outcome.worked.append(ledger)
        if drained.more:
            outcome.more.append(ledger)
    except Exception as error:
        log.exception("stage_failed", stage=stage, tenant=ledger.tenant_id, ledger=ledger.ledger_id)
        outcome.interrupted.append(ledger)
        outcome.faults.append(error)


def ring_more(more: list[LedgerRef], careful: bool) -> None:
    """Ring once more for what is left; without a broker the sweeper will."""
    try:
        ring_now(dict.fromkeys(more, 0), careful=careful)
    except (redis.RedisError, OperationalError) as error:
        log.warning("ring_failed", error=str(error), ledgers=len(more))
