"""Trial balance, balance sheet and income statement, from what the accounts hold.

Pure: rows in, sums out. A row is an account, or, with a depth, all accounts of one type and
currency whose codes begin with the same parts. Totals are by currency; nothing is converted.
"""

from collections.abc import Iterable, Sized
from dataclasses import dataclass
from operator import attrgetter

from pipeline.ledger import DEBIT_NORMAL
from pipeline.reports.balances import Held
from pipeline.reports.too_large import TooLargeError

SEPARATOR = ":"


@dataclass
class Row:
    """The debit and credit balances of the accounts behind one line, each summed by itself."""

    code: str
    type: str
    currency: str
    name: str | None = None
    accounts: int = 0
    debit: int = 0
    credit: int = 0

    @property
    def balance(self) -> int:
        """On the normal side of the row's type."""
        net = self.credit - self.debit
        return -net if self.type in DEBIT_NORMAL else net

    def add(self, net: int) -> None:
        """One more account, which holds credits less debits of `net`."""
        self.accounts += 1
        self.debit += max(-net, 0)
        self.credit += max(net, 0)


@dataclass
class Totals:
    """The sums of one currency, by type on its normal side, and as debit and credit balances."""

    currency: str
    asset: int = 0
    liability: int = 0
    equity: int = 0
    income: int = 0
    expense: int = 0
    debit: int = 0
    credit: int = 0

    @property
    def result(self) -> int:
        """Income less expense: in a balance sheet, what is not closed into equity yet."""
        return self.income - self.expense

    @property
    def balanced(self) -> bool:
        """Whether debits equal credits, which is the same as assets against all the rest."""
        return (
            self.debit == self.credit and self.asset == self.liability + self.equity + self.result
        )


def first_parts(code: str, depth: int | None) -> str:
    """A code's first so many parts; all of it where it has fewer."""
    return code if depth is None else SEPARATOR.join(code.split(SEPARATOR)[:depth])


def rows(held: Iterable[Held], depth: int | None = None, most: int | None = None) -> list[Row]:
    """The rows of all accounts that had postings by then, in the order of their codes.

    Raises TooLargeError where there would be more than `most`.
    """
    found: dict[tuple[str, str, str], Row] = {}
    for account, net, used in held:
        if not used:
            continue
        code = first_parts(account.code, depth)
        key = (code, account.type, account.currency)
        row = found.get(key)
        if row is None:
            refuse_more(found, most)
            row = found[key] = Row(*key)
        row.name = account.name if account.code == code else row.name
        row.add(net)
    return sorted(found.values(), key=attrgetter("code", "type", "currency"))


def refuse_more(found: Sized, most: int | None) -> None:
    """Raise TooLargeError where there are `most` rows already."""
    if most is not None and len(found) >= most:
        raise TooLargeError(
            f"This would be more than {most:,} rows. Take a smaller depth, or the command line,"
            " which has no limit."
        )


def totals(of: Iterable[Row]) -> list[Totals]:
    """The sums of the rows by currency."""
    found: dict[str, Totals] = {}
    for row in of:
        total = found.setdefault(row.currency, Totals(row.currency))
        setattr(total, row.type, getattr(total, row.type) + row.balance)
        total.debit += row.debit
        total.credit += row.credit
    return [total for _, total in sorted(found.items())]
