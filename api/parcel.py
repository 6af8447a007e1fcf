"""What request threads hand to the writer, and how it waits: in lines, one for each ledger.

    request thread ── put(parcel) ──▶ line of its ledger ──▶ take() ── group ──▶ a writer's thread
                   ◀────────────────── answers ──────────────────────────────────┘

Ledgers take turns. No ledger is with two writers at once, so a group is as large as what came while
the ledger was being written. In a line, single operations go before the chunks of a bulk request,
and each group takes one chunk along, so neither waits for long.
"""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from models.ledger import LedgerRef
from pipeline.receipt import Receipt, Submission


class Unstored(NamedTuple):
    """Why a submission has no receipt: a code of problems.PROBLEMS, and what to do about it."""

    code: str
    detail: str


Answer = Receipt | Unstored


class FullError(Exception):
    """So many operations wait already that no more are taken."""


class ClosedError(Exception):
    """Nobody takes parcels any more."""


class Parcel:
    """Submissions of one request to one ledger, in order, until they are answered.

    `chunk`: it is a part of a larger request, whose parts are written one after the other.
    """

    def __init__(
        self, ledger: LedgerRef, submissions: Sequence[Submission], due: float, *, chunk: bool
    ) -> None:
        self.ledger = ledger
        self.submissions = submissions
        self.chunk = chunk
        self.due = due  # time.monotonic() when the request stops waiting
        self.abandoned = False  # nobody waits for the answers: not worth writing any more
        self.answers: list[Answer] | None = None
        # A bare lock is the cheapest thing to wait on: the one that answers releases it.
        self._pending = threading.Lock()
        self._pending.acquire()

    def answer(self, answers: list[Answer]) -> None:
        """Give the answers, once; whoever comes later changes nothing."""
        if self.answers is None:
            self.answers = answers
            self._pending.release()

    def wait(self, seconds: float) -> list[Answer] | None:
        """The answers, or None after so many seconds."""
        return self.answers if self._pending.acquire(timeout=max(seconds, 0)) else None


@dataclass(slots=True)
class Group:
    """Parcels of one ledger that are written together."""

    ledger: LedgerRef
    parcels: list[Parcel]

    @property
    def due(self) -> float:
        """When the last of them stops waiting."""
        return max(parcel.due for parcel in self.parcels)

    @property
    def submissions(self) -> list[Submission]:
        """All of them, in order."""
        return [one for parcel in self.parcels for one in parcel.submissions]

    def answer(self, answers: list[Answer]) -> None:
        """To each parcel the answers that are its own."""
        at = 0
        for parcel in self.parcels:
            parcel.answer(answers[at : at + len(parcel.submissions)])
            at += len(parcel.submissions)

    def answer_all(self, answer: Answer) -> None:
        """The same answer to whoever has none yet."""
        for parcel in self.parcels:
            parcel.answer([answer] * len(parcel.submissions))


@dataclass(slots=True)
class _Line:
    singles: deque[Parcel] = field(default_factory=deque)
    chunks: deque[Parcel] = field(default_factory=deque)


class Lines:
    """The parcels that wait, by ledger; at most `most` submissions in all. Safe for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting = 0
        self._lines: dict[LedgerRef, _Line] = {}
        self._turns: deque[LedgerRef] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, parcels: Sequence[Parcel]) -> None:
        """Let the parcels of one request wait, all or none; raises FullError, ClosedError."""
        size = sum(len(parcel.submissions) for parcel in parcels)
        with self._changed:
            if self._closed:
                raise ClosedError
            # A request that is larger than the bound may come when nobody else waits.
            if self._waiting and self._waiting + size > self._most:
                raise FullError
            self._waiting += size
            for parcel in parcels:
                self._append(parcel)

    def take(self) -> Group | None:
        """Wait for the next ledger's turn and take its group; None when closed and empty."""
        with self._changed:
            while True:
                while not self._turns:
                    if self._closed:
                        return None
                    self._changed.wait()
                ledger = self._turns.popleft()
                line = self._lines[ledger]
                parcels = self._gather(line)
                if parcels:
                    return Group(ledger, parcels)
                self._end_turn(ledger, line)

    def give_back(self, ledger: LedgerRef) -> None:
        """The group of this ledger is answered: it may have its next turn."""
        with self._changed:
            self._end_turn(ledger, self._lines[ledger])

    def close(self) -> list[Parcel]:
        """Take nothing more; the parcels that nobody will write."""
        with self._changed:
            self._closed = True
            left = [p for line in self._lines.values() for p in (*line.singles, *line.chunks)]
            for line in self._lines.values():
                line.singles.clear()
                line.chunks.clear()
            self._turns.clear()
            self._changed.notify_all()
            return left

    def _append(self, parcel: Parcel) -> None:
        line = self._lines.get(parcel.ledger)
        if line is None:
            line = self._lines[parcel.ledger] = _Line()
            self._turns.append(parcel.ledger)
            self._changed.notify()
        (line.chunks if parcel.chunk else line.singles).append(parcel)

    def _gather(self, line: _Line) -> list[Parcel]:
        parcels = list(line.singles)
        line.singles.clear()
        if line.chunks:
            parcels.append(line.chunks.popleft())
        self._waiting -= sum(len(parcel.submissions) for parcel in parcels)
        return [parcel for parcel in parcels if not parcel.abandoned]

    def _end_turn(self, ledger: LedgerRef, line: _Line) -> None:
        """Back to the end of the queue, or out of it when nothing of the ledger waits."""
        if line.singles or line.chunks:
            self._turns.append(ledger)
            self._changed.notify()
        else:
            self._lines.pop(ledger, None)
