"""Journals that divide a total: no cent gets lost, and none is made."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.kinds import OFFERED, journal
from pipeline.kinds.share import DECIMALS, WHOLE, apportion, parse, part
from pipeline.ledger import AMOUNT_MAX
from pipeline.through import through
from tests.bank import Bank
from tests.pipeline.test_holds import proves

SHARES = st.lists(st.integers(0, WHOLE), max_size=40).map(
    lambda cuts: [b - a for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), WHOLE], strict=True)]
)


@given(st.integers(1, AMOUNT_MAX), SHARES)
def test_parts_sum_to_the_total(total: int, shares: list[int]) -> None:
    """Exactly, and each is less than one minor unit from its exact share."""
    amounts = apportion(total, shares)
    assert sum(amounts) == total
    for amount, share in zip(amounts, shares, strict=True):
        assert abs(amount - Fraction(total * share, WHOLE)) < 1


@given(st.integers(1, AMOUNT_MAX), SHARES)
def test_more_is_never_given_to_who_lost_less(total: int, shares: list[int]) -> None:
    """What is left goes to those that rounding down took most from, the first of equals first."""
    gained = [
        (-(total * share % WHOLE), place)
        for place, (amount, share) in enumerate(zip(apportion(total, shares), shares, strict=True))
        if amount > total * share // WHOLE
    ]
    every = sorted((-(total * share % WHOLE), place) for place, share in enumerate(shares))
    assert sorted(gained) == every[: len(gained)]


@given(st.integers(1, AMOUNT_MAX), SHARES, st.integers(0, 10**4), st.data())
def test_journals_sum_to_zero(total: int, shares: list[int], fixed: int, data: Any) -> None:
    """One side is divided, with a leg that takes the remainder or without; or it is refused."""
    rest = data.draw(st.none() | st.integers(0, len(shares) - 1))
    legs = [
        {"account": f"a{n}", "direction": "credit"}
        | ({"remainder": True} if n == rest else {"share": shown(share)})
        for n, share in enumerate(shares)
    ]
    if fixed and rest is not None:
        legs.append(leg("fee", "credit", fixed))
    body = journal_of(total, leg("bank", "debit", total), *legs)
    refusal = journal.check(body)
    sizes = [amount for _, amount, _ in journal.legs(body)]
    if refusal is None:
        assert sum(sizes) == 0
        assert all(size > 0 for size in sizes[1:])
    else:
        assert refusal.code == "leg_comes_to_nothing"
        assert sizes[refusal.detail["leg"]] <= 0


@given(st.integers(0, AMOUNT_MAX), st.integers(1, WHOLE))
def test_a_part_is_rounded_half_to_even(amount: int, share: int) -> None:
    """As Python rounds a fraction."""
    assert part(amount, shown(share)) == round(Fraction(amount * share, WHOLE))


def shown(share: int) -> str:
    """In percent."""
    units, decimals = divmod(share, 10**DECIMALS)
    return f"{units}.{decimals:0{DECIMALS}}"


def leg(account: str, direction: str, amount: int) -> dict[str, Any]:
    """A leg in EUR with an amount."""
    return {"account": account, "direction": direction, "amount": amount, "currency": "EUR"}


def part_leg(account: str, direction: str, share: str) -> dict[str, Any]:
    """A leg with a share, or with the remainder."""
    size = {"remainder": True} if share == "rest" else {"share": share}
    return {"account": account, "direction": direction, **size}


def journal_of(total: int, *legs: dict[str, Any]) -> dict[str, Any]:
    """A journal that divides so many cents."""
    return {"total": {"amount": total, "currency": "EUR"}, "legs": list(legs)}


def divided(total: int, *shares: str) -> dict[str, Any]:
    """The customer pays the total, which a, b, c … get by these shares."""
    parts = [part_leg(code, "credit", share) for code, share in zip("abcde", shares, strict=False)]
    return journal_of(total, leg("customer", "debit", total), *parts)


SPLITS: list[tuple[int, tuple[str, ...], list[int]]] = [
    (100, ("33.333333", "33.333333", "33.333334"), [33, 33, 34]),
    (101, ("50", "50"), [51, 50]),
    (1, ("50.000001", "49.999999"), [1, 0]),
    (1000, ("2.9", "rest"), [29, 971]),
    (100, ("33.333333", "33.333333", "rest"), [33, 33, 34]),
    (5, ("30", "30", "30", "10"), [2, 2, 1, 0]),
]


@pytest.mark.parametrize(("total", "shares", "amounts"), SPLITS)
def test_splits_by_example(total: int, shares: tuple[str, ...], amounts: list[int]) -> None:
    """Worked out by hand."""
    body = divided(total, *shares)
    assert [amount for _, amount, _ in journal.legs(body)[1:]] == amounts


REFUSED = [
    (divided(100, "50", "49.999999"), "shares_not_whole"),
    (divided(100, "50", "50.000001"), "shares_not_whole"),
    (divided(100, "60", "50", "rest"), "shares_not_whole"),
    (divided(1, "50.000001", "49.999999"), "leg_comes_to_nothing"),
    (divided(100, "60", "40", "rest"), "leg_comes_to_nothing"),
    (
        journal_of(
            100,
            leg("x", "debit", 100),
            *divided(9, "1", "rest")["legs"][1:],
            leg("y", "credit", 99),
        ),
        "leg_comes_to_nothing",
    ),
    (journal_of(100, leg("x", "debit", 99), part_leg("a", "credit", "100")), "unbalanced_journal"),
]


@pytest.mark.parametrize(("body", "code"), REFUSED)
def test_divisions_that_are_refused(bank: Bank, body: dict[str, Any], code: str) -> None:
    """By validate: nothing of them is posted."""
    accepted = bank.submit("journal", body)
    bank.work()
    assert bank.rejection(accepted) == code
    assert bank.rows("SELECT FROM postings WHERE ledger_id = :ledger") == []
    proves(bank)


def test_a_divided_journal_is_posted(bank: Bank) -> None:
    """Both sides divide the same total; fixed amounts stand beside, or come off the remainder."""
    for code in ("customer", "partner", "a", "fee", "rest"):
        bank.open(code, overdraft="unlimited")
    body = journal_of(
        1_001,
        part_leg("customer", "debit", "50"),
        part_leg("partner", "debit", "50"),
        part_leg("a", "credit", "12.5"),
        leg("fee", "credit", 30),
        part_leg("rest", "credit", "rest"),
    )
    posted = bank.submit("journal", body)
    through([bank.ledger])
    assert bank.rejection(posted) is None
    found = {code: bank.balance(code) for code in ("customer", "partner", "a", "fee", "rest")}
    assert found == {"customer": -501, "partner": -500, "a": 125, "fee": 30, "rest": 846}
    proves(bank)


FAULTS: list[tuple[dict[str, Any], set[str]]] = [
    ({"legs": [leg("a", "debit", 1), part_leg("b", "credit", "100")]}, {"total"}),
    (journal_of(1, leg("a", "debit", 1), leg("b", "credit", 1)), {"total"}),
    (journal_of(1, leg("a", "debit", 1), {"account": "b", "direction": "credit"}), {"legs"}),
    (divided(9, "rest", "rest"), {"legs"}),
    (journal_of(9, leg("a", "debit", 9), part_leg("b", "credit", "1") | {"amount": 9}), {"legs"}),
    (
        journal_of(9, leg("a", "debit", 9), part_leg("b", "credit", "9") | {"currency": "EUR"}),
        {"legs"},
    ),
    (
        journal_of(
            9, leg("a", "debit", 9), {"account": "b", "direction": "credit", "remainder": False}
        ),
        {"legs"},
    ),
    ({"legs": [leg("a", "debit", 1), {"account": "b", "direction": "credit", "amount": 1}]},
     {"legs"}),
    *((divided(9, share, "rest"), {"legs"}) for share in ("0", "100.1", "1.1234567", "1,5", "1e1")),
    (journal_of(9, leg("a", "debit", 9), {**part_leg("b", "credit", "1"), "share": 1.5}), {"legs"}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "members"), FAULTS)
def test_divisions_of_a_wrong_shape(body: dict[str, Any], members: set[str]) -> None:
    """They are told where it is wrong, and never stored."""
    assert OFFERED["journal"].schema.validate(body).keys() == members


def test_shares_are_read_exactly() -> None:
    """In millionths of a percent, however many decimals were written."""
    assert [parse(text) for text in ("100", "2.9", "0.000001", "33.333333")] == [
        WHOLE,
        2_900_000,
        1,
        33_333_333,
    ]
