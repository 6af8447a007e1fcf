"""What matching works on: lines of a statement and postings of the books, and what joins them.

Amounts are minor units in the statement's sense: + is money that came in. A posting has been turned
round to fit (a debit of the account is +). Days are ordinals (datetime.date.toordinal).
"""

from dataclasses import dataclass
from typing import NamedTuple

# The rules, in the order in which they are tried; and those by which people match.
RULES = ("reference", "reference_sum", "amount_and_date", "sum")
BY_HAND = ("manual", "booked", "ignored")


class Line(NamedTuple):
    """One line of a statement. `references` are the bank's, `text` is what a person reads.

    `positions` are those of the operations whose ids (`op_...`) stand in either.
    """

    number: int
    amount: int
    day: int
    references: tuple[str, ...] = ()
    text: str = ""
    positions: tuple[int, ...] = ()


class Posting(NamedTuple):
    """One posting of the account. `names` are its operation's key and metadata members."""

    position: int
    leg: int
    amount: int
    day: int
    names: tuple[str, ...] = ()
    text: str = ""


class Place(NamedTuple):
    """Which posting: its operation's position and its leg."""

    position: int
    leg: int


class Match(NamedTuple):
    """Lines and postings that are the same money, and the rule that says so."""

    rule: str
    lines: tuple[int, ...]
    postings: tuple[Place, ...]


class Suggestion(NamedTuple):
    """A posting that a line may belong to, and why. `difference`: line less posting."""

    place: Place
    reason: str
    difference: int
    days: int


@dataclass(frozen=True)
class Windows:
    """How many days may lie between a line and its posting: with equal amounts alone, and where
    a reference agrees."""

    days: int = 5  # a transfer over a long week-end
    reference_days: int = 90  # invoices are paid late, but a year-old number is another one
