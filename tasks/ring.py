"""Ringing: tell the workers that ledgers have work, without ever making the caller wait.

A thread (errands.py) gathers the ledgers that became due, skips those for which a bell already
waits in the queue, and publishes one chain for up to fifty of them. A broker that is away opens the
breaker: for a while nothing is published and nobody waits. Whatever was not rung is found by the
sweeper.
"""

from collections.abc import Collection
from functools import lru_cache

import redis
import structlog

from models.ledger import LedgerRef
from models.settings import settings
from pipeline.stage import FEW
from tasks.chain import VALIDATE, describe, ring_chain
from tasks.errands import Errands

# Ledgers in one bell. With one in each, 1,000 ledgers at an operation a second grew the queue of
# two worker slots without bound.
BELL_MAX = 50
# A busy ledger is rung at most this often: its operations pile up meanwhile and are worked
# together. An idle ledger is rung at once.
SAME_LEDGER_MIN_S = 0.025
# More than a few operations go stage by stage anyway: the larger their runs, the less each costs.
BULK_LEDGER_MIN_S = 0.2
# With so many bells in the first queue another one would only wait there; meanwhile the ledgers
# that become due gather for larger bells, which cost the workers far less. 1,000 ledgers with an
# operation a second each: with four, p99 of accepted to posted was 2.4 s, with two 0.2 s.
BELLS_ENOUGH = 2
# The key that says "a bell for this ledger waits" outlives the worst wait in the queue.
WAITING_S = 30
WAITING_KEY = "trident:waiting:{}"
# How long the breaker stays open after a failed publish: the sweeper's period.
BREAKER_S = 1.0
BROKER_TIMEOUT_S = 1.0

log = structlog.get_logger("trident.ring")


@lru_cache
def broker() -> redis.Redis:
    """A client of the broker's server for the keys beside the queues."""
    return client_of(settings().broker_url)


def client_of(url: str) -> redis.Redis:
    """A client that waits for no dead server."""
    return redis.Redis.from_url(
        url, socket_timeout=BROKER_TIMEOUT_S, socket_connect_timeout=BROKER_TIMEOUT_S
    )


def mark_waiting(ledger_ids: list[int]) -> list[bool]:
    """For each ledger, whether no bell waits yet; from now on one does."""
    pipe = broker().pipeline(transaction=False)
    for ledger_id in ledger_ids:
        pipe.set(WAITING_KEY.format(ledger_id), 1, nx=True, ex=WAITING_S)
    return [bool(new) for new in pipe.execute()]


def clear_waiting(ledger_ids: list[int]) -> None:
    """The bell has been heard: what comes from now on rings anew. A dead broker is no matter."""
    try:
        broker().delete(*(WAITING_KEY.format(ledger_id) for ledger_id in ledger_ids))
    except redis.RedisError as error:
        log.warning("waiting_not_cleared", error=str(error))


def ring_now(due: dict[LedgerRef, int], *, careful: bool = False) -> int:
    """Publish bells for the ledgers that have none waiting; how many were rung.

    `due` maps a ledger to its newest position. Raises the broker's errors.
    """
    ledgers = list(due)
    new = mark_waiting([ledger.ledger_id for ledger in ledgers])
    rung = {ledger: due[ledger] for ledger, is_new in zip(ledgers, new, strict=True) if is_new}
    publish(rung, careful=careful)
    return len(rung)


def publish(due: dict[LedgerRef, int], *, careful: bool = False) -> None:
    """One chain for each fifty of these ledgers, whether or not a bell waits already."""
    ledgers = list(due)
    for start in range(0, len(ledgers), BELL_MAX):
        part = ledgers[start : start + BELL_MAX]
        says = describe([(f"{ledger.tenant_id}/{ledger.name}", due[ledger]) for ledger in part])
        ring_chain([list(ledger) for ledger in part], says, careful=careful)


def ring_due(due: dict[LedgerRef, int]) -> Collection[LedgerRef]:
    """The ringing thread's errand: ring, or leave them due while the workers have enough to do."""
    if broker().llen(VALIDATE) >= BELLS_ENOUGH:
        return due
    ring_now(due)
    return ()


def ring_every_s(many: int) -> float:
    """How often a ledger is rung at the most while so many operations come in between."""
    return SAME_LEDGER_MIN_S if many <= FEW else BULK_LEDGER_MIN_S


@lru_cache
def ringer() -> Errands:
    """The process's ringing thread. Made on first use, so never before a fork."""
    return Errands(
        "ringer", ring_due, every_s=ring_every_s, rest_s=SAME_LEDGER_MIN_S, pause_s=BREAKER_S
    )
