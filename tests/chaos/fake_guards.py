"""The guards of the database, as its migrations have them: the second layer below the code.

In sound code none ever steps in; what they had to refuse is remembered.
"""

from pipeline.ledger import Account, Counter, Decision, Posting
from pipeline.stage import BEFORE
from tests.chaos.fake_decisions import faults
from tests.chaos.fake_store import Block, Books, Rejected, Row, Transaction, Violation


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
        sums = dict[tuple[int, bool, str], int]()
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
            total = row.position, row.pending, row.currency
            sums[total] = sums.get(total, 0) + row.amount
        if any(sums.values()):
            self._refuse("postings: a position does not sum to zero")
        self._account_ends(tx, books, ends)

    def _account_ends(
        self, tx: Transaction, books: Books, ends: dict[tuple[int, bool], Posting]
    ) -> None:
        now = {a.number: a for a in books.accounts.values()}
        now |= {a.number: a for other, a in tx.accounts.values() if other is books}
        for (number, pending), end in ends.items():
            account = now.get(number)
            stands = account and (
                account.pending_version if pending else account.version,
                account.credits_pending - account.debits_pending
                if pending
                else account.credits_posted - account.debits_posted,
                account.currency,
            )
            if stands != (end.version, end.balance_after, end.currency):
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
        if min(account.debits_pending, account.credits_pending) < 0:
            self._refuse(f"accounts: less than nothing is held of {account.code}")
        if before is None:
            return
        if account.version < before.version or account.pending_version < before.pending_version:
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

    def decision(self, tx: Transaction, books: Books, new: Decision) -> None:
        """What fake_decisions.py says."""
        for fault in faults(tx, books, new) if self.on else ():
            if fault is not None:
                self._refuse(f"decisions: {fault}")

    def pending(self, tx: Transaction, books: Books, target: int) -> None:
        """What waits has begun to, and has not been decided."""
        numbers = {d.number: d.terminal for d in tx.decisions_of(books, target)}
        if self.on and (0 not in numbers or any(numbers.values())):
            self._refuse(f"pending_operations: {target} is not pending")

    def settings(self, tx: Transaction, books: Books, position: int) -> None:
        """Rules follow the log."""
        if not self.on:
            return
        if position > tx.last_position(books, "authorize"):
            self._refuse(f"ledger_settings: position {position} is not authorized")
        if books.settings is not None and position <= books.settings[0]:
            self._refuse(f"ledger_settings: {position} does not follow {books.settings[0]}")

    def usage(self, books: Books, counter: Counter, used: int) -> None:
        """What is used of a limit grows."""
        before = books.usage.get(counter, 0)
        if self.on and (used <= 0 or used < before):
            self._refuse(f"limit_usage: {before} of {counter} is used, which cannot become {used}")
