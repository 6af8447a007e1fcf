"""Groups: all operations take effect, or none does, and the one that failed is named."""

import copy
from typing import Any

import orjson
import psycopg2
import pytest

from models.operation import show_id
from pipeline.audit import AuditStopError
from pipeline.drain import drain
from pipeline.kinds import OFFERED, group
from pipeline.ledger import Account, Books
from pipeline.perform import perform
from pipeline.receipt import Accepted
from pipeline.refusal import Refusal
from pipeline.through import through
from tests.bank import Bank, transfer
from tests.pipeline.logs import entry
from tests.pipeline.test_decision_guards import decision
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import decisions, proves, totals
from tests.pipeline.test_reversals import reverse


@pytest.fixture(params=["stage by stage", "through"])
def shop(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 100.00 EUR and a merchant."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    bank.fund("customer", 10_000)
    bank.open("merchant")
    bank.work()
    return bank


def member(kind: str, **body: Any) -> dict[str, Any]:
    """An operation of a group."""
    return {"kind": kind, **body}


def pay(amount: int, source: str = "customer", destination: str = "merchant") -> dict[str, Any]:
    """A transfer in a group."""
    return member("transfer", **transfer(source, destination, amount))


def opening(code: str) -> dict[str, Any]:
    """An opening in a group."""
    return member("open_account", code=code, type="liability", currency="EUR", overdraft=0)


def hand_in(bank: Bank, *members: dict[str, Any], **kwargs: Any) -> Accepted:
    """A group."""
    return bank.submit("group", {"operations": list(members)}, **kwargs)


def why(bank: Bank, accepted: Accepted) -> tuple[str, str, dict[str, Any]]:
    """Stage, code and detail of a refusal."""
    query = (
        "SELECT stage, code, detail FROM rejections WHERE ledger_id = :ledger AND position = :at"
    )
    (row,) = bank.rows(query, at=accepted.position)
    return tuple(row)


def test_all_of_them_take_effect(shop: Bank) -> None:
    """In their order: a later one finds what the ones before did; their legs are numbered on."""
    done = hand_in(
        shop,
        opening("saver"),
        pay(4_000),
        pay(1_000, "merchant", "saver"),
        member("freeze_account", account="saver"),
        member("update_account", account="merchant", overdraft=500),
        pay(3_500, "merchant", "customer"),
    )
    shop.work()
    assert shop.rejection(done) is None
    assert shop.status(done) == "posted"
    assert [shop.balance(code) for code in ("customer", "merchant", "saver")] == [
        9_500,
        -500,
        1_000,
    ]
    query = "SELECT leg, amount FROM postings WHERE ledger_id = :ledger AND position = :at"
    legs = shop.rows(f"{query} ORDER BY leg", at=done.position)
    amounts = [-4_000, 4_000, -1_000, 1_000, -3_500, 3_500]
    assert [tuple(row) for row in legs] == list(enumerate(amounts))
    proves(shop)


def test_none_of_them_takes_effect(shop: Bank) -> None:
    """The first that failed is named; what came before it is undone, also an account's number."""
    held = shop.submit("hold", transfer("customer", "merchant", 1_000))
    done = hand_in(
        shop,
        opening("saver"),
        member("capture", target=show_id(held.id), amount=400),
        member("update_account", account="customer", name="Ada"),
        pay(4_000),
        pay(4_001, "merchant", "saver"),
        pay(10**9),
    )
    later = shop.open("other")
    shop.work()
    assert why(shop, done) == (
        "post",
        "group_failed",
        {
            "index": 5,
            "kind": "transfer",
            "code": "insufficient_funds",
            "detail": {"account": "customer", "available": 5_000, "amount": 10**9},
        },
    )
    assert shop.rejection(later) is None
    assert totals(shop, "customer") == (10_000, 1_000, 0)
    assert decisions(shop, held) == [("hold", 1_000, 1_000, False)]
    numbers = shop.rows("SELECT number FROM accounts WHERE ledger_id = :ledger ORDER BY number")
    assert [row.number for row in numbers] == [1, 2, 3, 4]
    assert shop.rows("SELECT FROM accounts WHERE ledger_id = :ledger AND name = 'Ada'") == []
    proves(shop)


def test_validate_and_authorize_name_the_one_that_failed(shop: Bank) -> None:
    """As if it stood in the log by itself: meaning, role and limit of each."""
    limited = orjson.dumps({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 100}})
    cases = [
        (hand_in(shop, pay(1), pay(1, "merchant", "merchant")), "validate", "same_account"),
        (
            hand_in(shop, pay(1), opening("x"), principal=limited),
            "authorize",
            "not_permitted",
        ),
    ]
    sums = [hand_in(shop, pay(60), pay(last), principal=limited) for last in (41, 40)]
    shop.work()
    for done, stage, code in cases:
        assert why(shop, done)[:2] == (stage, "group_failed")
        assert why(shop, done)[2]["index"] == 1
        assert why(shop, done)[2]["code"] == code
    assert [shop.rejection(one) for one in sums] == ["limit_exceeded", None]
    assert shop.balance("merchant") == 100
    proves(shop)


def test_a_group_decides_earlier_operations(shop: Bank) -> None:
    """Captures, a release and a reversal of what was accepted before, all at once."""
    first, second = (shop.submit("hold", transfer("customer", "merchant", 500)) for _ in range(2))
    paid = shop.transfer("customer", "merchant", 1_000)
    done = hand_in(
        shop,
        member("capture", target=show_id(first.id), amount=200),
        member("capture", target=show_id(first.id), amount=100, final=True),
        member("release", target=show_id(second.id)),
        member("reversal", target=show_id(paid.id), amount=250),
        member("reversal", target=show_id(paid.id)),
    )
    late = shop.submit("capture", {"target": show_id(first.id)})
    shop.work()
    assert [shop.rejection(one) for one in (done, late)] == [None, "target_decided"]
    assert totals(shop, "customer") == (9_700, 0, 0)
    assert totals(shop, "merchant") == (300, 0, 0)
    assert [row[0] for row in decisions(shop, first)] == ["hold", "capture", "capture", "release"]
    assert [row[1:3] for row in decisions(shop, paid)] == [(250, 750), (750, 0)]
    proves(shop)


