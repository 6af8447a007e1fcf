"""The pure core of matching: what belongs together, and what is never guessed."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.reconcile.items import Line, Match, Place, Posting, Windows
from pipeline.reconcile.matching import Matching
from pipeline.reconcile.names import spelled, words
from pipeline.reconcile.sums import PARTS_MAX, Budget, only_sum

DAY = 739_000


def matched(lines: list[Line], postings: list[Posting]) -> list[Match]:
    """What the rules find."""
    matching = Matching(lines)
    for posting in postings:
        matching.add(posting)
    return matching.matches()


def line(number: int, amount: int, day: int = 0, *references: str, text: str = "") -> Line:
    """A line so many days behind the first."""
    return Line(number, amount, DAY + day, references, text)


def posting(position: int, amount: int, day: int = 0, *names: str, text: str = "") -> Posting:
    """A posting, its leg 0."""
    return Posting(position, 0, amount, DAY + day, names, text)


CASES: dict[str, tuple[list[Line], list[Posting], dict[tuple[int, ...], str]]] = {
    "a key in a reference": (
        [line(1, 100, 60, "ORDER 8123")],
        [posting(1, 100, 0, "order-8123"), posting(2, 100, 60, "order-8124")],
        {(1,): "reference"},
    ),
    "a key in a text": (
        [line(1, 100, 60, text="Thanks for order-8123 and all")],
        [posting(1, 100, 0, "order-8123")],
        {(1,): "reference"},
    ),
    "a reference in a description": (
        [line(1, 100, 60, "RF18 5390 0754 7034")],
        [posting(1, 100, 0, "k-1", text="RF18539007547034")],
        {(1,): "reference"},
    ),
    "a reference, too long ago": (
        [line(1, 100, 91, "order-8123")],
        [posting(1, 100, 0, "order-8123")],
        {},
    ),
    "a reference that is too short": ([line(1, 100, 60, "17")], [posting(1, 100, 0, "17")], {}),
    "no reference at all": (
        [line(1, 100, 60, "NOTPROVIDED")],
        [posting(1, 100, 0, "not-provided")],
        {},
    ),
    "one reference twice, told apart by the day": (
        [line(1, 100, 0, "SUB-4711"), line(2, 100, 30, "SUB-4711")],
        [posting(1, 100, 0, "a", "SUB-4711"), posting(2, 100, 30, "b", "SUB-4711")],
        {(1,): "reference", (2,): "reference"},
    ),
    "one reference twice on one day": (
        [line(1, 100, 0, "SUB-4711"), line(2, 100, 0, "SUB-4711")],
        [posting(1, 100, 0, "a", "SUB-4711"), posting(2, 100, 0, "b", "SUB-4711")],
        {},
    ),
    "a reference with another amount, and the amount elsewhere": (
        [line(1, 98, 0, "order-8123")],
        [posting(1, 100, 0, "order-8123"), posting(2, 98, 0, "k-2")],
        {},
    ),
    "all that bear the reference": (
        [line(1, 600, 0, "BATCH-77")],
        [posting(n, 100 * n, 40, f"k-{n}", "batch 77") for n in (1, 2, 3)],
        {(1,): "reference_sum"},
    ),
    "lines that bear the reference": (
        [line(n, 100 * n, 0, "BATCH-77") for n in (1, 2, 3)],
        [posting(1, 600, 20, "batch-77")],
        {(1, 2, 3): "reference_sum"},
    ),
    "the only equal amount in the window": (
        [line(1, 100, 5)],
        [posting(1, 100, 0), posting(2, 100, 30)],
        {(1,): "amount_and_date"},
    ),
    "the equal amount a day too late": ([line(1, 100, 6)], [posting(1, 100, 0)], {}),
    "two equal postings": ([line(1, 100, 1)], [posting(1, 100), posting(2, 100, 2)], {}),
    "two equal lines": ([line(1, 100), line(2, 100, 1)], [posting(1, 100)], {}),
    "the other sign": ([line(1, 100)], [posting(1, -100)], {}),
    "one line of two postings": (
        [line(1, 300, 1)],
        [posting(1, 100), posting(2, 200, 2), posting(3, 250)],
        {(1,): "sum"},
    ),
    "two lines of one posting": (
        [line(1, -100), line(2, -200, 2)],
        [posting(1, -300, 1)],
        {(1, 2): "sum"},
    ),
    "two ways to sum": (
        [line(1, 300)],
        [posting(1, 100), posting(2, 200), posting(3, 50), posting(4, 250)],
        {},
    ),
    "two lines that want the same part": (
        [line(1, 300), line(2, 500)],
        [posting(1, 100), posting(2, 200), posting(3, 400)],
        {},
    ),
    "a sum whose part has an equal line": (
        [line(1, 300), line(2, 100), line(3, 100)],
        [posting(1, 100), posting(2, 200)],
        {},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_rule_takes_what_is_its_own_and_nothing_else(case: str) -> None:
    """The lines that are matched, and the rule that says so."""
    lines, postings, expected = CASES[case]
    assert {match.lines: match.rule for match in matched(lines, postings)} == expected


amounts = st.integers(-6, 6).filter(bool).map(lambda n: n * 100)
days = st.integers(0, 12)
names = st.lists(st.sampled_from(["REF-0001", "REF-0002", "REF-0003"]), max_size=2, unique=True)
some_lines = st.lists(st.tuples(amounts, days, names), max_size=14).map(
    lambda rows: [line(n, a, d, *r) for n, (a, d, r) in enumerate(rows, 1)]
)
some_postings = st.lists(st.tuples(amounts, days, names), max_size=14).map(
    lambda rows: [posting(n, a, d, *r) for n, (a, d, r) in enumerate(rows, 1)]
)


@settings(max_examples=400, deadline=None)
@given(some_lines, some_postings, st.randoms(use_true_random=False))
def test_every_match_is_sound_and_the_order_does_not_matter(
    lines: list[Line], postings: list[Posting], shuffle: random.Random
) -> None:
    """Sides sum to the same, nothing is taken twice or too far apart; in any order the same."""
    found = matched(lines, postings)
    by_number = {one.number: one for one in lines}
    by_place = {Place(one.position, one.leg): one for one in postings}
    used = Counter(itertools.chain.from_iterable((*m.lines, *m.postings) for m in found))
    assert max(used.values(), default=0) <= 1
    for match in found:
        own_lines = [by_number[n] for n in match.lines]
        own_postings = [by_place[place] for place in match.postings]
        assert own_lines
        assert own_postings
        assert sum(x.amount for x in own_lines) == sum(x.amount for x in own_postings)
        if match.rule in ("amount_and_date", "sum"):
            apart = [abs(a.day - b.day) for a in own_lines for b in own_postings]
            assert max(apart) <= Windows().days
    shuffle.shuffle(lines)
    shuffle.shuffle(postings)
    assert matched(lines, postings) == found


@settings(max_examples=300, deadline=None)
@given(some_lines, some_postings)
def test_what_is_matched_by_amount_had_no_rival(lines: list[Line], postings: list[Posting]) -> None:
    """No other free line or posting of that amount lay within the window."""
    found = matched(lines, postings)
    earlier = ("reference", "reference_sum")
    gone = {n for m in found if m.rule in earlier for n in m.lines}
    used = {place for m in found if m.rule in earlier for place in m.postings}
    for match in found:
        if match.rule != "amount_and_date":
            continue
        own = next(one for one in lines if one.number == match.lines[0])
        rivals = [
            one
            for one in postings
            if one.amount == own.amount
            and abs(one.day - own.day) <= Windows().days
            and Place(one.position, one.leg) not in used
        ]
        assert len(rivals) == 1
        assert [
            one.number
            for one in lines
            if one.amount == own.amount
            and abs(one.day - rivals[0].day) <= Windows().days
            and one.number not in gone
        ] == [own.number]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(1, 30), max_size=9), st.integers(1, 90), st.sampled_from([1, -1]))
def test_a_sum_is_found_if_and_only_if_there_is_one(
    sizes: list[int], target: int, sign: int
) -> None:
    """Against all subsets, tried one by one."""
    every = [
        chosen
        for many in range(2, PARTS_MAX + 1)
        for chosen in itertools.combinations(range(len(sizes)), many)
        if sum(sizes[n] for n in chosen) == target
    ]
    found = only_sum([sign * size for size in sizes], sign * target, Budget(10**6))
    assert found == (every[0] if len(every) == 1 else None)


def test_a_search_that_is_too_long_finds_nothing() -> None:
    """When the budget runs out the answer is none, not the best so far."""
    assert only_sum([1, 2, 4, 8, 16], 7, Budget(5)) is None
    assert only_sum([1, 2, 4, 8, 16], 7, Budget(500)) == (0, 1, 2)


def test_hostile_statements_cost_seconds_not_hours() -> None:
    """All of one amount and one reference on one day: nothing is matched, and soon."""
    lines = [line(n, 100, 0, "REF-0001") for n in range(1, 20_001)]
    postings = [posting(n, 100, 0, "REF-0001") for n in range(1, 20_001)]
    assert matched(lines, postings) == []
    sums = [line(n, 1_000_003 + n, n % 3) for n in range(1, 400)]
    parts = [posting(n, 100_000 + 7 * n, n % 40) for n in range(1, 2_000)]
    matched(sums, parts)


def test_one_name_however_it_is_spelled() -> None:
    """Case, spaces and punctuation make no other name; placeholders make none."""
    assert {spelled(x) for x in ("order-8123", "ORDER 8123", "Order/81 23")} == {"ORDER8123"}
    assert [spelled(x) for x in ("", "-", "abc", "NOTPROVIDED", "not provided")] == [""] * 5
    assert list(words("pay order 8123 now")) == ["ORDER8123", "8123NOW"]
