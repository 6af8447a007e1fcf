"""Approvals: an operation above a threshold waits for other people, and is theirs to decide."""

import datetime as dt
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

from models.operation import show_id
from pipeline.drain import drain
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.pipeline.test_decision_guards import decision
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import BY_TIME, decisions, proves


def person(name: str, *roles: str) -> bytes:
    """A principal: an approver unless roles are given."""
    return canonical({"roles": list(roles or ["approver"]), "sub": name})


ANN, BEN, CAT = (person(name) for name in ("ann", "ben", "cat"))
CLERK = person("clerk", "submitter")


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for two approvers."""
    return opened(either)


def opened(bank: Bank) -> Bank:
    """The ledger, made a shop whose payments wait for two approvers."""
    bank.fund("customer", 10_000)
    bank.open("merchant")
    rule(bank, "large", 1_000, people=2)
    bank.work()
    return bank


def rule(bank: Bank, name: str, above: int, **more: Any) -> Accepted:
    """In EUR, by approvers."""
    body = {"name": name, "currency": "EUR", "above": above, "people": 1, "by_role": "approver"}
    return bank.submit("set_approval", {**body, **more})


def pay(bank: Bank, amount: int, **kwargs: Any) -> Accepted:
    """By the clerk, from the customer to the merchant."""
    return bank.transfer("customer", "merchant", amount, **{"principal": CLERK, **kwargs})


def answer(bank: Bank, kind: str, target: Accepted, who: bytes, **more: Any) -> Accepted:
    """Somebody's yes or no."""
    return bank.submit(kind, {"target": show_id(target.id), **more}, principal=who)


def approve(bank: Bank, target: Accepted, *people: bytes) -> list[Accepted]:
    """The approvals of these people."""
    return [answer(bank, "approve", target, who) for who in people]


def rejections(bank: Bank, receipts: Iterable[Accepted]) -> list[str | None]:
    """The codes, when all stages are through."""
    bank.work()
    return [bank.rejection(one) for one in receipts]


def shown(bank: Bank, receipt: Accepted) -> tuple[str, str | None]:
    """Status and code of rejection, as people see them who ask with SQL."""
    query = (
        "SELECT status, rejection_code FROM operation_statuses"
        " WHERE ledger_id = :ledger AND position = :at"
    )
    (row,) = bank.rows(query, at=receipt.position)
    return row.status, row.rejection_code


def test_what_is_above_the_threshold_waits(shop: Bank) -> None:
    """Nothing moves before the last approval, which posts; up to the threshold nothing waits."""
    small, large = pay(shop, 1_000), pay(shop, 1_001)
    (first,) = approve(shop, large, ANN)
    shop.work()
    assert [shop.status(one) for one in (small, large, first)] == ["posted", "pending", "posted"]
    assert shop.balance("merchant") == 1_000
    (last,) = approve(shop, large, BEN)
    shop.work()
    assert [shop.status(one) for one in (large, last)] == ["posted", "posted"]
    assert shop.balance("merchant") == 2_001
    assert decisions(shop, large) == [
        ("wait", 2, 2, False),
        ("approve", 1, 1, False),
        ("approve", 1, 0, True),
    ]
    proves(shop)


def test_in_one_run_it_is_the_same(shop: Bank) -> None:
    """Submitted, approved and given back without a pause between."""
    large = pay(shop, 1_001)
    receipts = approve(shop, large, ANN, ANN, BEN, CAT)
    back = answer(shop, "reversal", large, CLERK)
    assert rejections(shop, [*receipts, back]) == [
        None,
        "approved_already",
        None,
        "target_decided",
        None,
    ]
    assert shop.balance("merchant") == 0
    proves(shop)


def test_nobody_approves_their_own(shop: Bank) -> None:
    """Nor twice, nor without the role; an administrator has every role."""
    own = pay(shop, 2_000, principal=ANN.replace(b"approver", b"submitter"))
    receipts = approve(shop, own, ANN, person("op", "operator"), BEN)
    shop.work()
    receipts += approve(shop, own, BEN, person("root", "admin"))
    receipts += approve(shop, own, person("x", "submitter"))
    assert rejections(shop, receipts) == [
        "own_approval",
        "not_permitted",
        None,
        "approved_already",
        None,
        "not_permitted",
    ]
    assert shop.balance("merchant") == 2_000
    proves(shop)


