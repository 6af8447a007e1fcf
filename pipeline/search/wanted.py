"""What a list is asked for, and which of it the index knows."""

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pipeline.kinds.fields import CODE_MAX_LENGTH
from pipeline.ledger import AMOUNT_MAX
from pipeline.search import codes
from pipeline.search.codes import Codes
from pipeline.search.contents import WORD, Contents, folded

# What stands in JSON as it is.
PLAIN = re.compile(r"[\w .:@/-]*", re.ASCII)
# A part of an account's code that begins it.
PREFIX = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_.@/:-]{{0,{CODE_MAX_LENGTH - 1}}}")
# People search for a few words; each one more is another look into the index.
WORDS_MAX = 16
TEXT_MAX_LENGTH = 500
# Whoever knows so many members knows the operation.
MEMBERS_MAX = 16
# A range of amounts over more buckets than these, a factor of two, reads more of the index than it
# saves, unless it is all that there is to go by.
NARROW_BUCKETS = 8


class SearchError(ValueError):
    """A search cannot be made. `param` is what is wrong about it; the message, what to do."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(message)
        self.param = param


class UnservedError(SearchError):
    """No index serves the search; the message says which filter to add."""


class Range(NamedTuple):
    """Positions or versions, both ends included; empty when low > high."""

    low: int
    high: int

    def behind(self, place: int | None, newest: bool) -> "Range":
        """What is left of it behind a cursor."""
        if place is None:
            return self
        if newest:
            return Range(self.low, min(self.high, place - 1))
        return Range(max(self.low, place + 1), self.high)

    def within(self, other: "Range") -> "Range":
        """What both have."""
        return Range(max(self.low, other.low), min(self.high, other.high))

    def beginning(self, many: int, newest: bool) -> "Range":
        """Its first so many."""
        if newest:
            return Range(max(self.low, self.high - many + 1), self.high)
        return Range(self.low, min(self.high, self.low + many - 1))


class Word(NamedTuple):
    """A folded word that must be there, or (`begins`) the beginning of one."""

    letters: str
    begins: bool

    def is_in(self, words: Sequence[str]) -> bool:
        """Whether it is among the words."""
        if self.begins:
            return any(word.startswith(self.letters) for word in words)
        return self.letters in words


class Place(NamedTuple):
    """Where a posting stands in the order of the log."""

    position: int
    leg: int


@dataclass(frozen=True)
class Wanted:
    """What a list is asked for; whatever is given must fit. `after` is the cursor of the page.

    `amounts` are minor units, both ends included. `direction` is debit or credit.
    """

    limit: int
    newest: bool
    after: int | None = None
    after_leg: int = 0
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    status: str | None = None
    kind: str | None = None
    account: str | None = None
    prefix: str | None = None
    amounts: Range | None = None
    words: Sequence[Word] = ()
    members: Sequence[tuple[str, str]] = ()
    currency: str | None = None
    direction: str | None = None

    def is_said(self, said: Contents, *, posted_amount: bool) -> bool:
        """Whether an operation's body says it. `posted_amount`: one of its postings has it."""
        if self.amounts is not None and not posted_amount:
            low, high = self.amounts
            if not any(low <= amount <= high for amount in said.amounts):
                return False
        return all(member in said.members for member in self.members) and all(
            word.is_in(said.words) for word in self.words
        )

    def surely_lacks(self, body: str) -> bool:
        """Whether a look at the text of a body is enough to know that something is not in it.

        Most bodies that are looked through are dismissed by this, in a tenth of the time. What has
        other than ASCII letters may fold into a word that cannot be seen in it.
        """
        if not all(value in body for _, value in self.members if PLAIN.fullmatch(value)):
            return True
        if not self.words or not body.isascii():
            return False
        lowered = body.lower()
        return any(word.letters not in lowered for word in self.words)

    @property
    def says_nothing(self) -> bool:
        """Whether an operation's body need not be read."""
        return self.amounts is None and not self.words and not self.members

    @property
    def in_index(self) -> list[Codes]:
        """What the index is asked for; all of it must be there."""
        found = [_codes(term) for term in self._terms()]
        if self.amounts is not None:
            amounts = Codes(*map(codes.code_of_amount, self.amounts))
            if len(amounts.buckets) <= NARROW_BUCKETS or not found:
                found.append(amounts)
        if self.kind is not None:
            found.append(_codes(codes.kind_term(self.kind)))
        return found

    @property
    def has_own_terms(self) -> bool:
        """Whether the index is asked for more than a kind or a currency, which many share."""
        return self.amounts is not None or any(True for _ in self._terms(shared=False))

    @property
    def has_own_table(self) -> bool:
        """Whether operations of the wanted status stand in a table of their own."""
        return self.status in ("rejected", "pending")

    def check_served(self) -> None:
        """Raise UnservedError where nothing leads to what is wanted."""
        led = self.account or self.prefix or self.has_own_terms or self.has_own_table
        if self.words and not led:
            raise UnservedError(
                "text",
                f"Give {codes.BEGINNING} letters or more before a *, another whole word, or one of"
                " account, prefix, amount and metadata: no index leads to shorter beginnings.",
            )

    def _terms(self, *, shared: bool = True) -> Iterator[str]:
        for word in self.words:
            if not word.begins:
                yield codes.word_term(word.letters)
            elif len(word.letters) >= codes.BEGINNING:
                yield codes.beginning_term(word.letters)
        for name, value in self.members:
            yield codes.member_term(name, value)
        if shared and self.currency is not None:
            yield codes.currency_term(self.currency)


