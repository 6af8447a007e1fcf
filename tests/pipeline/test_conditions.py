"""Conditions: an operation takes effect only where its accounts are as the client requires."""

from typing import Any

import pytest

from pipeline.kinds import OFFERED
from pipeline.ledger import Account, Books
from pipeline.perform import perform
from pipeline.refusal import Refusal
from pipeline.through import through
from tests.bank import Bank, transfer
from tests.pipeline.logs import entry
from tests.pipeline.test_holds import proves, totals


@pytest.fixture(params=["stage by stage", "through"])
def shop(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 100.00 EUR, of which 30.00 are held, and a merchant."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    bank.fund("customer", 10_000)
    bank.open("merchant")
    bank.submit("hold", transfer("customer", "merchant", 3_000))
    bank.work()
    return bank


def pay(**conditions: Any) -> dict[str, Any]:
    """10.00 EUR from the customer to the merchant, if that is so."""
    return {**transfer("customer", "merchant", 1_000), "require": conditions}


HOLDS: list[dict[str, Any]] = [
    {"source": {"available": {"gte": 7_000}}},
    {"source": {"balance": {"gte": 10_000, "lte": 10_000, "eq": 10_000}}},
    {"source": {"version": 1}, "destination": {"version": 0}},
    {"destination": {"balance": {"lte": 0}, "available": {"gte": 0}}},
]
# What fails of each, as the detail names it.
FAILS: list[tuple[dict[str, Any], str, dict[str, Any], int]] = [
    ({"source": {"available": {"gte": 7_001}}}, "customer", {"available": {"gte": 7_001}}, 7_000),
    ({"source": {"balance": {"gte": 10_001}}}, "customer", {"balance": {"gte": 10_001}}, 10_000),
    ({"source": {"balance": {"lte": 9_999}}}, "customer", {"balance": {"lte": 9_999}}, 10_000),
    ({"source": {"balance": {"eq": 1}}}, "customer", {"balance": {"eq": 1}}, 10_000),
    ({"destination": {"version": 1}}, "merchant", {"version": 1}, 0),
    (
        {"source": {"version": 1}, "destination": {"balance": {"gte": 1}}},
        "merchant",
        {"balance": {"gte": 1}},
        0,
    ),
]


@pytest.mark.parametrize("conditions", HOLDS)
def test_conditions_that_hold(shop: Bank, conditions: dict[str, Any]) -> None:
    """The operation takes effect as if it had none."""
    paid = shop.submit("transfer", pay(**conditions))
    shop.work()
    assert shop.rejection(paid) is None
    assert totals(shop, "customer")[0] == 9_000
    proves(shop)


@pytest.mark.parametrize(("conditions", "account", "required", "found"), FAILS)
def test_conditions_that_do_not_hold(
    shop: Bank, conditions: dict[str, Any], account: str, required: dict[str, Any], found: int
) -> None:
    """Nothing moves, by a transfer or a hold, and the refusal says what was found."""
    refused = [shop.submit(kind, pay(**conditions)) for kind in ("transfer", "hold")]
    shop.work()
    for one in refused:
        (row,) = shop.rows(
            "SELECT code, detail FROM rejections WHERE ledger_id = :ledger AND position = :at",
            at=one.position,
        )
        assert row.code == "condition_failed"
        assert row.detail == {"account": account, "required": required, "found": found}
    assert totals(shop, "customer") == (10_000, 3_000, 0)
    assert totals(shop, "merchant") == (0, 0, 3_000)
    proves(shop)


def test_only_the_first_of_two_writers_wins(shop: Bank) -> None:
    """Two clients who saw the same version: the second one's operation is refused."""
    one, other = (shop.submit("transfer", pay(source={"version": 1})) for _ in range(2))
    shop.work()
    assert [shop.rejection(paid) for paid in (one, other)] == [None, "condition_failed"]
    proves(shop)


def test_each_leg_of_a_journal_may_have_one(shop: Bank) -> None:
    """One that does not hold refuses all legs; they are judged before any leg moves."""

    def legs(gte: int) -> dict[str, Any]:
        sides = (("customer", "debit", {"balance": {"eq": 10_000}}), ("merchant", "credit", None))
        made = [
            {"account": code, "direction": side, "amount": 100, "currency": "EUR"}
            | ({"require": condition} if condition else {})
            for code, side, condition in (*sides, *sides)
        ]
        made[3]["require"] = {"available": {"gte": gte}}
        return {"legs": made}

    refused, posted = shop.submit("journal", legs(1)), shop.submit("journal", legs(0))
    shop.work()
    assert [shop.rejection(one) for one in (refused, posted)] == ["condition_failed", None]
    assert totals(shop, "merchant")[0] == 200
    proves(shop)


BOOKS = [
    Account(1, "world", "asset", "EUR", None, credits_posted=7),
    Account(2, "poor", "liability", "EUR", 0),
    Account(3, "frozen", "liability", "EUR", 0, status="frozen"),
]
TABLE = [
    ("nobody", "poor", "unknown_account"),
    ("frozen", "poor", "account_frozen"),
    # before the funds: who holds an old version learns that, and not that money is short
    ("poor", "world", "condition_failed"),
]


@pytest.mark.parametrize(("source", "destination", "code"), TABLE)
def test_where_conditions_stand_in_the_order(source: str, destination: str, code: str) -> None:
    """After what is wrong with the accounts themselves, before what the legs would do to them."""
    body = {**transfer(source, destination, 10), "require": {"source": {"version": 9}}}
    effect = perform(
        Books({account.code: account for account in BOOKS}), entry(1, "transfer", body)
    )
    assert isinstance(effect, Refusal)
    assert effect.code == code


def test_what_is_unlimited_has_any_amount_available() -> None:
    """`available` of an account with an unlimited overdraft is null, and every `gte` holds."""
    books = Books({account.code: account for account in BOOKS})
    body = {
        **transfer("world", "poor", 10),
        "require": {"source": {"available": {"gte": 10**15}, "balance": {"eq": -7}}},
    }
    assert not isinstance(perform(books, entry(1, "transfer", body)), Refusal)


@pytest.mark.parametrize(
    "require",
    [
        {},
        {"source": {}},
        {"source": {"available": {}}},
        {"source": {"available": {"lte": 1}}},
        {"source": {"balance": {"gte": 1.5}}},
        {"source": {"balance": {"gte": "1"}}},
        {"source": {"version": -1}},
        {"source": {"version": True}},
        {"third": {"version": 1}},
        {"source": None},
        [],
    ],
)
def test_conditions_of_a_wrong_shape(require: Any) -> None:
    """They are told where they stand, and never stored."""
    schema = OFFERED["transfer"].schema
    assert schema.validate({**transfer("a", "b", 1), "require": require}).keys() == {"require"}