def test_a_refusal_is_the_end(shop: Bank) -> None:
    """The operation is rejected for good, and can neither be approved nor given back."""
    large = pay(shop, 2_000)
    stranger = answer(shop, "refuse", large, person("other", "submitter"))
    approve(shop, large, ANN)
    no = answer(shop, "refuse", large, BEN, reason="Not ours")
    late = [*approve(shop, large, CAT), answer(shop, "refuse", large, CAT)]
    back = answer(shop, "reversal", large, CLERK)
    assert rejections(shop, [stranger, no, *late, back]) == [
        "not_permitted",
        None,
        "target_decided",
        "target_decided",
        "nothing_to_reverse",
    ]
    assert shown(shop, large) == ("rejected", "approval_refused")
    assert shop.balance("merchant") == 0
    proves(shop)


def test_who_submitted_it_takes_it_back(shop: Bank) -> None:
    """Without a role for approvals."""
    large = pay(shop, 2_000)
    no = answer(shop, "refuse", large, CLERK)
    assert rejections(shop, [no]) == [None]
    assert shop.status(large) == "rejected"
    proves(shop)


def test_what_is_not_approved_in_time_lapses(shop: Bank) -> None:
    """It is due from when it was accepted; Trident gives it up, and nothing else can be done."""
    rule(shop, "large", 1_000, people=2, expires_after_s=60)
    large = pay(shop, 2_000)
    shop.work()
    query = "SELECT effect, due_at FROM pending_operations WHERE ledger_id = :ledger"
    due = [tuple(row) for row in shop.rows(query)]
    assert due == [("wait", large.accepted_at + dt.timedelta(seconds=60))]
    lapsed = answer(shop, "expire", large, BY_TIME)
    late = approve(shop, large, ANN)
    assert rejections(shop, [lapsed, *late]) == [None, "target_decided"]
    assert shown(shop, large) == ("rejected", "approval_expired")
    assert decisions(shop, large)[-1] == ("lapse", None, None, True)
    proves(shop)


def test_books_that_refuse_leave_it_waiting(shop: Bank) -> None:
    """The last approval is rejected for their reason; another one applies it when that is gone."""
    large = pay(shop, 10_001)
    receipts = approve(shop, large, ANN, BEN)
    assert rejections(shop, receipts) == [None, "insufficient_funds"]
    assert shop.status(large) == "pending"
    shop.transfer("world", "customer", 1)
    receipts = approve(shop, large, ANN, BEN)
    assert rejections(shop, receipts) == ["approved_already", None]
    assert shop.balance("merchant") == 10_001
    proves(shop)


def test_the_strictest_rule_counts(shop: Bank) -> None:
    """By kind, by role of who submits; of several the one that asks for most people."""
    rule(shop, "tellers", 10, role="teller")
    rule(shop, "holds", 0, operation_kind="hold", by_role="operator")
    rule(shop, "dollars", 0, currency="USD")
    teller = pay(shop, 11, principal=person("t", "submitter", "teller"))
    clerk = pay(shop, 11)
    held = shop.submit("hold", transfer("customer", "merchant", 1), principal=CLERK)
    both = shop.submit("hold", transfer("customer", "merchant", 1_001), principal=CLERK)
    yes = [*approve(shop, teller, ANN), *approve(shop, held, ANN, person("o", "operator"))]
    assert rejections(shop, yes) == [None, "not_permitted", None]
    found = [shop.status(one) for one in (teller, clerk, held, both)]
    assert found == ["posted", "posted", "pending", "pending"]
    assert decisions(shop, held)[-1][0] == "hold"
    assert decisions(shop, both) == [("wait", 2, 2, False)]
    proves(shop)


