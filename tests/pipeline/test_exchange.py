"""Exchanges: exact to the minor unit, and every currency sums to zero."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.kinds import OFFERED, exchange
from pipeline.ledger import AMOUNT_MAX
from pipeline.through import through
from tests.bank import Bank
from tests.pipeline.test_holds import proves
from tests.pipeline.test_reversals import reverse
from tests.pipeline.test_shares import shown

EXPONENTS = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}


@pytest.fixture(params=["stage by stage", "through"])
def desk(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 100.00 EUR and an empty account in each currency; a ledger that exchanges."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    bank.fund("customer", 10_000)
    for currency in EXPONENTS:
        bank.open(f"exchange:{currency}", type="equity", currency=currency, overdraft="unlimited")
        bank.open(f"customer:{currency}", currency=currency)
        bank.open(f"income:{currency}", type="income", currency=currency)
    bank.work()
    return bank


def sell(amount: int, to: str, rate: str, spread: str = "", **more: Any) -> dict[str, Any]:
    """Of the customer's EUR, for another currency."""
    body = {
        "source": "customer",
        "destination": f"customer:{to}",
        "amount": amount,
        "currency": "EUR",
        "to_currency": to,
        "rate": rate,
        **more,
    }
    if spread:
        body["spread"] = {"account": f"income:{to}", "share": spread}
    return body


BOUGHT = [
    (10_000, "USD", "1.0842", "", (10_842, 0)),
    (10_000, "JPY", "164.25", "", (16_425, 0)),
    (10_000, "KWD", "0.3332", "", (33_320, 0)),
    (1, "JPY", "50", "", (0, 0)),  # half a yen: to the even one
    (1, "JPY", "150", "", (2, 0)),  # one and a half: to the even one
    (3, "JPY", "50", "", (2, 0)),
    (1, "KWD", "0.0501", "", (1, 0)),  # 0.501 of a fils
    (1, "USD", "0.5", "", (0, 0)),
    (3, "USD", "0.5", "", (2, 0)),
    (10_000, "USD", "1.0842", "0.5", (10_842, 54)),
    (10_000, "USD", "1", "0.125", (10_000, 12)),  # 12.5: to the even one
    (AMOUNT_MAX, "USD", "0.000000000001", "", (1_000, 0)),
]


@pytest.mark.parametrize(("amount", "to", "rate", "spread", "comes_to"), BOUGHT)
def test_what_comes_out(
    amount: int, to: str, rate: str, spread: str, comes_to: tuple[int, int]
) -> None:
    """Worked out by hand: rounded half to even in the minor units of the target currency."""
    assert exchange.bought(sell(amount, to, rate, spread)) == comes_to


@given(
    st.integers(1, AMOUNT_MAX),
    st.sampled_from(sorted(EXPONENTS)),
    st.sampled_from(sorted(EXPONENTS)),
    st.integers(1, 10**24 - 1),
    st.integers(1, 10**8),
)
def test_every_currency_sums_to_zero(
    amount: int, currency: str, to: str, scaled: int, spread: int
) -> None:
    """And what comes out is the exact amount, rounded once, of which the spread is a share."""
    assume(currency != to)
    rate = f"{scaled // 10**12}.{scaled % 10**12:012}"
    body = sell(amount, to, rate, shown(spread), currency=currency)
    assert OFFERED["exchange"].schema.validate(body) == {}
    gross, taken = exchange.bought(body)
    exact = Fraction(amount * scaled * 10 ** EXPONENTS[to], 10 ** (12 + EXPONENTS[currency]))
    assert gross == round(exact)
    assert taken == round(Fraction(gross * spread, 10**8))
    sums: dict[str, int] = {}
    for _code, size, of in exchange.legs(body):
        sums[of] = sums.get(of, 0) + size
    assert sums == {currency: 0, to: 0}


def balances(bank: Bank, *codes: str) -> dict[str, int]:
    """Credits less debits of each."""
    return {code: bank.balance(code) for code in codes}


