"""Limits: per operation, day and month, counted exactly and in the order of the log."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pipeline import dry_run, stage
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger, transfer
from tests.pipeline.test_dry_run import tried
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import decide, proves

TELLER = canonical({"roles": ["submitter", "teller"], "sub": "t"})


@pytest.fixture
def shop(either: Bank) -> Bank:
    """Two customers with 100.00 EUR each, and a merchant."""
    for code in ("customers:1", "customers:2"):
        either.fund(code, 10_000)
    either.open("merchant")
    either.work()
    return either


def limit(bank: Bank, name: str, per: str, amount: int, **more: Any) -> Accepted:
    """In EUR."""
    body = {"name": name, "per": per, "currency": "EUR", "amount": amount, **more}
    return bank.submit("set_limit", body)


def pay(bank: Bank, amount: int, source: str = "customers:1", **kwargs: Any) -> Accepted:
    """To the merchant."""
    return bank.transfer(source, "merchant", amount, **kwargs)


def outcomes(bank: Bank, *receipts: Accepted) -> list[str | None]:
    """The codes with which they were rejected, when all stages are through."""
    bank.work()
    return [bank.rejection(one) for one in receipts]


def usage(bank: Bank) -> dict[tuple[str, str], int]:
    """What is used, by limit and account."""
    query = "SELECT name, account, used FROM limit_usage WHERE ledger_id = :ledger"
    return {(row.name, row.account): row.used for row in bank.rows(query)}


def detail(bank: Bank, receipt: Accepted) -> Any:
    """What the rejection says."""
    query = "SELECT detail FROM rejections WHERE ledger_id = :ledger AND position = :at"
    return bank.rows(query, at=receipt.position)[0][0]


def test_each_account_of_a_pattern_has_a_count_of_its_own(shop: Bank) -> None:
    """What leaves it counts, what comes in does not, and what was refused is not counted."""
    limit(shop, "daily-out", "day", 1_000, account="customers:*")
    paid, over, rest = pay(shop, 600), pay(shop, 401), pay(shop, 400)
    into = shop.transfer("world", "customers:1", 5_000)
    other = pay(shop, 1_000, "customers:2")
    assert outcomes(shop, paid, over, rest, into, other) == [
        None,
        "limit_reached",
        None,
        None,
        None,
    ]
    assert usage(shop) == {
        ("daily-out", "customers:1"): 1_000,
        ("daily-out", "customers:2"): 1_000,
    }
    assert outcomes(shop, pay(shop, 1), shop.transfer("merchant", "customers:1", 5)) == [
        "limit_reached",
        None,
    ]
    proves(shop)


def test_a_refusal_says_what_is_used_of_what(shop: Bank) -> None:
    """The limit, its period, what is used of it and what was wanted."""
    limit(shop, "daily-out", "day", 1_000, account="customers:*")
    pay(shop, 600)
    over = pay(shop, 401)
    shop.work()
    assert detail(shop, over) | {"period": ""} == {
        "name": "daily-out",
        "period": "",
        "account": "customers:1",
        "currency": "EUR",
        "limit": 1_000,
        "used": 600,
        "amount": 401,
    }
    assert detail(shop, over)["period"] == dt.datetime.now(dt.UTC).date().isoformat()


def test_a_limit_for_single_operations_counts_nothing(shop: Bank) -> None:
    """Each is judged by itself; nothing is kept."""
    limit(shop, "large", "operation", 500)
    found = outcomes(shop, pay(shop, 500), pay(shop, 501), pay(shop, 500))
    assert found == [None, "limit_reached", None]
    assert usage(shop) == {}
    proves(shop)


def test_a_ledger_counts_what_its_operations_move(shop: Bank) -> None:
    """By kind and by role of the principal, in one currency, over all accounts."""
    limit(shop, "holds", "month", 100, operation_kind="hold")
    limit(shop, "tellers", "month", 300, role="teller")
    shop.submit("set_limit", {"name": "none", "per": "day", "currency": "USD", "amount": 0})
    held = shop.submit("hold", transfer("customers:1", "merchant", 100))
    more = shop.submit("hold", transfer("customers:2", "merchant", 1))
    by_teller = pay(shop, 300, principal=TELLER)
    too_much = pay(shop, 1, "customers:2", principal=TELLER)
    by_other = pay(shop, 1_000)
    found = outcomes(shop, held, more, by_teller, too_much, by_other)
    assert found == [None, "limit_reached", None, "limit_reached", None]
    assert usage(shop) == {("holds", ""): 100, ("tellers", ""): 300}
    proves(shop)


def test_a_hold_counts_once(shop: Bank) -> None:
    """When it is made: its captures do not count again, and no release or reversal gives back."""
    limit(shop, "daily-out", "day", 1_000, account="customers:1")
    held = shop.submit("hold", transfer("customers:1", "merchant", 700))
    taken = decide(shop, "capture", held, amount=500)
    freed = decide(shop, "release", held)
    paid = pay(shop, 300)
    back = decide(shop, "reversal", paid)
    late = pay(shop, 1)
    found = outcomes(shop, held, taken, freed, paid, back, late)
    assert found == [None] * 5 + ["limit_reached"]
    assert usage(shop) == {("daily-out", "customers:1"): 1_000}
    proves(shop)


def test_a_change_holds_from_its_place_in_the_log(shop: Bank) -> None:
    """Another amount keeps what is used, anything else begins anew; one removed is gone."""
    receipts = [limit(shop, "out", "day", 100, account="*"), pay(shop, 100), pay(shop, 1)]
    receipts += [limit(shop, "out", "day", 150, account="*"), pay(shop, 51), pay(shop, 50)]
    shop.work()
    receipts += [limit(shop, "out", "day", 40, account="*"), pay(shop, 1)]
    receipts += [limit(shop, "out", "month", 40, account="*"), pay(shop, 40), pay(shop, 1)]
    remove = {"name": "out"}
    receipts += [shop.submit("remove_limit", remove), pay(shop, 1)]
    receipts += [shop.submit("remove_limit", remove)]
    reached = "limit_reached"
    assert outcomes(shop, *receipts) == [
        *(None, None, reached),
        *(None, reached, None),
        *(None, reached),
        *(None, None, reached),
        *(None, None),
        "unknown_rule",
    ]
    proves(shop)


def test_other_refusals_come_first_and_count_nothing(shop: Bank) -> None:
    """Who has no money is told so, whatever is left of a limit."""
    limit(shop, "out", "day", 50_000, account="*")
    poor, small = pay(shop, 10_001), pay(shop, 10_000)
    assert outcomes(shop, poor, small) == ["insufficient_funds", None]
    assert usage(shop) == {("out", "customers:1"): 10_000}
    proves(shop)


def test_clients_at_once_use_no_more_than_there_is(shop: Bank) -> None:
    """However many pay at the same time, and however the stages cut the log into runs."""
    limit(shop, "out", "day", 1_000, account="customers:*")
    with ThreadPoolExecutor(8) as pool:
        paid = [pool.submit(pay, shop, 70) for _ in range(40)]
        for _ in range(5):
            shop.work()
        receipts = [one.result() for one in paid]
    found = outcomes(shop, *receipts)
    assert found.count(None) == 14
    assert set(found) == {None, "limit_reached"}
    assert usage(shop) == {("out", "customers:1"): 980}
    proves(shop)


def test_ledgers_in_one_run_keep_their_counts_apart(shop: Bank) -> None:
    """A run over several ledgers of a tenant: each has its own rules and its own use."""
    other = Bank(new_ledger())
    other.fund("customers:1", 500)
    other.open("merchant")
    other.work()
    limit(shop, "out", "day", 100, account="*")
    here = [pay(shop, 100), pay(shop, 1)]
    there = [pay(other, 100), pay(other, 1)]
    other.work()
    assert outcomes(shop, *here) == [None, "limit_reached"]
    assert outcomes(other, *there) == [None, None]
    proves(shop)
    proves(other)


def test_a_limit_sees_what_an_account_of_first_use_loses(shop: Bank) -> None:
    """Also in the operation that opens it; refused by a limit, it is not opened."""
    rule = {"pattern": "tills:*", "type": "asset", "overdraft": "unlimited"}
    shop.submit("allow_accounts", rule)
    limit(shop, "tills", "day", 100, account="tills:*")
    opened = shop.transfer("customers:1", "tills:1", 50)
    refused = shop.transfer("tills:2", "tills:3", 1_000)
    drained = shop.transfer("tills:1", "customers:1", 40)
    assert outcomes(shop, opened, refused, drained) == [None, "limit_reached", None]
    assert usage(shop) == {("tills", "tills:1"): 50}
    codes = shop.rows("SELECT code FROM accounts WHERE ledger_id = :ledger AND code LIKE 'tills:%'")
    assert [row.code for row in codes] == ["tills:1"]
    proves(shop)


def test_the_database_lets_nothing_be_given_back(shop: Bank) -> None:
    """What is used does not fall, rules do not go back in the log, and verify finds other use."""
    limit(shop, "out", "day", 1_000, account="*")
    pay(shop, 100)
    shop.work()
    for statement, says in (
        ("UPDATE limit_usage SET used = used - 1 WHERE ledger_id = :ledger", "100 of out is used"),
        ("DELETE FROM limit_usage WHERE ledger_id = :ledger", "permission denied"),
        ("UPDATE ledger_settings SET position = position WHERE ledger_id = :ledger", "not follow"),
        ("UPDATE ledger_settings SET position = 99 WHERE ledger_id = :ledger", "not authorized"),
        ("DELETE FROM ledger_settings WHERE ledger_id = :ledger", "permission denied"),
    ):
        with pytest.raises(Exception, match=says):
            attempt(shop, statement)
    attempt(shop, "UPDATE limit_usage SET used = used + 1 WHERE ledger_id = :ledger")
    faults = [finding.fault for finding in verify(shop.ledger) if finding.fault]
    assert any("101 is kept as used of limit out" in fault.message for fault in faults)


def test_runs_of_one_operation_count_the_same(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run loads what the one before has left behind."""
    monkeypatch.setattr(stage, "RUN_BYTES", 1)
    bank.fund("a", 10_000)
    limit(bank, "out", "day", 300, account="*")
    receipts = [bank.transfer("a", "world", 100) for _ in range(4)]
    assert outcomes(bank, *receipts) == [None, None, None, "limit_reached"]
    proves(bank)


def test_a_trial_knows_the_rules(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in force, and those that it tries itself, whatever is read at a time."""
    monkeypatch.setattr(dry_run, "TOGETHER", 1)
    bank.fund("a", 10_000)
    limit(bank, "in-force", "day", 300, account="*")
    pay = [bank.submission("transfer", transfer("a", "world", 100)) for _ in range(3)]
    own = {"name": "tried", "per": "day", "currency": "EUR", "amount": 150}
    bank.work()
    outlooks = tried(bank, pay[0], bank.submission("set_limit", own), *pay[1:])
    found = [one.refusal.detail["name"] if one.refusal else None for one in outlooks]
    assert found == [None, None, None, "tried"]