def test_rules_change_and_what_waits_still_waits(shop: Bank) -> None:
    """For as many as it did, by the role of the rule that it is under now."""
    large = pay(shop, 2_000)
    tellers = [person(name, "operator") for name in ("o", "p")]
    approve(shop, rule(shop, "large", 1_000, people=2, by_role="operator"), ANN, BEN)
    receipts = approve(shop, large, ANN, tellers[0])
    approve(shop, shop.submit("remove_approval", {"name": "large"}), *tellers)
    now = pay(shop, 2_000)
    receipts += approve(shop, large, ANN)
    gone = shop.submit("remove_approval", {"name": "large"})
    assert rejections(shop, [*receipts, gone]) == ["not_permitted", None, None, "unknown_rule"]
    assert [shop.status(one) for one in (large, now)] == ["posted", "posted"]
    proves(shop)


def test_many_approve_at_once(shop: Bank) -> None:
    """However many people say yes at the same moment, it happens once."""
    large = pay(shop, 2_000)
    people = [person(f"p{n % 6}") for n in range(12)]
    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(lambda who: answer(shop, "approve", large, who), people))
    found = rejections(shop, receipts)
    assert found.count(None) == 2
    assert set(found) <= {None, "approved_already", "target_decided"}
    assert shop.balance("merchant") == 2_000
    proves(shop)


def test_what_cannot_be_approved(shop: Bank) -> None:
    """What does not wait, what was rejected, and what is not there."""
    small, poor = pay(shop, 10), shop.transfer("merchant", "customer", 999)
    held = shop.submit("hold", transfer("customer", "merchant", 10))
    nobody = shop.submit("approve", {"target": "op_00000000kg0gr0000000080002"}, principal=ANN)
    receipts = [approve(shop, one, ANN)[0] for one in (small, poor, held)]
    assert rejections(shop, [*receipts, nobody]) == [
        "target_not_pending",
        "target_rejected",
        "target_not_pending",
        "unknown_target",
    ]
    proves(shop)


@pytest.fixture
def asked(bank: Bank) -> tuple[Bank, int, int]:
    """A payment that waits for two, one of whom has approved; and the place of ben's approval.

    That one is not posted yet.
    """
    bank.fund("customer", 10_000)
    bank.open("merchant")
    rule(bank, "large", 1_000, people=2)
    by = b'{"by":["dora"],"roles":["submitter"],"sub":"clerk"}'
    large = pay(bank, 2_000, principal=by)
    approve(bank, large, ANN)
    bank.work()
    (last,) = approve(bank, large, BEN)
    approve(bank, large, ANN)
    approve(bank, large, CLERK)
    approve(bank, large, person("dora", "approver"))
    drain("validate", bank.ledger)
    return bank, large.position, last.position


def test_the_database_holds_four_eyes(asked: tuple[Bank, int, int]) -> None:
    """Never who submitted it or saw its key, nor one person twice, nor without counting down."""
    bank, large, at = asked

    def yes(position: int, actor: str, amount: int | str, remaining: int | str, last: bool) -> str:
        row = decision(large, 2, position, "approve", amount, remaining, last)
        return row.replace("'somebody'", f"'{actor}'")

    for statement, says in (
        (yes(at + 2, "clerk", 1, 0, True), "clerk may not approve"),
        (yes(at + 3, "dora", 1, 0, True), "dora may not approve"),
        (yes(at, "cat", 1, 0, True), "cat may not approve"),
        (yes(at + 1, "ann", 1, 0, True), "decisions_approved_once"),
        (yes(at, "ben", 1, 1, False), "has 1 left, of which 1 cannot leave 1"),
        (yes(at, "ben", 2, 0, True), "lacks 1 approvals"),
        (decision(large, 2, at, "refuse", "NULL", "NULL", False), "ends what"),
        (decision(large, 0, at, "wait", 1, 1), "what .* begins is its own"),
        (decision(at, 0, at, "wait", "NULL", "NULL"), "cannot wait for approvals"),
        (decision(1, 1, at, "approve", 1, 0, True), "does not wait for approvals"),
    ):
        with pytest.raises(psycopg2.Error, match=says):
            attempt(bank, statement)
    bank.work()
    assert bank.balance("merchant") == 2_000
    proves(bank)
