"""What was approved is what it would have been without: groups, their reversals, holds."""

import datetime as dt
import time

import pytest

from models.operation import show_id
from tests.bank import Bank, transfer
from tests.pipeline.test_approvals import (
    ANN,
    BEN,
    CLERK,
    answer,
    approve,
    pay,
    person,
    rejections,
    rule,
)
from tests.pipeline.test_due import SOON_S
from tests.pipeline.test_holds import proves, totals


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for two approvers."""
    either.fund("customer", 10_000)
    either.open("merchant")
    rule(either, "large", 1_000, people=2)
    either.work()
    return either


def test_a_group_that_fails_leaves_the_approved_as_it_was(shop: Bank) -> None:
    """What was approved and would go back in a group that is refused can go back afterwards."""
    paid = pay(shop, 1_001)
    approve(shop, paid, ANN, BEN)
    shop.work()
    back = {"target": show_id(paid.id)}
    failing = {"kind": "transfer", **transfer("customer", "nobody", 1)}
    members = [{"kind": "reversal", **back}, failing]
    group = shop.submit("group", {"operations": members})
    alone = shop.submit("reversal", back)
    assert rejections(shop, [group, alone]) == ["group_failed", None]
    assert shop.balance("merchant") == 0
    proves(shop)


def test_an_approved_group_opens_accounts(shop: Bank) -> None:
    """They get the next numbers, as if it had not waited."""
    attributes = {"type": "liability", "currency": "EUR", "overdraft": 0}
    opening = {"kind": "open_account", "code": "saver", **attributes}
    moving = {"kind": "transfer", **transfer("customer", "saver", 1_001)}
    group = shop.submit("group", {"operations": [opening, moving]}, principal=person("op", "admin"))
    shop.work()
    given = approve(shop, group, ANN, BEN)
    assert rejections(shop, [group, *given]) == [None, None, None]
    assert shop.balance("saver") == 1_001
    proves(shop)


def test_a_reversal_in_an_approved_group_is_not_reversed(shop: Bank) -> None:
    """Not by the group's id and not by that of its approval: as if it had never waited."""
    paid = shop.transfer("customer", "merchant", 500)
    shop.work()
    members = [
        {"kind": "reversal", "target": show_id(paid.id)},
        {"kind": "transfer", **transfer("customer", "merchant", 1_001)},
    ]
    group = shop.submit("group", {"operations": members}, principal=CLERK)
    last = approve(shop, group, ANN, BEN)[1]
    shop.work()
    back = [answer(shop, "reversal", one, CLERK) for one in (group, last)]
    assert rejections(shop, back) == ["reversal_of_reversal"] * 2
    proves(shop)


def test_a_hold_that_is_approved_too_late_is_none(shop: Bank) -> None:
    """Its end has passed: the approval is refused. Seconds count from when it takes effect."""
    move = transfer("customer", "merchant", 2_000)
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SOON_S)).isoformat()
    late = shop.submit("hold", {**move, "expires_at": soon}, principal=CLERK)
    counted = shop.submit("hold", {**move, "expires_after_s": 1}, principal=CLERK)
    time.sleep(1 + SOON_S)
    given = [approve(shop, one, ANN, BEN)[1] for one in (late, counted)]
    assert rejections(shop, given) == ["expiry_out_of_range", None]
    assert totals(shop, "customer") == (10_000, 2_000, 0)
    proves(shop)
