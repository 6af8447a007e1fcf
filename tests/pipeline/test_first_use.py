"""Accounts that a rule of the ledger opens when they are first used."""

from typing import Any

import pytest

from pipeline.strict_json import canonical
from pipeline.verify.verify import verify
from tests.bank import Bank, transfer
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import proves


@pytest.fixture
def shop(either: Bank) -> Bank:
    """The world, and a rule for customers."""
    either.open("world", type="asset", overdraft="unlimited")
    allow(either, "customers:*")
    either.work()
    return either


def allow(bank: Bank, pattern: str, **more: Any) -> Any:
    """Liabilities in EUR, unless it says otherwise."""
    body = {"pattern": pattern, "type": "liability", "currency": "EUR", "overdraft": 0}
    return bank.submit("allow_accounts", {**body, **more})


def accounts(bank: Bank) -> list[tuple[Any, ...]]:
    """Number, code, type, currency, overdraft and status of each account but the world."""
    query = (
        "SELECT number, code, type, currency, overdraft, status FROM accounts"
        " WHERE ledger_id = :ledger AND code <> 'world' ORDER BY number"
    )
    return [tuple(row) for row in bank.rows(query)]


def test_the_first_leg_opens_the_account(shop: Bank) -> None:
    """It gets the next number and what the rule says; an unknown code that fits none is refused."""
    paid = shop.transfer("world", "customers:1", 100)
    again = shop.transfer("world", "customers:1", 100)
    between = shop.transfer("customers:1", "customers:2", 50)
    stranger = shop.transfer("world", "merchants:1", 100)
    shop.work()
    found = [shop.rejection(one) for one in (paid, again, between, stranger)]
    assert found == [None, None, None, "unknown_account"]
    assert accounts(shop) == [
        (2, "customers:1", "liability", "EUR", 0, "open"),
        (3, "customers:2", "liability", "EUR", 0, "open"),
    ]
    assert shop.balance("customers:1") == 150
    proves(shop)


def test_what_is_refused_opens_nothing(shop: Bank) -> None:
    """Whatever stands in the way, and the numbers of later accounts are without gaps."""
    legs = [
        {"account": code, "direction": side, "amount": 1, "currency": "EUR"}
        for code, side in (("customers:3", "debit"), ("customers:4", "credit"))
    ]
    refused = [
        shop.transfer("customers:1", "world", 1),
        shop.transfer("world", "nobody", 1),
        shop.submit("transfer", transfer("customers:1", "nobody", 1)),
        shop.submit("transfer", transfer("customers:2", "customers:5", 1, "USD")),
        shop.submit("journal", {"legs": legs}),
        shop.submit("hold", transfer("customers:6", "world", 1)),
    ]
    fine = shop.submit("hold", transfer("world", "customers:7", 1))
    shop.open("merchant")
    shop.work()
    assert [shop.rejection(one) for one in refused] == [
        "insufficient_funds",
        "unknown_account",
        "unknown_account",
        "currency_mismatch",
        "insufficient_funds",
        "insufficient_funds",
    ]
    assert shop.status(fine) == "pending"
    assert [row[:2] for row in accounts(shop)] == [(2, "customers:7"), (3, "merchant")]
    proves(shop)


def test_the_longest_pattern_wins(shop: Bank) -> None:
    """A code itself before any prefix; without a currency the account keeps that of its leg."""
    allow(shop, "*", type="asset", overdraft="unlimited")
    allow(shop, "customers:eu:*", overdraft=500)
    allow(shop, "customers:e", overdraft=7)
    shop.submit("allow_accounts", {"pattern": "any:*", "type": "equity", "overdraft": 1_000})
    for code in ("customers:eu:1", "customers:e", "else"):
        shop.transfer(code if code == "else" else "world", "world" if code == "else" else code, 1)
    shop.submit("transfer", transfer("any:1", "any:2", 1_000, "USD"))
    shop.work()
    assert [row[1:5] for row in accounts(shop)] == [
        ("customers:eu:1", "liability", "EUR", 500),
        ("customers:e", "liability", "EUR", 7),
        ("else", "asset", "EUR", None),
        ("any:1", "equity", "USD", 1_000),
        ("any:2", "equity", "USD", 1_000),
    ]
    proves(shop)


def test_a_rule_holds_from_its_place_in_the_log_to_that_of_its_end(shop: Bank) -> None:
    """Also within one run; accounts that are open stay open."""
    early = shop.transfer("world", "merchants:1", 1)
    allow(shop, "merchants:*")
    fine = shop.transfer("world", "merchants:1", 1)
    gone = shop.submit("disallow_accounts", {"pattern": "merchants:*"})
    late = shop.transfer("world", "merchants:2", 1)
    again = shop.submit("disallow_accounts", {"pattern": "merchants:*"})
    still = shop.transfer("world", "merchants:1", 1)
    shop.work()
    found = [shop.rejection(one) for one in (early, fine, gone, late, again, still)]
    assert found == ["unknown_account", None, None, "unknown_account", "unknown_rule", None]
    proves(shop)


def test_an_account_of_a_rule_can_be_opened_as_it_should_be(shop: Bank) -> None:
    """Before its first use; afterwards it exists."""
    shop.open("customers:1", overdraft=99)
    shop.transfer("world", "customers:2", 1)
    late = shop.open("customers:2", overdraft=99)
    shop.work()
    assert shop.rejection(late) == "account_exists"
    assert [row[4] for row in accounts(shop)] == [99, 0]
    proves(shop)


def test_only_an_administrator_sets_rules(shop: Bank) -> None:
    """An operator opens accounts by hand, and does not say which open by themselves."""
    body = {"pattern": "x:*", "type": "asset", "overdraft": 0}
    operator = canonical({"roles": ["operator"], "sub": "o"})
    refused = shop.submit("allow_accounts", body, principal=operator)
    shop.work()
    assert shop.rejection(refused) == "not_permitted"


def test_a_ledger_has_so_many_rules(shop: Bank) -> None:
    """A hundred of each sort; one of them can still be changed."""
    rules = [allow(shop, f"p{n}:*") for n in range(100)]
    changed = allow(shop, "p1:*", overdraft=1)
    shop.work()
    assert [shop.rejection(one) for one in rules] == [None] * 99 + ["too_many_rules"]
    assert shop.rejection(changed) is None
    proves(shop)


def test_verify_finds_other_rules(shop: Bank) -> None:
    """What is kept is no evidence: it is held against the log."""
    shop.work()
    with_changed_rules(shop, "document = replace(document::text, 'customers', 'everybody')::json")
    faults = [finding.fault for finding in verify(shop.ledger) if finding.fault]
    assert [fault.message for fault in faults if "rules that are kept" in fault.message]


def with_changed_rules(bank: Bank, change: str) -> None:
    """Change what is kept, as the application could."""
    late = bank.open("late")
    bank.work()
    attempt(
        bank,
        f"UPDATE ledger_settings SET position = {late.position}, {change}"
        " WHERE ledger_id = :ledger",
    )
