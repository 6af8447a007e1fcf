"""The pure core: accounts in memory, and what one operation does to them.

It knows no database, clock, random number or queue, so the same log always gives the same books:
`post` runs it, `verify` replays with it, and the tests simulate with it.

Amounts are integers in minor units. A posting's amount is credit +, debit -.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from pipeline.refusal import Refusal, refuse

# The greatest amount of one posting: 10^13 units of a currency with two decimals.
AMOUNT_MAX = 10**15
# The greatest running total of an account, below 2^63 so that Postgres never overflows first.
TOTAL_MAX = 9 * 10**18

DEBIT_NORMAL = frozenset({"asset", "expense"})
TYPES = ("asset", "liability", "equity", "income", "expense")


class Posting(NamedTuple):
    """One line of the ledger, as it is stored."""

    position: int
    leg: int
    account: int
    version: int
    pending: bool
    amount: int
    balance_after: int
    currency: str


# Without the call of Posting itself, which costs five times as much as the tuple.
new_posting = partial(tuple.__new__, Posting)


@dataclass(slots=True)
class Account:
    """One account's state. `overdraft` is in minor units; None is unlimited."""

    number: int
    code: str
    type: str
    currency: str
    overdraft: int | None
    status: str = "open"
    name: str | None = None
    metadata: dict[str, Any] | None = None
    debits_posted: int = 0
    credits_posted: int = 0
    debits_pending: int = 0
    credits_pending: int = 0
    version: int = 0

    @property
    def balance(self) -> int:
        """On the account's normal side: what an owner of the account calls its balance."""
        net = self.credits_posted - self.debits_posted
        return -net if self.type in DEBIT_NORMAL else net

    @property
    def available(self) -> int | None:
        """What may still leave the account: balance, less what is pending, plus the overdraft."""
        if self.overdraft is None:
            return None
        reserved = self.credits_pending if self.type in DEBIT_NORMAL else self.debits_pending
        return self.balance - reserved + self.overdraft


@dataclass(slots=True)
class Books:
    """The accounts that a run touches, by code, and which of them it opened, moved or altered.

    `last_number` is the greatest number of an account; whoever may open one must set it.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    last_number: int = 0
    opened: list[Account] = field(default_factory=list)
    moved: dict[str, Account] = field(default_factory=dict)  # their totals
    altered: dict[str, Account] = field(default_factory=dict)  # their other attributes

    def open(self, **attributes: Any) -> Account:
        """A new account with the next number."""
        self.last_number += 1
        account = Account(number=self.last_number, **attributes)
        self.accounts[account.code] = account
        self.opened.append(account)
        return account

    def alter(self, account: Account) -> None:
        """Remember that attributes of the account must be written."""
        self.altered[account.code] = account


# What an operation asks of one account: its code, the amount (credit +, debit -), the currency.
Leg = tuple[str, int, str]

Effect = list[Posting] | Refusal


def enter(books: Books, position: int, legs: Sequence[Leg]) -> Effect:
    """Post the legs together or refuse them together.

    The guards stand in the order of precedence; each runs over all legs before the next one does.
    An account's limit is judged on what all legs together do to it.
    """
    accounts = books.accounts
    refusal = _refuse_accounts(accounts, legs) or _refuse_totals(accounts, legs)
    if refusal is not None:
        return refusal
    postings = []
    for number, (code, amount, currency) in enumerate(legs):
        account = accounts[code]
        if amount < 0:
            account.debits_posted -= amount
        else:
            account.credits_posted += amount
        account.version += 1
        books.moved[code] = account
        balance = account.credits_posted - account.debits_posted
        line = (position, number, account.number, account.version, False, amount, balance, currency)
        postings.append(new_posting(line))
    return postings


def _refuse_accounts(accounts: dict[str, Account], legs: Sequence[Leg]) -> Refusal | None:
    """Most legs are fine, and one look at each says so."""
    for code, _amount, currency in legs:
        account = accounts.get(code)
        if account is None or account.currency != currency or account.status != "open":
            return _first_refusal(accounts, legs)
    return None


def _first_refusal(accounts: dict[str, Account], legs: Sequence[Leg]) -> Refusal:
    for code, _amount, _currency in legs:
        if code not in accounts:
            return refuse("unknown_account", account=code)
    for code, _amount, currency in legs:
        if accounts[code].currency != currency:
            return refuse(
                "currency_mismatch",
                account=code,
                account_currency=accounts[code].currency,
                currency=currency,
            )
    for code, _amount, _currency in legs:
        if accounts[code].status == "closed":
            return refuse("account_closed", account=code)
    frozen = next(code for code, _amount, _currency in legs if accounts[code].status == "frozen")
    return refuse("account_frozen", account=frozen)


def _refuse_totals(accounts: dict[str, Account], legs: Sequence[Leg]) -> Refusal | None:
    debits: dict[str, int] = {}
    credits: dict[str, int] = {}
    for code, amount, _currency in legs:
        if amount < 0:
            debits[code] = debits.get(code, 0) - amount
        else:
            credits[code] = credits.get(code, 0) + amount
    return _refuse_overflow(accounts, debits, credits) or _refuse_funds(accounts, debits, credits)


def _refuse_overflow(
    accounts: dict[str, Account], debits: dict[str, int], credits: dict[str, int]
) -> Refusal | None:
    for code, amount in debits.items():
        if accounts[code].debits_posted + amount > TOTAL_MAX:
            return refuse("balance_overflow", account=code)
    for code, amount in credits.items():
        if accounts[code].credits_posted + amount > TOTAL_MAX:
            return refuse("balance_overflow", account=code)
    return None


def _refuse_funds(
    accounts: dict[str, Account], debits: dict[str, int], credits: dict[str, int]
) -> Refusal | None:
    for outgoing, incoming, debit_normal in ((debits, credits, False), (credits, debits, True)):
        for code, amount in outgoing.items():
            account = accounts[code]
            if (account.type in DEBIT_NORMAL) is not debit_normal:
                continue
            available = account.available
            wanted = amount - incoming.get(code, 0)
            if available is not None and wanted > 0 and wanted > available:
                return refuse(
                    "insufficient_funds", account=code, available=available, amount=wanted
                )
    return None
