"""The tables as the simulation holds them: lists, so that a doubled row would be seen as two.

A transaction keeps what it writes to itself until its commit. What the migration guards, these
transactions guard, and every guard that has to step in is remembered: in sound code none ever does.
"""

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

import psycopg2

from pipeline.ledger import Account, Posting
from pipeline.stage import BEFORE, STAGES

Scope = tuple[int, int]  # tenant, ledger


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
        self.blocks: list[tuple[Books, Block]] = []
        self.acts: list[Callable[[], None]] = []  # what else happens at the commit

    def last_position(self, books: Books, stage: str) -> int:
        """The database's function of that name, as this transaction sees it."""
        mine = [last for other, name, _, last in self.runs if other is books and name == stage]
        return mine[-1] if mine else books.last_position(stage)

    def rejections_of(self, books: Books) -> dict[int, list[Rejected]]:
        """The rejections by position, as this transaction sees them."""
        mine = {p: [row] for other, p, row in self.rejections if other is books}
        return books.rejections | mine if mine else books.rejections

    def postings_of(self, books: Books) -> dict[int, list[Posting]]:
        """The postings by position, as this transaction sees them."""
        mine: dict[int, list[Posting]] = {}
        for other, postings in self.postings:
            for posting in postings if other is books else ():
                mine.setdefault(posting.position, []).append(posting)
        return books.postings | mine if mine else books.postings

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
        for books, block in self.blocks:
            books.blocks.append(block)
        for books, stage, first, last in self.runs:
            books.runs[stage].append((first, last))
        for act in self.acts:
            act()


class Guards:
    """The guards of the migration that a fault of the stages could run into.

    `on` false drops them and the unique keys. `stepped_in` is what they had to refuse.
    """

    def __init__(self, on: bool) -> None:
        self.on = on
        self.stepped_in: list[str] = []

    def _refuse(self, message: str) -> None:
        self.stepped_in.append(message)
        raise Violation(message)

    def log(self, books: Books, rows: list[Row], hashes: list[str]) -> None:
        """Positions follow the log, times do not fall, keys are new."""
        if not self.on:
            return
        last = books.last_position("accept")
        if [row.position for row in rows] != list(range(last + 1, last + 1 + len(rows))):
            self._refuse(f"operations: {rows[0].position} does not follow {last}")
        if books.log and rows[0].accepted_at < books.log[-1].accepted_at:
            self._refuse(f"operations: accepted_at runs backwards after {last}")
        for key_hash in hashes:
            if key_hash in books.keys:
                self._refuse("idempotency_keys: the key is taken")

    def run(self, tx: Transaction, books: Books, stage: str, first: int, last: int) -> None:
        """Runs join up and never pass the stage before."""
        done = tx.last_position(books, stage)
        if self.on and first != done + 1:
            self._refuse(f"runs: {stage} begins at {first}, but its last run ended at {done}")
        if self.on and last > tx.last_position(books, BEFORE[stage]):
            self._refuse(f"runs: {stage} may not pass {BEFORE[stage]}")

    def rejections(self, tx: Transaction, books: Books, rows: list[tuple[int, Rejected]]) -> None:
        """One outcome for each position."""
        if not self.on:
            return
        posted, rejected = tx.postings_of(books), tx.rejections_of(books)
        for position, _ in rows:
            if position in rejected:
                self._refuse(f"rejections: position {position} is rejected already")
            if position in posted:
                self._refuse(f"rejections: position {position} has postings")
            if position > books.last_position("accept"):
                self._refuse(f"rejections: position {position} is not in the log")

    def postings(self, tx: Transaction, books: Books, rows: list[Posting]) -> None:
        """Authorized, whole, balanced, not rejected; each continues its account."""
        if not self.on:
            return
        if rows[-1].position > tx.last_position(books, "authorize"):
            self._refuse(f"postings: position {rows[-1].position} is not authorized")
        rejected = tx.rejections_of(books)
        ends = dict[tuple[int, bool], Posting]()
        sums = dict[tuple[int, str], int]()
        for row in rows:
            if row.position in books.postings:
                self._refuse(f"postings: position {row.position} is posted already")
            if row.position in rejected:
                self._refuse(f"postings: position {row.position} was rejected")
            of = row.account, row.pending
            end = ends.get(of) or books.ends.get(of)
            version, balance = (end.version, end.balance_after) if end else (0, 0)
            if row.version != version + 1 or row.balance_after != balance + row.amount:
                self._refuse(
                    f"postings: version {row.version} of account {row.account} does not continue"
                    " the one before it"
                )
            ends[of] = row
            total = row.position, row.currency
            sums[total] = sums.get(total, 0) + row.amount
        if any(sums.values()):
            self._refuse("postings: a position does not sum to zero")
        self._account_ends(tx, books, ends)

    def _account_ends(
        self, tx: Transaction, books: Books, ends: dict[tuple[int, bool], Posting]
    ) -> None:
        now = {a.number: a for a in books.accounts.values()}
        now |= {a.number: a for other, a in tx.accounts.values() if other is books}
        for (number, _), end in ends.items():
            account = now.get(number)
            if account is None or (account.version, account.currency) != (
                end.version,
                end.currency,
            ):
                self._refuse(f"postings: account {number} is not at version {end.version}")

    def account(self, books: Books, account: Account, *, new: bool) -> None:
        """A code and a number of its own, within its limit, totals that change by version."""
        if not self.on:
            return
        before = books.accounts.get(account.code)
        if new and (before or any(a.number == account.number for a in books.accounts.values())):
            self._refuse(f"accounts: {account.code} or number {account.number} exists already")
        if account.available is not None and account.available < 0:
            self._refuse(f"accounts: {account.code} is past its limit")
        if before is not None and account.version < before.version:
            self._refuse(f"accounts: the version of {account.code} falls")

    def block(self, books: Books, block: Block) -> None:
        """Blocks form a chain."""
        end = books.blocks[-1] if books.blocks else Block(0, 0, 0, 0, b"", b"", bytes(32))
        if self.on and (block.height, block.first, block.previous) != (
            end.height + 1,
            end.last + 1,
            end.hash,
        ):
            self._refuse(f"audit_blocks: block {block.height} does not continue the chain")
