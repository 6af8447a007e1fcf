"""Fees on a transfer: what they come to, who pays them, and what of them goes back."""

from fractions import Fraction
from typing import Any

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.drain import drain
from pipeline.kinds import OFFERED, fee
from pipeline.ledger import AMOUNT_MAX
from pipeline.through import through
from tests.bank import Bank, transfer
from tests.pipeline.test_decision_guards import decision
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import decisions, proves
from tests.pipeline.test_reversals import reverse
from tests.pipeline.test_shares import shown


@pytest.fixture(params=["stage by stage", "through"])
def shop(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 100.00 EUR, a merchant, and who gets fees."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    bank.fund("customer", 10_000)
    for code in ("merchant", "card", "tax"):
        bank.open(code)
    bank.work()
    return bank


CARD = {"account": "card", "share": "2.9", "min": 50, "max": 90}
TAX = {"account": "tax", "amount": 7}


def pay(amount: int, *fees: dict[str, Any], payer: str = "source") -> dict[str, Any]:
    """The customer pays the merchant."""
    return {**transfer("customer", "merchant", amount), "fees": list(fees), "fees_from": payer}


def balances(bank: Bank) -> dict[str, int]:
    """Of everybody who takes part."""
    return {code: bank.balance(code) for code in ("customer", "merchant", "card", "tax")}


@pytest.mark.parametrize(
    ("payer", "customer", "merchant"),
    [("source", 10_000 - 2_000 - 65, 2_000), ("destination", 8_000, 2_000 - 65)],
)
def test_who_pays_the_fees(shop: Bank, payer: str, customer: int, merchant: int) -> None:
    """The source pays them on top of the amount; the destination out of it."""
    paid = shop.submit("transfer", pay(2_000, CARD, TAX, payer=payer))
    shop.work()
    assert shop.rejection(paid) is None
    assert balances(shop) == {"customer": customer, "merchant": merchant, "card": 58, "tax": 7}
    proves(shop)


SIZES = [
    ({"amount": 3}, 1_000, 3),
    ({"share": "2.9"}, 1_000, 29),
    ({"share": "2.5"}, 100, 2),  # 2.5: half to even
    ({"share": "3.5"}, 100, 4),
    ({"share": "0.1"}, 100, 0),
    ({"share": "0.1", "min": 1}, 100, 1),
    ({"share": "50", "max": 10}, 100, 10),
    ({"share": "100"}, AMOUNT_MAX, AMOUNT_MAX),
]


@pytest.mark.parametrize(("size", "amount", "comes_to"), SIZES)
def test_what_a_fee_comes_to(size: dict[str, Any], amount: int, comes_to: int) -> None:
    """Worked out by hand."""
    body = {**transfer("a", "b", amount), "fees": [{"account": "c", **size}]}
    assert OFFERED["transfer"].schema.validate(body) == {}
    assert fee.fees_of(body) == [("c", comes_to)]
    assert len(fee.legs(body)) == (2 if comes_to else 0)


@given(
    st.integers(1, AMOUNT_MAX),
    st.lists(st.tuples(st.integers(1, 10**8), st.integers(1, 99)), min_size=1, max_size=10),
    st.sampled_from(["source", "destination"]),
)
def test_fees_sum_to_zero(amount: int, shares: list[tuple[int, int]], payer: str) -> None:
    """Each is its share, rounded half to even, or its bound; together they sum to zero."""
    fees = [{"account": "c", "share": shown(share), "min": least} for share, least in shares]
    body = {**transfer("a", "b", amount), "fees": fees, "fees_from": payer}
    exact = [max(round(Fraction(amount * share, 10**8)), least) for share, least in shares]
    assert [size for _, size in fee.fees_of(body)] == exact
    legs = fee.legs(body)
    assert sum(size for _, size, _ in legs) == 0
    assert sum(size for code, size, _ in legs if code == body[payer]) == -sum(exact)


REFUSED = [
    (pay(100, {"account": "customer", "amount": 1}), "same_account"),
    (pay(100, {"account": "merchant", "amount": 1}, payer="destination"), "same_account"),
    (pay(100, {"account": "card", "share": "100"}, payer="destination"), "fees_exceed_amount"),
    (pay(100, TAX, {"account": "card", "amount": 94}, payer="destination"), "fees_exceed_amount"),
    (pay(9_994, TAX), "insufficient_funds"),
    (pay(100, {"account": "nobody", "amount": 1}), "unknown_account"),
]


def test_fees_that_are_refused(shop: Bank) -> None:
    """Nothing moves, neither the amount nor any fee."""
    paid = [shop.submit("transfer", body) for body, _ in REFUSED]
    shop.work()
    assert [shop.rejection(one) for one in paid] == [code for _, code in REFUSED]
    assert balances(shop) == {"customer": 10_000, "merchant": 0, "card": 0, "tax": 0}
    proves(shop)


def test_a_limit_holds_with_the_fees(shop: Bank) -> None:
    """What the source pays on top is held against the token's limit, too."""
    limited = b'{"limits":{"EUR":1000},"roles":["submitter"],"sub":"till"}'
    bodies = [pay(994, TAX), pay(993, TAX), pay(1_000, TAX, payer="destination")]
    paid = [shop.submit("transfer", body, principal=limited) for body in bodies]
    shop.work()
    assert [shop.rejection(one) for one in paid] == ["limit_exceeded", None, None]


@pytest.mark.parametrize("payer", ["source", "destination"])
def test_a_whole_reversal_gives_back_the_fees(shop: Bank, payer: str) -> None:
    """Everything is as before, and nothing is left to give back."""
    paid = shop.submit("transfer", pay(2_000, CARD, TAX, payer=payer))
    back, again = reverse(shop, paid), reverse(shop, paid, amount=1)
    shop.work()
    assert [shop.rejection(one) for one in (back, again)] == [None, "already_reversed"]
    assert balances(shop) == {"customer": 10_000, "merchant": 0, "card": 0, "tax": 0}
    assert decisions(shop, paid) == [("reverse", None, None, True)]
    proves(shop)


def test_a_part_gives_back_no_fees(shop: Bank) -> None:
    """Between source and destination alone; then the whole is what is left of the amount."""
    paid = shop.submit("transfer", pay(2_000, CARD, TAX))
    parts = [reverse(shop, paid, amount=amount) for amount in (500, 1_501)]
    shop.work()
    assert [shop.rejection(one) for one in parts] == [None, "amount_exceeds_original"]
    assert balances(shop) == {"customer": 8_435, "merchant": 1_500, "card": 58, "tax": 7}
    rest = reverse(shop, paid)
    shop.work()
    assert shop.rejection(rest) is None
    assert balances(shop) == {"customer": 9_935, "merchant": 0, "card": 58, "tax": 7}
    assert decisions(shop, paid) == [
        ("reverse", 500, 1_500, False),
        ("reverse", 1_500, 0, True),
    ]
    proves(shop)


def test_a_part_as_large_as_the_amount(shop: Bank) -> None:
    """Who says the amount gets the amount; the destination has paid its fees out of it."""
    paid = shop.submit("transfer", pay(2_000, CARD, TAX, payer="destination"))
    shop.transfer("customer", "merchant", 65)
    back = reverse(shop, paid, amount=2_000)
    shop.work()
    assert shop.rejection(back) is None
    assert balances(shop) == {"customer": 9_935, "merchant": 0, "card": 58, "tax": 7}
    proves(shop)


def test_the_database_refuses_half_of_the_fees(shop: Bank) -> None:
    """A reversal that posts one thing and says another is not stored, whatever the core does."""
    paid = shop.submit("transfer", pay(2_000, CARD, TAX))
    shop.work()
    back = reverse(shop, paid, amount=500)
    shop.work()
    late = reverse(shop, paid)
    drain("validate", shop.ledger)
    for amount, remaining, terminal in ((500, 1_000, False), ("NULL", "NULL", True)):
        made = decision(paid.position, 2, late.position, "reverse", amount, remaining, terminal)
        with pytest.raises(psycopg2.Error, match="would give back of"):
            attempt(shop, made)
    assert back.position < late.position
    shop.work()
    proves(shop)


FAULTS: list[dict[str, Any]] = [
    {"fees": []},
    {"fees": [TAX] * 11},
    {"fees": [{"account": "card"}]},
    {"fees": [{**TAX, "share": "1"}]},
    {"fees": [{**TAX, "min": 1}]},
    {"fees": [{**CARD, "min": 91}]},
    {"fees": [{**CARD, "share": 2.9}]},
    {"fees": [{**CARD, "share": "0"}]},
    {"fees": [TAX], "fees_from": "nobody"},
    {"fees_from": "source"},
]


@pytest.mark.parametrize("members", FAULTS)
def test_fees_of_a_wrong_shape(members: dict[str, Any]) -> None:
    """They are told where it is wrong, and never stored; a hold takes none."""
    faults = OFFERED["transfer"].schema.validate({**transfer("a", "b", 1), **members})
    assert faults
    assert faults.keys() <= {"fees", "fees_from"}
    assert OFFERED["hold"].schema.validate({**transfer("a", "b", 1), "fees": [TAX]})
