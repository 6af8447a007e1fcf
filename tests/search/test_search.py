"""Search against a search that looks at everything."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.db import tenant_reading
from pipeline.search import listing, sources
from pipeline.search.listing import Listed, Listing
from pipeline.search.wanted import Place, Range, UnservedError, Wanted, read_words
from tests.bank import Bank
from tests.search import books
from tests.search.books import Record

# So many pages of a list are read, from a place anywhere in it.
PAGES = 8
EXAMPLES = 60

Shares = tuple[float | None, float | None, float | None]


class Pages(NamedTuple):
    """What the first pages of a list have."""

    items: list[Any]
    whole: bool


TEXTS = (
    "order|ORDER refund|zebra|ze*|zep*|strasse|STRAßE no|final|müller|über|fällig über|a|ab a"
    "|quar* order|no 77|12* no|nothing|o* refund"
)
texts = st.sampled_from(TEXTS.split("|"))
members = st.sampled_from(
    [
        ("order", "O-77"),
        ("order", "O-78"),
        ("shop", "2"),
        ("shop", "9"),
        ("paid", "true"),
        ("paid", "1"),
        ("nothing", ""),
    ]
)
amounts = st.one_of(
    st.none(),
    st.sampled_from([Range(999, 999), Range(1, 3), Range(500_000, 10**15), Range(1, 10**15)]),
    st.tuples(st.integers(1, 10**6), st.integers(0, 2_000)).map(lambda p: Range(p[0], sum(p))),
)
kinds = st.sampled_from([None, None, "transfer", "journal", "freeze_account", "open_account"])
statuses = st.sampled_from([None, None, "posted", "rejected", "accepted", "authorized"])
named: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}),
    st.sampled_from(["large:a", "small:2", "many:7", "yen", "world"]).map(lambda c: {"account": c}),
    st.sampled_from(["large:", "small", "many:", "many:1", "m", "y", "none"]).map(
        lambda c: {"prefix": c}
    ),
)
pages = {
    "limit": st.sampled_from([5, 50, 200]),
    "newest": st.booleans(),
    "amounts": amounts,
}
somewhere = st.one_of(st.none(), st.none(), st.floats(0, 1))
moments = st.tuples(somewhere, somewhere, somewhere)
bounds = st.sampled_from([500, 10_000])
searches = st.builds(
    Wanted,
    **pages,
    status=statuses,
    kind=kinds,
    words=st.just(()) | texts.map(read_words),
    members=st.lists(members, max_size=2, unique=True),
)
lines_wanted = st.builds(
    Wanted,
    **pages,
    currency=st.sampled_from([None, None, "EUR", "JPY", "USD"]),
    direction=st.sampled_from([None, "debit", "credit"]),
)


def first_pages(bank: Bank, wanted: Wanted, page: Callable[[Listing], Listed]) -> Pages:
    """The items of a few pages, none of them longer than it should be; and whether that is all."""
    found: list[Any] = []
    for _ in range(PAGES):
        with tenant_reading(bank.ledger.tenant_id) as connection:
            listed = page(Listing(connection, bank.ledger, wanted))
        assert len(listed.items) <= wanted.limit
        found += listed.items
        match listed.following:
            case None:
                return Pages(found, whole=True)
            case Place(position, leg):
                wanted = replace(wanted, after=position, after_leg=leg)
            case int(position):
                wanted = replace(wanted, after=position)
    return Pages(found, whole=False)


def timed(wanted: Wanted, records: list[Record], shares: Shares) -> Wanted:
    """The same between two times and behind a cursor, each given as a share of the log."""
    since, until, after = (
        None if share is None else records[int(share * (len(records) - 1))] for share in shares
    )
    return replace(
        wanted,
        since=since.accepted_at if since else None,
        until=until.accepted_at if until else None,
        after=after.position if after else None,
    )


def check(
    found: Pages, expected: list[Any], wanted: Wanted, place_of: Callable[[Any], Place]
) -> None:
    """The pages have what comes behind the cursor: all of it, in order, once."""
    if wanted.after is not None:
        begin = Place(wanted.after, wanted.after_leg)
        behind = (
            (lambda one: place_of(one) < begin)
            if wanted.newest
            else (lambda one: place_of(one) > begin)
        )
        expected = list(filter(behind, expected))
    assert found.items == expected[: len(found.items)]
    if found.whole:
        assert len(found.items) == len(expected)


@contextmanager
def bounded(bound: int) -> Iterator[None]:
    """A page looks at so many rows at the most."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "WORK_MAX", bound)
        patch.setattr(sources, "WORK_MAX", bound)
        patch.setattr(listing, "FEW_POSTINGS", bound)
        yield


@pytest.mark.parametrize("state", ["filled", "indexed"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=searches, of=named, shares=moments, bound=bounds)
def test_operations_are_those_that_fit(
    request: pytest.FixtureRequest,
    records: list[Record],
    state: str,
    wanted: Wanted,
    of: dict[str, Any],
    shares: Shares,
    bound: int,
) -> None:
    """Whatever is asked for, with the index and without: all of it, in order, once."""
    bank = request.getfixturevalue(state)
    wanted = timed(replace(wanted, **of), records, shares)
    with bounded(bound):
        try:
            found = first_pages(bank, wanted, Listing.operations)
        except UnservedError:
            assert all(word.begins and len(word.letters) < 3 for word in wanted.words)
            return
    check(found, books.operations(records, wanted), wanted, lambda position: Place(position, 0))


@pytest.mark.parametrize("state", ["filled", "indexed"])
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(wanted=lines_wanted, of=named, shares=moments, bound=bounds)
def test_postings_are_those_that_fit(
    request: pytest.FixtureRequest,
    records: list[Record],
    state: str,
    wanted: Wanted,
    of: dict[str, Any],
    shares: Shares,
    bound: int,
) -> None:
    """Whatever is asked for, with the index and without: all of it, in order, once."""
    bank = request.getfixturevalue(state)
    wanted = timed(replace(wanted, **of), records, shares)
    with bounded(bound):
        pages = first_pages(bank, wanted, Listing.postings)
    found = Pages([Place(row.position, row.leg) for row in pages.items], pages.whole)
    check(found, books.postings(records, wanted), wanted, lambda place: Place(*place))
