"""A rule of approvals may be over limits: then nobody alone takes one away, or widens it."""

from typing import Any

import psycopg2
import pytest

from pipeline.kinds.approvals import rule_over
from pipeline.settings import Approval, Limit, Settings
from tests.bank import Bank
from tests.pipeline.test_approvals import ANN, approve, rejections, rule, shop
from tests.pipeline.test_first_use import with_changed_rules
from tests.pipeline.test_holds import proves
from tests.pipeline.test_rule_changes import NAME, ROOT

__all__ = ["shop"]  # a fixture

DAILY = {"name": "daily", "per": "day", "currency": "EUR", "amount": 500, "account": "customer"}
OVER = Approval("caps", "EUR", 900, 1, "approver", "set_limit", None, None)


def limits(bank: Bank) -> None:
    """5.00 EUR a day leave the customer; up to 9.00 an admin alone may set."""
    bank.submit("set_limit", DAILY)
    rule(bank, "caps", 900, operation_kind="set_limit")


def test_who_is_limited_does_not_lift_it_alone(shop: Bank) -> None:
    """Until somebody else approves it the limit holds, and counts on; then it is gone."""
    limits(shop)
    pays = [shop.transfer("customer", "merchant", 500, principal=ROOT)]
    away = shop.submit("remove_limit", {"name": "daily"}, principal=ROOT)
    pays.append(shop.transfer("customer", "merchant", 1, principal=ROOT))
    yes = approve(shop, away, ROOT, ANN)
    pays.append(shop.transfer("customer", "merchant", 700, principal=ROOT))
    assert rejections(shop, [*pays, *yes]) == [
        None,
        "limit_reached",
        None,
        "own_approval",
        None,
    ]
    assert shop.status(away) == "posted"
    proves(shop)


@pytest.mark.parametrize(
    ("kind", "change", "waits"),
    [
        ("remove_limit", {}, True),
        ("set_limit", {}, False),
        ("set_limit", {"amount": 900}, False),
        ("set_limit", {"amount": 901}, True),
        ("set_limit", {"amount": 0}, False),
        ("set_limit", {"amount": 0, "currency": "USD"}, True),
        ("set_limit", {"amount": 0, "per": "month"}, True),
        ("set_limit", {"amount": 0, "account": None}, True),
        ("set_limit", {"amount": 0, "account": "*"}, True),
        ("set_limit", {"amount": 0, "operation_kind": "hold"}, True),
        ("set_limit", {"amount": 0, "role": "reader"}, True),
        ("set_limit", {"name": "another", "amount": 10_000}, False),
        ("remove_limit", {"name": "another"}, False),
    ],
)
def test_what_lifts_a_limit(kind: str, change: dict[str, Any], waits: bool) -> None:
    """More than the rule's amount, and whatever makes another limit, of which nothing is used."""
    kept = Limit("daily", "day", "EUR", 500, "customer", None, None, 7)
    rules = Settings(9, limits={"daily": kept}, approvals={"caps": OVER})
    body, who = DAILY | change, ROOT.decode()
    assert rule_over(rules, kind, body, who) == (OVER if waits else None)
    for other in (OVER._replace(currency="USD"), OVER._replace(operation_kind=None)):
        apart = rules._replace(approvals={"caps": other})
        assert rule_over(apart, kind, body, who) is None


def test_a_rule_over_limits_is_not_made_one_over_money() -> None:
    """One for all kinds is over what moves money alone, so that it would loosen this one."""
    rules = Settings(1, approvals={"caps": OVER})
    members = {"name": "caps", "currency": "EUR", "above": 900, "people": 1, "by_role": "approver"}
    assert rule_over(rules, "set_approval", members, ROOT.decode()) == OVER
    again = {**members, "operation_kind": "set_limit"}
    assert rule_over(rules, "set_approval", again, ROOT.decode()) is None


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ("('{\"limits\": [], \"approvals\": ' || (document->>'approvals') || '}')::json", "daily"),
        ("replace(document::text, '\"amount\":500', '\"amount\":901')::json", "daily"),
        ("replace(document::text, '\"since\":', '\"since\":1')::json", "daily"),
        ('\'{"limits": [], "approvals": []}\'', ""),
        ("replace(document::text, '\"people\":2', '\"people\":1')::json", "large"),
        ("replace(document::text, '\"set_limit\"', 'null')::json", "caps"),
    ],
)
def test_the_database_asks_who_approved_it(shop: Bank, change: str, name: str) -> None:
    """What loosens a rule or a limit is not kept without the last approval of such a change."""
    limits(shop)
    shop.work()
    with pytest.raises(
        psycopg2.errors.CheckViolation, match=f"approved that .*{name}.* is loosened"
    ):
        with_changed_rules(shop, f"document = {change}")
    proves(shop)


def test_what_was_approved_is_kept_whatever_comes_with_it(shop: Bank) -> None:
    """In one run a rule over limits goes, a limit is widened, and the rule comes again."""
    limits(shop)
    shop.work()
    away = shop.submit("remove_approval", {"name": "caps"}, principal=ROOT)
    large = shop.submit("remove_approval", NAME, principal=ROOT)
    yes = approve(shop, away, ANN)
    wide = shop.submit("set_limit", DAILY | {"amount": 5_000}, principal=ROOT)
    rule(shop, "caps", 900, operation_kind="set_limit")
    assert rejections(shop, [away, *yes, wide]) == [None, None, None]
    assert [shop.status(one) for one in (wide, large)] == ["posted", "pending"]
    proves(shop)
