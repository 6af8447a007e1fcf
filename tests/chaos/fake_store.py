"""The tables as the simulation holds them: lists, so that a doubled row would be seen as two.

A transaction keeps what it writes to itself until its commit.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import psycopg2

from pipeline.ledger import Account, Counter, Decision, Pending, Posting
from pipeline.stage import STAGES

Scope = tuple[int, int]  # tenant, ledger
Kept = tuple[int, str]  # position and document of a ledger's rules


class BrokenConnection(psycopg2.OperationalError):
    """The server closed the connection unexpectedly."""


class Cancelled(psycopg2.OperationalError):
    """Canceling statement due to statement timeout."""

    pgcode = "57014"


class Violation(psycopg2.IntegrityError):
    """A guard or a unique key of the database refused the rows."""

    pgcode = "23514"


class BadData(psycopg2.DataError):
    """Some value cannot be stored."""

    pgcode = "22P02"


class InFailedTransaction(psycopg2.InternalError):
    """Current transaction is aborted, commands ignored until end of transaction block."""

    pgcode = "25P02"


class Row(NamedTuple):
    """One row of the log."""

    position: int
    id: UUID
    accepted_at: dt.datetime
    key: str
    kind: str
    body: str
    principal: str


class Rejected(NamedTuple):
    """One row of the rejections."""

    stage: str
    code: str
    detail: str


class Block(NamedTuple):
    """One row of the blocks, as BLOCKS of pipeline.verify.chain reads it."""

    height: int
    first: int
    last: int
    leaf_count: int
    previous: bytes
    root: bytes
    hash: bytes


class Attempt(NamedTuple):
    """One row of the attempts; `start` tells which start of the server it belongs to."""

    stage: str
    first: int
    last: int
    start: int


class Books:
    """The committed rows of one ledger."""

    def __init__(self) -> None:
        self.log: list[Row] = []
        self.keys: dict[str, list[int]] = {}
        self.runs: dict[str, list[tuple[int, int]]] = {stage: [] for stage in STAGES}
        self.rejections: dict[int, list[Rejected]] = {}
        self.postings: dict[int, list[Posting]] = {}
        self.ends: dict[tuple[int, bool], Posting] = {}  # the newest posting of account and layer
        self.accounts: dict[str, Account] = {}
        self.decisions: dict[int, list[Decision]] = {}  # by target, in order
        self.decided: dict[int, list[Decision]] = {}  # the same rows by who decided
        self.pending: dict[int, Pending] = {}
        self.settings: Kept | None = None
        self.usage: dict[Counter, int] = {}
        self.shifts: dict[tuple[int, str], tuple[str, int, int]] = {}  # by account and date
        self.blocks: list[Block] = []
        self.attempts: list[Attempt] = []

    def last_position(self, stage: str) -> int:
        """The database's function of that name."""
        if stage == "accept":
            return self.log[-1].position if self.log else 0
        runs = self.runs[stage]
        return runs[-1][1] if runs else 0


NOWHERE = Books()


class Transaction:
    """What one transaction has written and not committed, and the locks that it holds."""

    def __init__(self, task: Any) -> None:
        self.task = task  # whose transaction it is
        self.tenant: int | None = None
        self.bodies: list[str] = []  # of the operations that it works on
        self.failed = False
        self.locks: list[tuple[int, int]] = []
        self.log: list[tuple[Books, Row, str]] = []
        self.runs: list[tuple[Books, str, int, int]] = []
        self.rejections: list[tuple[Books, int, Rejected]] = []
        self.postings: list[tuple[Books, list[Posting]]] = []
        self.accounts: dict[tuple[int, str], tuple[Books, Account]] = {}
        self.decisions: list[tuple[Books, Decision]] = []
        self.pending: list[tuple[Books, int, Pending | None]] = []
        self.settings: list[tuple[Books, Kept]] = []
        self.usage: list[tuple[Books, Counter, int]] = []
        self.shifts: list[tuple[Books, tuple[int, str], tuple[str, int, int]]] = []
        self.blocks: list[tuple[Books, Block]] = []
        self.acts: list[Callable[[], None]] = []  # what else happens at the commit

    def last_position(self, books: Books, stage: str) -> int:
        """The database's function of that name, as this transaction sees it."""
        for other, name, _, last in reversed(self.runs):
            if other is books and name == stage:
                return last
        return books.last_position(stage)

    def rejections_of(self, books: Books) -> dict[int, list[Rejected]]:
        """The rejections by position, as this transaction sees them."""
        if not self.rejections:
            return books.rejections
        return books.rejections | {p: [row] for other, p, row in self.rejections if other is books}

    def postings_of(self, books: Books) -> dict[int, list[Posting]]:
        """The postings by position, as this transaction sees them."""
        if not self.postings:
            return books.postings
        mine: dict[int, list[Posting]] = {}
        for other, postings in self.postings:
            for posting in postings if other is books else ():
                mine.setdefault(posting.position, []).append(posting)
        return books.postings | mine

    def legs_of(self, books: Books, position: int) -> list[Posting]:
        """The postings of one position, as this transaction sees them."""
        mine = [p for other, ps in self.postings if other is books for p in ps]
        return books.postings.get(position, []) + [p for p in mine if p.position == position]

    def decisions_of(self, books: Books, target: int) -> list[Decision]:
        """The decisions about a target, as this transaction sees them."""
        known = books.decisions.get(target, [])
        if not self.decisions:
            return known
        return known + [d for other, d in self.decisions if other is books and d.target == target]

    def decided_by(self, books: Books, position: int) -> list[Decision]:
        """What the operation at a position decided, as this transaction sees it."""
        known = books.decided.get(position, [])
        if not self.decisions:
            return known
        mine = [d for other, d in self.decisions if other is books and d.position == position]
        return known + mine

    def apply(self) -> None:
        """Make everything visible to everybody, at one moment."""
        for books, row, key_hash in self.log:
            books.log.append(row)
            books.keys.setdefault(key_hash, []).append(row.position)
        for books, position, rejected in self.rejections:
            books.rejections.setdefault(position, []).append(rejected)
        for books, account in self.accounts.values():
            books.accounts[account.code] = account
        for books, postings in self.postings:
            for posting in postings:
                books.postings.setdefault(posting.position, []).append(posting)
                books.ends[posting.account, posting.pending] = posting
        for books, decision in self.decisions:
            books.decisions.setdefault(decision.target, []).append(decision)
            books.decided.setdefault(decision.position, []).append(decision)
        for books, block in self.blocks:
            books.blocks.append(block)
        for books, stage, first, last in self.runs:
            books.runs[stage].append((first, last))
        self._keep()
        for act in self.acts:
            act()

    def _keep(self) -> None:
        """What is kept beside the evidence: what waits, rules, usage, shifts of dates."""
        for books, target, pending in self.pending:
            books.pending.pop(target, None)
            if pending is not None:
                books.pending[target] = pending
        for books, kept in self.settings:
            books.settings = kept
        for books, counter, used in self.usage:
            books.usage[counter] = used
        for books, of, (currency, arriving, leaving) in self.shifts:
            known, before, gone = books.shifts.get(of, (currency, 0, 0))
            books.shifts[of] = (known, before + arriving, gone + leaving)