def read_words(text: str) -> tuple[Word, ...]:
    """The words of a query: all must be there, in any order; `ord*` is the beginning of one.

    Everything else that is no letter or digit only stands between words: there are no operators.
    Raises SearchError.
    """
    if len(text) > TEXT_MAX_LENGTH:
        raise SearchError("text", f"A search has at most {TEXT_MAX_LENGTH} characters.")
    letters = folded(text)
    every = (Word(m[0], letters.startswith("*", m.end())) for m in WORD.finditer(letters))
    found = tuple(dict.fromkeys(every))
    if not found:
        raise SearchError("text", "Give at least one word: letters or digits.")
    if len(found) > WORDS_MAX:
        raise SearchError("text", f"Give at most {WORDS_MAX} words.")
    return found


def read_members(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The members of metadata that must all be there; raises SearchError."""
    found = tuple(dict.fromkeys(pairs))
    if len(found) > MEMBERS_MAX:
        raise SearchError("metadata", f"Give at most {MEMBERS_MAX} members of metadata.")
    if not all(name for name, _ in found):
        raise SearchError("metadata", "Name the member of metadata, as in metadata.order=8123.")
    if len({name for name, _ in found}) < len(found):
        raise SearchError("metadata", "A member of metadata has one value: name each once.")
    return found


def read_prefix(prefix: str | None) -> str | None:
    """What codes of accounts begin with, if it is asked for; raises SearchError."""
    if prefix is not None and not PREFIX.fullmatch(prefix):
        raise SearchError(
            "prefix",
            f"A prefix is the beginning of an account code, such as customers: of 1 to"
            f" {CODE_MAX_LENGTH} letters, digits and _ . @ / - :",
        )
    return prefix


def read_amounts(amount: int | None, least: int | None, most: int | None) -> Range | None:
    """The range of amounts that is asked for, if any; raises SearchError."""
    if amount is not None:
        if least is not None or most is not None:
            raise SearchError("amount", "Give amount, or amount_min and amount_max, not both.")
        return Range(amount, amount)
    if least is None and most is None:
        return None
    found = Range(least or 1, AMOUNT_MAX if most is None else most)
    if found.low > found.high:
        raise SearchError("amount_max", "amount_max is less than amount_min.")
    return found


def _codes(term: str) -> Codes:
    code = codes.code_of(term)
    return Codes(code, code)
