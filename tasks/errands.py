"""Errands: what a process does for ledgers soon, in a thread, without making the caller wait.

The ledgers that became due are gathered while an errand runs, and a ledger's turn comes at most
once in a while: a busy ledger is served for all that happened to it since the last time, an idle
one at once. What is left is tried again after a pause.
"""

import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

import structlog

from models.ledger import LedgerRef

CLOSE_S = 3.0  # a closing process gives its last errands this long

# Takes ledgers with their newest positions; gives back those that are still due.
Errand = Callable[[dict[LedgerRef, int]], Collection[LedgerRef]]
# The least time between two turns of a ledger, by how many positions came in since the last one.
Interval = Callable[[int], float]

log = structlog.get_logger("trident.errands")


class Turn(NamedTuple):
    """A ledger's last turn: when (time.monotonic()), and its newest position then."""

    at: float
    upto: int


class Errands:
    """A thread with one errand. `add` returns at once and never raises."""

    def __init__(
        self, name: str, errand: Errand, *, every_s: Interval, rest_s: float, pause_s: float
    ) -> None:
        """`rest_s`: the rest after an errand that left ledgers due; `pause_s`: after a failure."""
        self._name = name
        self._errand = errand
        self._every_s = every_s
        self._rest_s = rest_s
        self._pause_s = pause_s
        self._due: dict[LedgerRef, int] = {}
        self._turns: dict[LedgerRef, Turn] = {}
        self._paused_until = 0.0
        self._closing = False
        self._wake = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"trident-{name}", daemon=True)
        self._thread.start()

    def add(self, ledger: LedgerRef, upto: int) -> None:
        """The ledger is due; its newest position."""
        with self._wake:
            self._due[ledger] = upto
            self._wake.notify()

    def close(self) -> None:
        """Run what is due, once, and end the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (due := self._take()) is not None:
            try:
                left = self._errand(due)
                pause_s = self._rest_s
            except Exception as error:  # noqa: BLE001 - no fault of an errand may end the thread
                log.warning("errand_failed", errand=self._name, error=str(error), ledgers=len(due))
                left, pause_s = due, self._pause_s
            if left:
                self._put_back({ledger: due[ledger] for ledger in left}, pause_s)

    def _put_back(self, left: dict[LedgerRef, int], pause_s: float) -> None:
        with self._wake:
            self._paused_until = time.monotonic() + pause_s
            if not self._closing:
                self._due = {**left, **self._due}

    def _take(self) -> dict[LedgerRef, int] | None:
        """Wait for ledgers whose turn it is; None when the process closes and nothing is due."""
        with self._wake:
            while True:
                now = time.monotonic()
                if now < self._paused_until and not self._closing:
                    self._wake.wait(self._paused_until - now)
                    continue
                ready = {
                    ledger: upto
                    for ledger, upto in self._due.items()
                    if self._closing or now >= self._ready_at(ledger, upto)
                }
                if ready:
                    break
                if self._closing:
                    return None
                waits = (self._ready_at(*due) - now for due in self._due.items())
                self._wake.wait(min(waits, default=None))
            for ledger, upto in ready.items():
                del self._due[ledger]
                self._turns[ledger] = Turn(now, upto)
            return ready

    def _ready_at(self, ledger: LedgerRef, upto: int) -> float:
        last = self._turns.get(ledger)
        return float("-inf") if last is None else last.at + self._every_s(upto - last.upto)
