"""Put the books back as they were: for operations that take effect together or not at all.

A mark holds the state of what will be named, and nothing else, so it costs what they cost. Whatever
else the core changes of the books must be marked here as well.
"""

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, NamedTuple

from pipeline.ledger import Account, Books, Pending, Target

ACCOUNT_STATE = attrgetter(*(ACCOUNT_FIELDS := tuple(Account.__dataclass_fields__)))
TARGET_STATE = attrgetter(*(TARGET_FIELDS := tuple(Target.__dataclass_fields__)))
# A dict may hold None, so None does not say that it holds nothing.
Found = tuple[()] | tuple[Pending | None]


class MarkedAccount(NamedTuple):
    """An account, its state, and whether it was among those that have changed."""

    account: Account | None
    state: tuple[Any, ...]
    moved: bool
    altered: bool


class Mark(NamedTuple):
    """Where the books stood, as far as accounts and operations were named."""

    accounts: dict[str, MarkedAccount]
    targets: dict[int, tuple[Any, ...]]
    pending: dict[int, Found]
    last_number: int
    opened: int
    decisions: int


def mark(books: Books, codes: Iterable[str], positions: Iterable[int]) -> Mark:
    """Where the books stand now: of accounts by code, and of operations by position."""
    positions = tuple(positions)
    pending = books.pending
    return Mark(
        {code: _marked(books, code) for code in codes},
        {at: TARGET_STATE(books.targets[at]) for at in positions if at in books.targets},
        {at: (pending[at],) if at in pending else () for at in positions},
        books.last_number,
        len(books.opened),
        len(books.decisions),
    )


def _marked(books: Books, code: str) -> MarkedAccount:
    account = books.accounts.get(code)
    state = () if account is None else ACCOUNT_STATE(account)
    return MarkedAccount(account, state, code in books.moved, code in books.altered)


def put_back(books: Books, before: Mark) -> None:
    """The books are what they were when they were marked."""
    for code, (account, state, moved, altered) in before.accounts.items():
        if account is None:
            books.accounts.pop(code, None)
        for name, value in zip(ACCOUNT_FIELDS, state, strict=False):
            setattr(account, name, value)
        if not moved:
            books.moved.pop(code, None)
        if not altered:
            books.altered.pop(code, None)
    for position, state in before.targets.items():
        for name, value in zip(TARGET_FIELDS, state, strict=True):
            setattr(books.targets[position], name, value)
    for position, found in before.pending.items():
        if found:
            books.pending[position] = found[0]
        else:
            books.pending.pop(position, None)
    books.last_number = before.last_number
    del books.opened[before.opened :]
    del books.decisions[before.decisions :]
