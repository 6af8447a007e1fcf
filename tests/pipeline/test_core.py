"""The pure core: what must hold for every log, found by Hypothesis."""

import copy
import datetime as dt
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.ledger import AMOUNT_MAX, Books, Entry, Posting
from pipeline.perform import perform
from pipeline.refusal import Refusal
from tests.bank import ADMIN

CODES = ["world", "a", "b", "c", "missing"]
CURRENCIES = ["EUR", "USD"]
Log = list[tuple[str, dict[str, Any]]]
Outcome = tuple[Books, list[Posting], list[Refusal]]


@st.composite
def transfers(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    source, destination = draw(st.permutations(CODES))[:2]
    amount = draw(st.integers(1, 500) | st.just(AMOUNT_MAX))
    currency = draw(st.sampled_from(["EUR", "EUR", "EUR", "USD"]))
    return "transfer", {
        "source": source,
        "destination": destination,
        "amount": amount,
        "currency": currency,
    }


@st.composite
def journals(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    amounts = draw(st.lists(st.integers(1, 300), min_size=1, max_size=4))
    legs = [
        {
            "account": draw(st.sampled_from(CODES)),
            "direction": "debit",
            "amount": amount,
            "currency": "EUR",
        }
        for amount in amounts
    ]
    legs.append(
        {
            "account": draw(st.sampled_from(CODES)),
            "direction": "credit",
            "amount": sum(amounts),
            "currency": "EUR",
        }
    )
    return "journal", {"legs": draw(st.permutations(legs))}


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    kind = draw(st.sampled_from(["freeze_account", "unfreeze_account", "close_account"]))
    return kind, {"account": draw(st.sampled_from(CODES))}


@st.composite
def overdrafts(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    overdraft = draw(st.integers(0, 400) | st.just("unlimited"))
    return "update_account", {"account": draw(st.sampled_from(CODES)), "overdraft": overdraft}


@st.composite
def openings(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    return "open_account", {
        "code": draw(st.sampled_from(CODES[:4])),
        "type": draw(st.sampled_from(["asset", "liability"])),
        "currency": draw(st.sampled_from(["EUR", "EUR", "USD"])),
        "overdraft": draw(st.sampled_from([0, 100, "unlimited"])),
    }


START: Log = [
    ("open_account", {"code": code, "type": type_, "currency": "EUR", "overdraft": overdraft})
    for code, type_, overdraft in (
        ("world", "asset", "unlimited"),
        ("a", "liability", 0),
        ("b", "liability", 100),
    )
]
LOGS = st.lists(
    st.one_of(transfers(), transfers(), journals(), changes(), overdrafts(), openings()),
    max_size=40,
).map(lambda log: START + log)


def entry(position: int, kind: str, body: dict[str, Any]) -> Entry:
    """As post makes it of a row of the log."""
    return Entry(1, position, kind, body, dt.datetime(2026, 11, 22, tzinfo=dt.UTC), ADMIN.decode())


def play(log: Log, books: Books | None = None, start: int = 1) -> Outcome:
    """The log through the core, its first operation at position `start`."""
    books = books or Books()
    postings: list[Posting] = []
    refusals: list[Refusal] = []
    for position, (kind, body) in enumerate(log, start):
        effect = perform(books, entry(position, kind, body))
        if isinstance(effect, Refusal):
            refusals.append(effect)
        else:
            postings += effect
    return books, postings, refusals


@given(LOGS)
@settings(max_examples=300, deadline=None)
def test_every_operation_sums_to_zero(log: Log) -> None:
    """The postings of an operation sum to zero in each currency."""
    _, postings, _ = play(log)
    sums: dict[tuple[int, str], int] = {}
    for posting in postings:
        key = (posting.position, posting.currency)
        sums[key] = sums.get(key, 0) + posting.amount
    assert set(sums.values()) <= {0}


@given(LOGS)
@settings(max_examples=300, deadline=None)
def test_balances_are_the_sums_of_postings(log: Log) -> None:
    """An account's balance is the sum of its postings, and its versions have no gaps."""
    books, postings, _ = play(log)
    for account in books.accounts.values():
        mine = [posting for posting in postings if posting.account == account.number]
        assert account.credits_posted - account.debits_posted == sum(p.amount for p in mine)
        assert [posting.version for posting in mine] == list(range(1, len(mine) + 1))
        assert account.version == len(mine)
        running = 0
        for posting in mine:
            running += posting.amount
            assert posting.balance_after == running


@given(LOGS)
@settings(max_examples=300, deadline=None)
def test_no_account_passes_its_limit(log: Log) -> None:
    """After every single operation each account is within its overdraft."""
    books = Books()
    for position, (kind, body) in enumerate(log, start=1):
        perform(books, entry(position, kind, body))
        for account in books.accounts.values():
            assert account.available is None or account.available >= 0


@given(LOGS)
@settings(max_examples=200, deadline=None)
def test_a_refused_operation_changes_nothing(log: Log) -> None:
    """An operation that is refused leaves the books as they were."""
    books = Books()
    for position, (kind, body) in enumerate(log, start=1):
        before = copy.deepcopy(books.accounts)
        if isinstance(perform(books, entry(position, kind, body)), Refusal):
            assert books.accounts == before


@given(LOGS)
@settings(max_examples=200, deadline=None)
def test_the_same_log_gives_the_same_books(log: Log) -> None:
    """The core is a function of the log."""
    assert play(log) == play(copy.deepcopy(log))


@given(LOGS, st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_it_does_not_matter_where_a_run_ends(log: Log, cut: int) -> None:
    """Two runs over halves of the log do what one run over all of it does."""
    whole, postings, refusals = play(log)
    books, first, refused_first = play(log[:cut])
    books, second, refused_second = play(log[cut:], books, cut + 1)
    assert books.accounts == whole.accounts
    assert first + second == postings
    assert refused_first + refused_second == refusals
