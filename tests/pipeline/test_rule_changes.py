"""A rule of approvals is over its own changes: nobody alone takes it away, or loosens it."""

from typing import Any

import pytest

from pipeline.kinds.approvals import rule_over
from pipeline.settings import Approval, Settings
from tests.bank import Bank
from tests.pipeline.test_approvals import (
    ANN,
    BEN,
    CAT,
    answer,
    approve,
    pay,
    person,
    rejections,
    rule,
    shop,
    shown,
)
from tests.pipeline.test_holds import decisions, proves

__all__ = ["shop"]  # a fixture

NAME = {"name": "large"}
ROOT, OTHER_ROOT = (person(name, "admin") for name in ("root", "toor"))
RULE = Approval("large", "EUR", 1_000, 2, "approver", "transfer", "submitter", 60)
SAME = {
    "name": "large",
    "currency": "EUR",
    "above": 1_000,
    "people": 2,
    "by_role": "approver",
    "operation_kind": "transfer",
    "role": "submitter",
}


def test_taking_a_rule_away_waits_under_it(shop: Bank) -> None:
    """For as many people as it asks for, of whom who wants it away is none; then it is gone."""
    away = shop.submit("remove_approval", NAME, principal=ROOT)
    between = pay(shop, 2_000)
    yes = approve(shop, away, ROOT, ANN, ANN)
    assert rejections(shop, yes) == ["own_approval", None, "approved_already"]
    assert [shop.status(one) for one in (away, between)] == ["pending", "pending"]
    approve(shop, away, OTHER_ROOT)
    after = pay(shop, 2_000)
    shop.work()
    assert [shop.status(one) for one in (away, between, after)] == ["posted", "pending", "posted"]
    assert decisions(shop, away) == [
        ("wait", 2, 2, False),
        ("approve", 1, 1, False),
        ("approve", 1, 0, True),
    ]
    proves(shop)


def test_a_change_that_is_refused_changes_nothing(shop: Bank) -> None:
    """The rule holds on; so it does where the rule has changed before the last approval."""
    looser = rule(shop, "large", 5_000, people=2)
    no = answer(shop, "refuse", looser, ANN)
    assert rejections(shop, [no]) == [None]
    assert shown(shop, looser) == ("rejected", "approval_refused")
    ways = [shop.submit("remove_approval", NAME, principal=ROOT) for _ in range(2)]
    approve(shop, ways[0], ANN, BEN)
    late = approve(shop, ways[1], ANN, BEN)
    assert rejections(shop, late) == [None, "unknown_rule"]
    assert shop.status(ways[1]) == "pending"
    proves(shop)


def test_what_is_looser_waits_and_what_is_stricter_does_not(shop: Bank) -> None:
    """In the log, as in the table below; who approves it puts it in force."""
    rule(shop, "large", 900, people=3)
    waits = pay(shop, 901)
    looser = rule(shop, "large", 2_000, people=1)
    approve(shop, looser, ANN, BEN, CAT)
    passes = pay(shop, 2_000)
    shop.work()
    assert [shop.status(one) for one in (waits, looser, passes)] == ["pending", "posted", "posted"]
    proves(shop)


@pytest.mark.parametrize(
    ("change", "waits"),
    [
        ({}, False),
        ({"above": 0}, False),
        ({"people": 5}, False),
        ({"operation_kind": None}, False),
        ({"role": None}, False),
        ({"expires_after_s": 3_600}, False),
        ({"name": "another", "people": 1}, False),
        ({"above": 1_001}, True),
        ({"people": 1}, True),
        ({"currency": "USD"}, True),
        ({"by_role": "operator"}, True),
        ({"operation_kind": "hold"}, True),
        ({"role": "reader"}, True),
    ],
)
def test_what_loosens_a_rule(change: dict[str, Any], waits: bool) -> None:
    """Whatever lets an operation pass that waits under it, or for fewer people, or for others."""
    rules = Settings(1, approvals={"large": RULE})
    body = SAME | change
    admin = ROOT.decode()
    assert rule_over(rules, "set_approval", body, admin) == (RULE if waits else None)
    assert rule_over(rules, "remove_approval", {"name": body["name"]}, admin) == (
        RULE if body["name"] == "large" else None
    )


def test_another_rule_does_not_let_others_approve() -> None:
    """New rules hold at once: what takes an admin goes on to, whatever rule is set beside."""
    members = {"source": "a", "destination": "b", "amount": 2_000, "currency": "EUR"}
    admins = RULE._replace(by_role="admin", role=None)
    beside = admins._replace(name="beside", by_role="operator", above=1_999)
    rules = Settings(1, approvals={"beside": beside, "large": admins})
    assert rule_over(rules, "transfer", members, ROOT.decode()) == admins
    more = beside._replace(people=3)
    rules = Settings(1, approvals={"beside": more, "large": admins})
    assert rule_over(rules, "transfer", members, ROOT.decode()) == more
