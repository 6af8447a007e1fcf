"""The five tasks. Each takes a bell and works its stage for every ledger that the bell names."""

import time

import redis
import structlog
from kombu.exceptions import OperationalError

from models.ledger import LedgerRef
from pipeline import heads
from pipeline.drain import drain
from tasks.app import app
from tasks.chain import AUDIT, AUTHORIZE, NOTIFY, POST, VALIDATE, Bell
from tasks.ring import clear_waiting, ring_now

# Celery kills a task after 30 s (celeryconfig.py) and pipeline.drain leaves a ledger after 8 s: who
# has not had its turn by now is rung for again, and the chain goes on for the others.
BELL_ENDS_AFTER_S = 15.0

log = structlog.get_logger("trident.stage")


@app.task(name=VALIDATE)
def validate(bell: Bell, careful: bool) -> None:
    """The first to hear a bell: from here on the ledger may be rung again."""
    clear_waiting([ledger_id for _, ledger_id, _ in bell])
    work("validate", bell, careful)


@app.task(name=AUTHORIZE)
def authorize(bell: Bell, careful: bool) -> None:
    """May these principals do this?"""
    work("authorize", bell, careful)


@app.task(name=POST)
def post(bell: Bell, careful: bool) -> None:
    """Into the ledger."""
    work("post", bell, careful)


@app.task(name=AUDIT)
def audit(bell: Bell, careful: bool) -> None:
    """Seal, and keep the newest head outside the database."""
    for ledger in work("audit", bell, careful):
        if not heads.keep(ledger):
            break  # a store that is away costs one time-out, not one for each ledger


@app.task(name=NOTIFY)
def notify(bell: Bell, careful: bool) -> None:
    """Tell those who wait."""
    work("notify", bell, careful)


def work(stage: str, bell: Bell, careful: bool) -> list[LedgerRef]:
    """Drain the stage for each ledger; those for which there was work.

    One ledger's fault stops no other ledger; if all failed, the chain ends with the fault.
    """
    worked: list[LedgerRef] = []
    more: dict[LedgerRef, int] = {}
    faults: list[Exception] = []
    deadline = time.monotonic() + BELL_ENDS_AFTER_S
    for tenant_id, ledger_id, name in bell:
        ledger = LedgerRef(tenant_id, ledger_id, name)
        if time.monotonic() > deadline:
            more[ledger] = 0
            continue
        try:
            drained = drain(stage, ledger, careful=careful)
            if drained.runs:
                worked.append(ledger)
            if drained.more:
                more[ledger] = 0
        except Exception as error:
            log.exception("stage_failed", stage=stage, tenant=tenant_id, ledger=ledger_id)
            faults.append(error)
    if more:
        ring_more(more, careful)
    if faults and len(faults) == len(bell):
        raise faults[0]
    return worked


def ring_more(more: dict[LedgerRef, int], careful: bool) -> None:
    """Ring once more for what is left; without a broker the sweeper will."""
    try:
        ring_now(more, careful=careful)
    except (redis.RedisError, OperationalError) as error:
        log.warning("ring_failed", error=str(error), ledgers=len(more))
