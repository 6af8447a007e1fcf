"""What the pure core works on: accounts, postings, and operations that wait for others.

The core (enter.py, decide.py, kinds/) knows no database, clock, random number or queue, so the same
log always gives the same books: `post` runs it, `verify` replays with it, and the tests simulate
with it. The only time that it sees is when an operation was accepted.

Amounts are integers in minor units. A posting's amount is credit +, debit -.
"""

import datetime as dt
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID

from pipeline.refusal import Refusal
from pipeline.settings import NONE, Settings

# The greatest amount of one posting: 10^13 units of a currency with two decimals.
AMOUNT_MAX = 10**15
# The greatest running total of an account, below 2^63 so that Postgres never overflows first.
TOTAL_MAX = 9 * 10**18

DEBIT_NORMAL = frozenset({"asset", "expense"})
TYPES = ("asset", "liability", "equity", "income", "expense")


class Entry(NamedTuple):
    """An operation as the core sees it. `principal` is the JSON that was recorded with it."""

    ledger_id: int
    position: int
    kind: str
    body: dict[str, Any]
    accepted_at: dt.datetime
    principal: str


def inner(members: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The kind's name and the body of an operation that another one holds."""
    return members["kind"], {name: value for name, value in members.items() if name != "kind"}


class Posting(NamedTuple):
    """One line of the ledger, as it is stored. `pending`: it reserves, or gives back."""

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

# What an operation asks of one account: its code, the amount (credit +, debit -), the currency.
Leg = tuple[str, int, str]

Effect = list[Posting] | Refusal


@dataclass(slots=True)
class Account:
    """One account's state. `overdraft` is in minor units; None is unlimited.

    What is posted and what is reserved (pending) are two layers with versions of their own. The
    pending totals are what is reserved now: they fall again when it is captured or released.
    """

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
    pending_version: int = 0

    @property
    def balance(self) -> int:
        """On the account's normal side: what an owner of the account calls its balance."""
        net = self.credits_posted - self.debits_posted
        return -net if self.type in DEBIT_NORMAL else net

    @property
    def available(self) -> int | None:
        """What may still leave the account: balance, less what is reserved, plus the overdraft."""
        if self.overdraft is None:
            return None
        reserved = self.credits_pending if self.type in DEBIT_NORMAL else self.debits_pending
        return self.balance - reserved + self.overdraft


class Decision(NamedTuple):
    """One line in the fate of an operation that others decide, as it is stored.

    The first of a pending operation is its own, number 0. `amount` and `remaining` are minor units
    of what it holds, or how many approvals; None where nothing is counted. `terminal`: the last.
    """

    target: int
    number: int
    position: int
    effect: str
    amount: int | None
    remaining: int | None
    terminal: bool
    actor: str


class Pending(NamedTuple):
    """An operation that is pending, by what it did last, until others decide it or it is due.

    `number` counts its changes, so that each time at which it is due is named only once.
    """

    effect: str
    due_at: dt.datetime | None
    number: int = 0


@dataclass(slots=True)
class Target:
    """An operation that others of the run name, as of the operation that is applied now.

    `last` is the newest of its decisions, `pending` what it waits for, `legs` what it posted
    (without what it reserved), `approvers` who approved it so far, while it waits for more.
    """

    id: UUID
    entry: Entry
    rejected: bool = False
    last: Decision | None = None
    legs: list[Leg] = field(default_factory=list)
    pending: Pending | None = None
    approvers: tuple[str, ...] = ()


class Begun(NamedTuple):
    """That an operation is pending from now on: by what, with how much of it, until when."""

    effect: str
    amount: int | None
    due_at: dt.datetime | None


class Counter(NamedTuple):
    """What a limit counts: for one account (empty: for the ledger), in one day or month."""

    name: str
    since: int
    account: str
    period: str


@dataclass(slots=True)
class Usage:
    """How much of each limit is used, in minor units, as of the operation that is applied now.

    `by` is that operation while it counts, `amounts` what it moves by currency, and `now` what it
    adds if it is not refused. What `changed` must be written.
    """

    used: dict[Counter, int] = field(default_factory=dict)
    changed: set[Counter] = field(default_factory=set)
    by: Entry | None = None
    amounts: dict[str, int] = field(default_factory=dict)
    now: dict[Counter, int] = field(default_factory=dict)


@dataclass(slots=True)
class Books:
    """What a run touches: accounts by code, and operations that others name, by position.

    `last_number` is the greatest number of an account; whoever may open one must set it.
    `settings` are the rules in force, `usage` what is used of the limits among them. `begun` is
    there while an approval applies an operation: what that one begins.
    The other members are what the run has changed, and must be written.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    last_number: int = 0
    targets: dict[int, Target] = field(default_factory=dict)
    settings: Settings = NONE
    usage: Usage = field(default_factory=Usage)
    begun: list[Begun] | None = None
    opened: list[Account] = field(default_factory=list)
    moved: dict[str, Account] = field(default_factory=dict)  # their posted totals
    altered: dict[str, Account] = field(default_factory=dict)  # anything else of theirs
    decisions: list[Decision] = field(default_factory=list)
    pending: dict[int, Pending | None] = field(default_factory=dict)  # None: no longer

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
