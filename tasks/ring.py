"""Ringing: tell the workers that ledgers have work, without ever making the caller wait.

A thread gathers the ledgers that became due, skips those for which a bell already waits in the
queue, and publishes one chain for up to fifty of them. A broker that is away opens the breaker: for
a while nothing is published and nobody waits. Whatever was not rung is found by the sweeper.
"""

import threading
import time
from functools import lru_cache

import redis
import structlog

from models.ledger import LedgerRef
from models.settings import settings
from tasks.chain import describe, ring_chain

# Ledgers in one bell. With one in each, 1,000 ledgers at an operation a second grew the queue of
# two worker slots without bound.
BELL_MAX = 50
# A busy ledger is rung at most this often: its operations pile up meanwhile and are worked
# together. An idle ledger is rung at once.
SAME_LEDGER_MIN_S = 0.025
# The key that says "a bell for this ledger waits" outlives the worst wait in the queue.
WAITING_S = 30
WAITING_KEY = "trident:waiting:{}"
# How long the breaker stays open after a failed publish: the sweeper's period.
BREAKER_S = 1.0
CLOSE_S = 3.0  # a closing process gives its last bells this long to get out
BROKER_TIMEOUT_S = 1.0

log = structlog.get_logger("trident.ring")


@lru_cache
def broker() -> redis.Redis:
    """A client of the broker's server for the keys beside the queues."""
    return redis.Redis.from_url(
        settings().broker_url,
        socket_timeout=BROKER_TIMEOUT_S,
        socket_connect_timeout=BROKER_TIMEOUT_S,
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


class Ringer:
    """The ringing thread of one process. `ring` returns at once and never raises."""

    def __init__(self) -> None:
        self._due: dict[LedgerRef, int] = {}
        self._last_rung: dict[LedgerRef, float] = {}
        self._broken_until = 0.0
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="trident-ringer", daemon=True)
        self._thread.start()

    def ring(self, ledger: LedgerRef, upto: int) -> None:
        """The ledger has work up to this position."""
        with self._wake:
            self._due[ledger] = upto
            self._wake.notify()

    def close(self) -> None:
        """Ring what is due and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while True:
            due = self._take()
            if due is None:
                return
            try:
                ring_now(due)
            except Exception as error:  # noqa: BLE001 - no fault of the broker may end the thread
                log.warning("ring_failed", error=str(error), ledgers=len(due))
                self._broken_until = time.monotonic() + BREAKER_S

    def _take(self) -> dict[LedgerRef, int] | None:
        """Wait for ledgers whose turn it is; None when the process closes and nothing is due."""
        with self._wake:
            while True:
                now = time.monotonic()
                ready = {
                    ledger: upto
                    for ledger, upto in self._due.items()
                    if self._closing or now >= self._ready_at(ledger)
                }
                if ready:
                    break
                if self._closing:
                    return None
                self._wake.wait(
                    min((self._ready_at(ledger) - now for ledger in self._due), default=None)
                )
            for ledger in ready:
                del self._due[ledger]
                self._last_rung[ledger] = now
            return ready

    def _ready_at(self, ledger: LedgerRef) -> float:
        rung = self._last_rung.get(ledger, float("-inf"))
        return max(rung + SAME_LEDGER_MIN_S, self._broken_until)


@lru_cache
def ringer() -> Ringer:
    """The process's ringer. Made on first use, so never before a fork."""
    return Ringer()
