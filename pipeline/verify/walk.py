"""The checks that walk along the log, chunk by chunk. Each raises FoundError at its first fault."""

import datetime as dt
from typing import Any

from models.ledger import LedgerRef
from models.operation import Address, address_of
from pipeline.kinds import KINDS
from pipeline.ledger import Posting
from pipeline.outcome import fault_of
from pipeline.progress import Progress
from pipeline.stage import Operation
from pipeline.verify.finding import FoundError
from pipeline.verify.reading import Chunk, Rejection


class LogCheck:
    """Positions without gaps, times in order, each id at its address, each key in place."""

    def __init__(self, ledger: LedgerRef) -> None:
        self._ledger_id = ledger.ledger_id
        self._accepted_at: dt.datetime | None = None
        self.count = 0

    def look(self, chunk: Chunk) -> None:
        """The next rows of the log."""
        for operation, id_, key_position in chunk.logged:
            position = operation.position
            self.count += 1
            if position != self.count:
                raise FoundError("the log has no operation here", self.count)
            if self._accepted_at is not None and operation.accepted_at < self._accepted_at:
                raise FoundError("it was accepted earlier than the operation before it", position)
            if address_of(id_) != Address(self._ledger_id, position):
                raise FoundError("its id is that of another place", position)
            if key_position != position:
                where = "nowhere" if key_position is None else f"to position {key_position}"
                raise FoundError(f"its idempotency key leads {where}", position)
            self._accepted_at = operation.accepted_at


class PostingsCheck:
    """Each operation has one outcome; its postings are complete and sum to zero."""

    def __init__(self, reached: Progress) -> None:
        self._reached = reached
        self.count = 0

    def look(self, chunk: Chunk) -> None:
        """The outcomes of the next positions, also of those that the log does not have."""
        logged = {row.operation.position: row.operation for row in chunk.logged}
        for position in sorted({*logged, *chunk.rejections, *chunk.postings, *chunk.decisions}):
            rejection = chunk.rejections.get(position)
            postings = chunk.postings.get(position, [])
            if position not in logged:
                raise FoundError("it has an outcome, and there is no operation", position)
            decided = position in chunk.decisions
            self._check_outcome(logged[position], rejection, decided, len(postings))
            check_legs(position, postings)
            self.count += len(postings)

    def _check_outcome(
        self, operation: Operation, rejection: Rejection | None, decided: bool, legs: int
    ) -> None:
        position, kind = operation.position, operation.kind
        if rejection is not None and position > getattr(self._reached, rejection.stage):
            raise FoundError(f"{rejection.stage} rejected it before it got there", position)
        if rejection is None and position > self._reached.post:
            if legs or decided:
                raise FoundError(f"it has {legs} postings before post got there", position)
            return
        if kind not in KINDS:
            raise FoundError(f"its kind {kind!r} is unknown", position)
        rejected = rejection is not None
        try:
            fault = fault_of(kind, operation.body, rejected=rejected, decided=decided, legs=legs)
        except (ValueError, LookupError, TypeError) as error:  # somebody changed its body
            raise FoundError("its body cannot be read", position) from error
        if fault is not None:
            raise FoundError(fault, position)


def check_legs(position: int, postings: list[Posting]) -> None:
    """Legs 0 to n - 1, and sums of zero in each currency and layer."""
    if [posting.leg for posting in postings] != list(range(len(postings))):
        raise FoundError("its legs are not 0 to n - 1", position)
    sums: dict[tuple[str, bool], int] = {}
    for posting in postings:
        of = posting.currency, posting.pending
        sums[of] = sums.get(of, 0) + posting.amount
    for (currency, _), total in sums.items():
        if total:
            raise FoundError(
                f"its postings in {currency} sum to {total} minor units instead of zero", position
            )


class Running:
    """Where the postings of one account and layer have come."""

    __slots__ = ("balance", "credits", "currency", "debits", "version")

    def __init__(self, currency: str) -> None:
        self.currency = currency
        self.version = self.balance = self.debits = self.credits = 0


class VersionsCheck:
    """Each account's versions follow one another, and its balance runs along."""

    def __init__(self) -> None:
        self.running: dict[tuple[int, bool], Running] = {}
        self.count = 0

    def look(self, chunk: Chunk) -> None:
        """The next postings."""
        for postings in chunk.postings.values():
            for posting in postings:
                self._continue(posting)

    def _continue(self, posting: Posting) -> None:
        of = posting.account, posting.pending
        running = self.running.get(of)
        if running is None:
            running = self.running[of] = Running(posting.currency)
        running.version += 1
        running.balance += posting.amount
        running.debits -= min(posting.amount, 0)
        running.credits += max(posting.amount, 0)
        _same(posting, "version", posting.version, running.version)
        _same(posting, "balance", posting.balance_after, running.balance)
        _same(posting, "currency", posting.currency, running.currency)
        self.count += 1


def _same(posting: Posting, what: str, found: Any, expected: Any) -> None:
    if found != expected:
        raise FoundError(
            f"leg {posting.leg} leaves account number {posting.account} at {what} {found},"
            f" where {expected} follows from its postings before",
            posting.position,
        )