def test_a_group_is_reversed_as_a_whole(shop: Bank) -> None:
    """Unless it holds a reversal itself: that is not taken back."""
    paid = shop.transfer("customer", "merchant", 10)
    done = hand_in(shop, pay(4_000), pay(1_000, "merchant", "customer"))
    part, whole = reverse(shop, done, amount=1), reverse(shop, done)
    back = hand_in(shop, member("reversal", target=show_id(paid.id)))
    again = reverse(shop, back)
    shop.work()
    found = [shop.rejection(one) for one in (part, whole, back, again)]
    assert found == ["reversal_not_divisible", None, None, "reversal_of_reversal"]
    assert totals(shop, "customer") == (10_000, 0, 0)
    proves(shop)


def test_a_limit_holds_for_what_members_take_of_their_targets(shop: Bank) -> None:
    """Ten captures below the limit are not below it together."""
    limited = orjson.dumps({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 100}})
    held = shop.submit("hold", transfer("customer", "merchant", 500))
    takes = [member("capture", target=show_id(held.id), amount=amount) for amount in (60, 40, 1)]
    over = hand_in(shop, *takes, principal=limited)
    mixed = hand_in(shop, takes[0], pay(41), principal=limited)
    fine = hand_in(shop, *takes[:2], principal=limited)
    shop.work()
    found = [shop.rejection(one) for one in (over, mixed, fine)]
    assert found == ["limit_exceeded", "limit_exceeded", None]
    assert totals(shop, "merchant")[0] == 100
    proves(shop)


def test_a_thousand_operations(shop: Bank) -> None:
    """The largest group, and one whose last operation fails."""
    done = hand_in(shop, *(pay(1) for _ in range(group.MEMBERS_MAX)))
    poor = hand_in(shop, *(pay(1) for _ in range(group.MEMBERS_MAX - 1)), pay(9_001))
    shop.work()
    assert [shop.rejection(one) for one in (done, poor)] == [None, "group_failed"]
    assert shop.balance("merchant") == group.MEMBERS_MAX
    proves(shop)


def test_too_many_legs() -> None:
    """Journals fill a group before a thousand operations do."""
    sides = [("world", "debit"), ("a", "credit")] * 500
    legs = [
        {"account": code, "direction": side, "amount": 1, "currency": "EUR"} for code, side in sides
    ]
    accounts = [
        Account(1, "world", "asset", "EUR", None),
        Account(2, "a", "liability", "EUR", 0),
    ]
    for many, code in ((10, None), (11, "group_too_large")):
        books = Books({account.code: copy.copy(account) for account in accounts})
        body = {"operations": [member("journal", legs=legs)] * many}
        effect = perform(books, entry(1, "group", body))
        assert (effect.code if isinstance(effect, Refusal) else None) == code
        assert books.accounts["a"].version == (0 if code else 5_000)


def test_the_audit_misses_the_postings_of_a_group(bank: Bank) -> None:
    """Absence passes for success only where no member posts."""
    bank.fund("customer", 100)
    silent = hand_in(bank, opening("a"), opening("b"))
    bank.work()
    assert bank.status(silent) == "posted"
    proves(bank)
    hand_in(bank, opening("c"), pay(1, "customer", "a"))
    drain("validate", bank.ledger)
    attempt_run = (
        "INSERT INTO runs (tenant_id, ledger_id, stage, from_position, to_position)"
        f" VALUES (1, :ledger, 'post', {silent.position + 1}, {silent.position + 1})"
    )
    attempt(bank, attempt_run)
    with pytest.raises(AuditStopError, match="two or more"):
        drain("audit", bank.ledger)


def test_the_database_proves_what_members_give_back(bank: Bank) -> None:
    """A decision of a group without the legs for it is not stored."""
    bank.fund("customer", 10_000)
    bank.open("merchant")
    paid = bank.transfer("customer", "merchant", 1_000)
    bank.work()
    done = hand_in(bank, pay(1_000), member("reversal", target=show_id(paid.id), amount=400))
    drain("validate", bank.ledger)
    with pytest.raises(psycopg2.Error, match="would give back of"):
        attempt(bank, decision(paid.position, 1, done.position, "reverse", 400, 600))
    bank.work()
    assert bank.rejection(done) is None
    proves(bank)


@pytest.mark.parametrize(
    "operations",
    [
        [],
        None,
        [{"kind": "transfer"}],
        [{"kind": "nothing"}],
        [{**transfer("a", "b", 1)}],
        [{"kind": "group", "operations": []}],
        [{"kind": "hold", **transfer("a", "b", 1)}],
        [OFFERED["schedule"].example],
        [{"kind": "expire", "target": "op_00000000kg0gr0000000080002"}],
        [{**pay(1), "idempotency_key": "k"}],
        [{**pay(1), "effective_date": "2026-01-01"}],
        [pay(1)] * (group.MEMBERS_MAX + 1),
    ],
)
def test_groups_of_a_wrong_shape(operations: Any) -> None:
    """They are told which operation is wrong, and never stored."""
    faults = OFFERED["group"].schema.validate({"operations": operations})
    assert faults.keys() == {"operations"}