def test_an_exchange_is_posted(desk: Bank) -> None:
    """What goes in stands on one exchange account, what comes out on the other, less the spread."""
    done = desk.submit("exchange", sell(10_000, "JPY", "164.25", "0.5"))
    desk.work()
    assert desk.rejection(done) is None
    codes = ("customer", "exchange:EUR", "exchange:JPY", "customer:JPY", "income:JPY")
    assert list(balances(desk, *codes).values()) == [0, 10_000, -16_425, 16_343, 82]
    proves(desk)


def test_a_spread_that_rounds_to_zero_has_no_leg(desk: Bank) -> None:
    """Everything goes to the destination."""
    done = desk.submit("exchange", sell(100, "USD", "1", "0.4"))
    desk.work()
    assert desk.rejection(done) is None
    assert balances(desk, "customer:USD", "income:USD") == {"customer:USD": 100, "income:USD": 0}
    proves(desk)


def test_an_exchange_goes_back_as_a_whole(desk: Bank) -> None:
    """At the rate that it had; a part of it is another exchange."""
    done = desk.submit("exchange", sell(10_000, "USD", "1.0842", "1"))
    part, whole = reverse(desk, done, amount=1), reverse(desk, done)
    desk.work()
    assert [desk.rejection(one) for one in (part, whole)] == ["reversal_not_divisible", None]
    assert set(balances(desk, "exchange:EUR", "exchange:USD", "customer:USD").values()) == {0}
    assert desk.balance("customer") == 10_000
    proves(desk)


REFUSED = [
    (sell(1, "USD", "1", currency="ZZZ"), "unknown_currency"),
    (sell(1, "USD", "1", destination="customer"), "same_account"),
    (sell(1, "USD", "1", source="exchange:USD"), "same_account"),
    (sell(1, "USD", "1", spread="1", destination="income:USD"), "same_account"),
    (sell(1, "EUR", "1"), "same_currency"),
    (sell(1, "USD", "0.5"), "exchange_comes_to_nothing"),
    (sell(1, "JPY", "50"), "exchange_comes_to_nothing"),
    (sell(100, "USD", "1", "100"), "exchange_comes_to_nothing"),
    (sell(AMOUNT_MAX, "USD", "1.0001"), "exchange_too_large"),
    (sell(1, "CHF", "1"), "unknown_account"),
    (sell(1, "USD", "1", destination="customer:JPY"), "currency_mismatch"),
    (sell(10_001, "USD", "1"), "insufficient_funds"),
    (sell(1, "USD", "1", require={"source": {"version": 5}}), "condition_failed"),
]


def test_exchanges_that_are_refused(desk: Bank) -> None:
    """Nothing moves in either currency."""
    refused = [desk.submit("exchange", body) for body, _ in REFUSED]
    desk.work()
    assert [desk.rejection(one) for one in refused] == [code for _, code in REFUSED]
    assert desk.balance("customer") == 10_000
    assert desk.rows("SELECT FROM postings WHERE ledger_id = :ledger AND currency <> 'EUR'") == []
    proves(desk)


def test_limits_hold_in_both_currencies(desk: Bank) -> None:
    """A token that may move euros alone exchanges none."""
    tokens = {
        b'{"limits":{"EUR":1000},"roles":["submitter"],"sub":"a"}': "limit_exceeded",
        b'{"limits":{"EUR":1000,"USD":1083},"roles":["submitter"],"sub":"b"}': "limit_exceeded",
        b'{"limits":{"EUR":1000,"USD":1084},"roles":["submitter"],"sub":"c"}': None,
    }
    body = sell(1_000, "USD", "1.0842")
    done = [desk.submit("exchange", body, principal=who) for who in tokens]
    desk.work()
    assert [desk.rejection(one) for one in done] == list(tokens.values())


@pytest.mark.parametrize(
    "members",
    [
        *(
            {"rate": rate}
            for rate in ("0", "0.0", "-1", "1,5", "1e3", "1.0000000000001", ".5", 1.5)
        ),
        {"spread": {"account": "a"}},
        {"spread": {"account": "a", "share": "101"}},
    ],
)
def test_exchanges_of_a_wrong_shape(members: dict[str, Any]) -> None:
    """They are told where it is wrong, and never stored."""
    faults = OFFERED["exchange"].schema.validate({**sell(1, "USD", "1"), **members})
    assert faults.keys() == members.keys()
