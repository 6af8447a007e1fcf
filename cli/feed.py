"""Feed checked rows into a ledger's log, and follow them until each has its outcome.

    take      a chunk, accepted in one transaction, as soon as the window has room; then ring
    settle    the chunks that `post` has passed, in order: what was refused of them, and why
    finish    once `notify` has passed the last position

Nothing is remembered between two runs. Whoever starts an import again offers the same rows, and
the log answers those that it knows.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import orjson
import psycopg2
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from cli.rejected import RejectedFile
from cli.rows import Row
from models.db import raw_connection, tenant_writing
from models.key_ring import key_ring
from models.ledger import LedgerRef
from pipeline import poison
from pipeline.accept import accept
from pipeline.announced import ANNOUNCED, with_events
from pipeline.privacy.personal import MARK
from pipeline.privacy.sealing import Sealed, Withheld, seal_all
from pipeline.progress import Progress, read_progress, read_rejections
from pipeline.receipt import Accepted, Behind, Receipt, Reused, Submission

# Single requests of the same ledger wait for a chunk's accept lock: with 1,000 rows their p99 is
# 66 ms, with 20,000 it was 692 ms.
CHUNK_ROWS = 1_000
# Unposted operations at any time. Measured on two cores: the import's rate, and the median until an
# operation of somebody else, accepted behind them, is posted:
#     2,000: 5,900/s, 0.16 s     3,000: 7,700/s, 0.20 s
#     5,000: 8,300/s, 0.29 s    10,000: 8,900/s, 0.41 s
# Where others keep the cores busy it all takes three times as long, and must stay below a second.
WINDOW = 3_000
# A chunk waits for room in the window. If it took all of it, it would wait until nothing at all is
# unposted, which never happens where others write to the ledger too.
CHUNKS_IN_WINDOW = 3
# How often a waiting import looks at the stages: seldom enough to cost nothing, often enough that
# the window never runs empty (200 operations are posted in that time).
POLL_S = 0.025
# A database that restarts is back within seconds; then somebody has to look.
DATABASE_AWAY_MAX_S = 30.0
RETRY_S = 0.5

MALFORMED = "malformed"
REUSED = "idempotency_key_reused"

Result = TypeVar("Result")


class DatabaseAwayError(Exception):
    """The database did not come back; what was accepted is safe."""


@dataclass
class Counts:
    """Rows of the file so far. Each ends as posted or under a code in `rejected`."""

    accepted: int = 0  # by this run
    already: int = 0  # known to the log before
    posted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    waiting_s: float = 0.0  # since `post` moved, while rows wait for it

    @property
    def known(self) -> int:
        """Rows that are in the log."""
        return self.accepted + self.already

    @property
    def rejected_rows(self) -> int:
        """Rows that came to nothing."""
        return self.rejected.total()


OnCounts = Callable[[Counts], None]


class Why(NamedTuple):
    """Why a row was refused."""

    code: str
    detail: str


class InFlight(NamedTuple):
    """A chunk that was offered and is not settled. Position 0: the row never entered the log."""

    rows: list[Row]
    positions: list[int]
    refused: dict[int, Why]  # by the row's number in the chunk: before it had a position

    @property
    def last(self) -> int:
        """What `post` has to pass."""
        return max(self.positions)


class Feed:
    """One import into one ledger."""

    def __init__(
        self,
        ledger: LedgerRef,
        engine: Engine,
        ring: Callable[[LedgerRef, int], None],
        rejected: RejectedFile,
        *,
        principal: bytes,
        window: int = WINDOW,
        on_counts: OnCounts = lambda _counts: None,
    ) -> None:
        self.counts = Counts()
        self._ledger = ledger
        self._engine = engine
        self._ring = ring
        self._rejected = rejected
        self._principal = principal
        self._window = window
        self._on_counts = on_counts
        self._flying: deque[InFlight] = deque()
        self._last = 0
        self._moved = (0, time.monotonic())  # where `post` was, and since when

    def run(self, rows: Iterable[Row]) -> Counts:
        """Feed all rows; returns when every one of them is final and notified.

        Raises DatabaseAwayError. Until then the log keeps what was accepted, whatever happens.
        """
        size = max(1, min(CHUNK_ROWS, self._window // CHUNKS_IN_WINDOW))
        for chunk in _chunks(rows, size):
            self._take(chunk)
        while self._look().notify < self._last or self._flying:
            time.sleep(POLL_S)
        return self.counts

    def _take(self, chunk: list[Row]) -> None:
        """Accept the chunk; what finds the window full waits and is offered again."""
        flying = InFlight(chunk, [0] * len(chunk), {})
        for n, row in enumerate(chunk):
            if row.fault:
                flying.refused[n] = Why(MALFORMED, row.fault)
        submissions = self._sealed(chunk)
        for n, made in submissions.items():
            if isinstance(made, Withheld):
                flying.refused[n] = Why(made.code, orjson.dumps(made.detail).decode())
        waiting = [n for n, made in submissions.items() if isinstance(made, Submission)]
        while waiting:
            self._wait_for_room(len(waiting))
            receipts = self._accept(
                [one for n in waiting if isinstance(one := submissions[n], Submission)]
            )
            offered, waiting = waiting, []
            for n, receipt in zip(offered, receipts, strict=True):
                match receipt:
                    case Behind():
                        waiting.append(n)
                    case Reused(differing):
                        detail = orjson.dumps({"differing": differing}).decode()
                        flying.refused[n] = Why(REUSED, detail)
                    case Accepted():
                        flying.positions[n] = self._note(receipt)
            self._ring(self._ledger, self._last)
            for one in submissions.values():
                if isinstance(one, Submission) and one.event and one.event.position is not None:
                    self._ring(one.event.ledger, one.event.position)
        self._flying.append(flying)

    def _note(self, receipt: Accepted) -> int:
        if receipt.replayed:
            self.counts.already += 1
        else:
            self.counts.accepted += 1
        self._last = max(self._last, receipt.position)
        return receipt.position

    def _sealed(self, chunk: list[Row]) -> dict[int, Sealed]:
        """By number in the chunk, what is to be accepted; what is personal in it is sealed."""
        made: dict[int, Sealed] = {
            n: Submission(row.key, row.kind, row.body.encode(), self._principal)
            for n, row in enumerate(chunk)
            if not row.fault
        }
        marked = [n for n, row in enumerate(chunk) if MARK in row.body]
        if marked:
            given = [one for n in marked if isinstance(one := made[n], Submission)]
            sealed = self._persistently(lambda _connection: self._seal(given))
            made |= zip(marked, sealed, strict=True)
        return made | self._announced(made)

    def _announced(self, made: dict[int, Sealed]) -> dict[int, Sealed]:
        """Those of them that are told of by an event, with it."""
        told = {
            n: one
            for n, one in made.items()
            if isinstance(one, Submission) and one.kind in ANNOUNCED
        }
        if not told:
            return {}
        given = list(told.values())
        return dict(
            zip(
                told,
                self._persistently(lambda _: with_events(self._engine, self._ledger, given)),
                strict=True,
            )
        )

    def _seal(self, given: list[Submission]) -> list[Sealed]:
        with tenant_writing(self._ledger.tenant_id, self._engine) as connection:
            return seal_all(connection, key_ring(), self._ledger, given)

    def _accept(self, submissions: list[Submission]) -> list[Receipt]:
        return self._persistently(
            lambda connection: accept(connection, self._ledger, submissions, self._window)
        )

    def _wait_for_room(self, rows: int) -> None:
        while self._look().unposted + rows > self._window:
            time.sleep(POLL_S)

    def _look(self) -> Progress:
        """See how far the stages are, and settle what `post` has passed."""
        progress = self._persistently(lambda connection: read_progress(connection, self._ledger))
        while self._flying and self._flying[0].last <= progress.post:
            self._settle(self._flying.popleft())
        now = time.monotonic()
        if progress.post != self._moved[0] or not progress.unposted:
            self._moved = (progress.post, now)
        self.counts.waiting_s = now - self._moved[1]
        self._on_counts(self.counts)
        return progress

    def _settle(self, chunk: InFlight) -> None:
        positions = [position for position in chunk.positions if position]
        refusals = self._persistently(
            lambda connection: read_rejections(connection, self._ledger, positions)
        )
        self.counts.posted += sum(position not in refusals for position in positions)
        for n, (row, position) in enumerate(zip(chunk.rows, chunk.positions, strict=True)):
            if position in refusals:
                code, detail = refusals[position]
                self._refuse(row, Why(code, orjson.dumps(detail).decode()))
            elif n in chunk.refused:
                self._refuse(row, chunk.refused[n])

    def _refuse(self, row: Row, why: Why) -> None:
        self.counts.rejected[why.code] += 1
        self._rejected.write(row, *why)

    def _persistently(self, action: Callable[[Any], Result]) -> Result:
        """Do it again, over new connections, while the surroundings fail; it may be repeated."""
        give_up_at = time.monotonic() + DATABASE_AWAY_MAX_S
        while True:
            try:
                with raw_connection(self._engine) as connection:
                    return action(connection)
            except (psycopg2.Error, DBAPIError) as error:
                cause = error.orig if isinstance(error, DBAPIError) else error
                if cause is None or not poison.is_fault(cause):
                    raise
                if time.monotonic() > give_up_at:
                    raise DatabaseAwayError(str(cause).strip()) from error
            time.sleep(RETRY_S)


def _chunks(rows: Iterable[Row], size: int) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, size)):
        yield chunk
