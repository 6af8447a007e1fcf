"""The guards of the database, as its migrations have them: the second layer below the code.

In sound code none ever steps in; what they had to refuse is remembered.
"""

from collections.abc import Iterable

from pipeline.ledger import Account, Decision, Posting
from pipeline.stage import BEFORE
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
        """A chain along each target, which ends once, and whose amounts are those of postings."""
        if not self.on:
            return
        if new.position > tx.last_position(books, "authorize"):
            self._refuse(f"decisions: position {new.position} is not authorized")
        if not 0 < new.target <= len(books.log) or new.position > len(books.log):
            self._refuse(f"decisions: there is no operation at {new.target}")
        if new.target in tx.rejections_of(books):
            self._refuse(f"decisions: the operation at {new.target} was rejected")
        if new.amount == 0 or (new.remaining or 0) < 0 or (not new.terminal and new.remaining == 0):
            self._refuse(f"decisions: {new} cannot be")
        known = tx.decisions_of(books, new.target)
        before = known[-1] if known else None
        if new.number == 0:
            own = new.position == new.target and new.amount == new.remaining and not new.terminal
            if not own or before is not None:
                self._refuse(f"decisions: what {new.target} begins is its own")
            return
        self._follows(before, new)
        self._is_posted(tx, books, new)

    def _follows(self, before: Decision | None, new: Decision) -> None:
        if (
            new.position <= new.target
            or (before is not None and before.position > new.position)
            or new.number != (before.number if before else 0) + 1
            or (before is None and new.effect != "reverse")
        ):
            self._refuse(f"decisions: number {new.number} of {new.target} does not follow")
        if before is None:
            return
        if before.terminal:
            self._refuse(f"decisions: {new.target} has been decided")
        if None not in (before.remaining, new.amount):
            left = (before.remaining or 0) - (new.amount or 0)
            if new.remaining != left:
                self._refuse(f"decisions: {new.target} has {before.remaining} left")

    def _is_posted(self, tx: Transaction, books: Books, new: Decision) -> None:
        deciding = books.log[new.position - 1].kind
        if deciding == "reversal" and new.effect == "reverse":
            original = net(tx.legs_of(books, new.target))
            back = net(tx.legs_of(books, new.position))
            every = [tx.legs_of(books, new.target), tx.legs_of(books, new.position)]
            for earlier in tx.decisions_of(books, new.target):
                if earlier.effect == "reverse" and earlier.position != new.position:
                    every.append(tx.legs_of(books, earlier.position))
            total = net(leg for legs in every for leg in legs)
            for of in total:
                if (
                    of not in original
                    or total[of] * original[of] < 0
                    or back.get(of, 0) * original[of] > 0
                    or (new.amount is not None and abs(back.get(of, 0)) != new.amount)
                ):
                    self._refuse(f"decisions: {new.position} would give back of {new.target}")
        elif deciding == "capture" and new.effect == "capture":
            legs = tx.legs_of(books, new.position)
            moved = sum(leg.amount for leg in legs if not leg.pending and leg.amount > 0)
            if moved != new.amount:
                self._refuse(f"decisions: {new.position} takes {new.amount}, and posts {moved}")

    def pending(self, tx: Transaction, books: Books, target: int) -> None:
        """What waits has begun to, and has not been decided."""
        numbers = {d.number: d.terminal for d in tx.decisions_of(books, target)}
        if self.on and (0 not in numbers or any(numbers.values())):
            self._refuse(f"pending_operations: {target} is not pending")


def net(legs: Iterable[Posting]) -> dict[tuple[int, str], int]:
    """What is posted, by account and currency."""
    sums: dict[tuple[int, str], int] = {}
    for leg in legs:
        if not leg.pending:
            of = leg.account, leg.currency
            sums[of] = sums.get(of, 0) + leg.amount
    return sums
