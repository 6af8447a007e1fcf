"""Four eyes against those who would get round them, and what an approval must not break."""

import datetime as dt
import time
from typing import Any

import pytest

from models.operation import show_id
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.pipeline.test_approvals import ANN, CLERK, answer, approve, person, rejections, rule
from tests.pipeline.test_holds import BY_TIME, proves, totals


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for an approver."""
    either.fund("customer", 10_000)
    either.open("merchant")
    rule(either, "large", 1_000)
    either.work()
    return either


def hold(bank: Bank, amount: int, **more: Any) -> Accepted:
    """By the clerk, of the customer's money for the merchant."""
    body = {**transfer("customer", "merchant", amount), **more}
    return bank.submit("hold", body, principal=CLERK)


def test_an_approved_group_opens_accounts(shop: Bank) -> None:
    """The account that a member opens has a number of its own, as without an approval."""
    operator = person("op", "operator")
    opening = {"code": "new", "type": "liability", "currency": "EUR", "overdraft": 0}
    paid = {"kind": "transfer", **transfer("customer", "new", 2_000)}
    members = [{"kind": "open_account", **opening}, paid]
    group = shop.submit("group", {"operations": members}, principal=operator)
    shop.work()
    assert rejections(shop, approve(shop, group, ANN)) == [None]
    assert shop.balance("new") == 2_000
    proves(shop)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_hold_approved_in_time_does_not_expire_as_unapproved(shop: Bank, at_once: bool) -> None:
    """The word that nobody has approved it may stand in the log behind the approval: too late."""
    rule(shop, "large", 1_000, expires_after_s=60)
    held = hold(shop, 2_000)
    shop.work()
    yes = approve(shop, held, ANN)
    if not at_once:
        shop.work()
    body = {"target": show_id(held.id), "number": 0}
    late = shop.submit("expire", body, principal=BY_TIME)
    assert rejections(shop, [*yes, late]) == [None, "target_decided"]
    assert totals(shop, "customer") == (10_000, 2_000, 0)
    assert shop.status(held) == "pending"
    proves(shop)


def test_what_was_dated_keeps_its_date(shop: Bank) -> None:
    """Who approves it names the date too, and can give it no other."""
    day = (dt.datetime.now(dt.UTC) - dt.timedelta(days=40)).date().isoformat()
    body = {**transfer("customer", "merchant", 2_000), "effective_date": day}
    dated = shop.submit("transfer", body, principal=CLERK)
    plain = shop.transfer("customer", "merchant", 2_000, principal=CLERK)
    receipts = approve(shop, dated, ANN)
    receipts += [answer(shop, "approve", one, ANN, effective_date=day) for one in (plain, dated)]
    otherwise = "approval_dated_otherwise"
    assert rejections(shop, receipts) == [otherwise, otherwise, None]
    moved = shop.rows("SELECT date::text, arriving FROM date_shifts WHERE ledger_id = :ledger")
    assert {row.arriving for row in moved if row.date == day} == {2_000, -2_000}
    proves(shop)


def test_a_hold_is_not_approved_after_its_end(shop: Bank) -> None:
    """It would be reserved, and could be captured, after the time that its maker gave it."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    held = hold(shop, 2_000, expires_at=ends.isoformat())
    shop.work()
    time.sleep((ends - dt.datetime.now(dt.UTC)).total_seconds())
    late = approve(shop, held, ANN)
    taken = answer(shop, "capture", held, CLERK)
    assert rejections(shop, [*late, taken]) == ["expiry_out_of_range", "target_not_pending"]
    assert totals(shop, "customer") == (10_000, 0, 0)
    assert rejections(shop, [answer(shop, "refuse", held, CLERK)]) == [None]
    proves(shop)


@pytest.mark.parametrize("spelled", ["Clerk", " clerk", "clerk ", "CLERK", "\uff43lerk"])
def test_another_spelling_is_no_other_person(shop: Bank, spelled: str) -> None:
    """Capitals, spaces and wide letters make no second pair of eyes of the first one."""
    own = hold(shop, 2_000)
    assert rejections(shop, approve(shop, own, person(spelled))) == ["own_approval"]
    proves(shop)


def test_another_spelling_does_not_approve_twice(shop: Bank) -> None:
    """Nor does it count again; and it gives nobody the right to take back what others submitted."""
    rule(shop, "large", 1_000, people=2)
    large = hold(shop, 2_000)
    shop.work()
    receipts = approve(shop, large, ANN, person("Ann"))
    receipts.append(answer(shop, "refuse", large, person("Clerk", "submitter")))
    assert rejections(shop, receipts) == [None, "approved_already", "not_permitted"]
    proves(shop)


def test_a_limited_approver_releases_no_more_than_that(shop: Bank) -> None:
    """What one operation may move under a token holds for approvals too, in every currency."""
    limited = canonical({"roles": ["approver"], "sub": "till", "limits": {"EUR": 1_999}})
    other = canonical({"roles": ["approver"], "sub": "till", "limits": {"USD": 10**9}})
    members = [{"kind": "transfer", **transfer("customer", "merchant", 1_000)} for _ in range(2)]
    group = shop.submit("group", {"operations": members}, principal=CLERK)
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
    inner = {"kind": "transfer", **transfer("customer", "merchant", 2_000)}
    schedule = shop.submit("schedule", {"operation": inner, "at": later}, principal=CLERK)
    fits = shop.transfer("customer", "merchant", 1_999, principal=CLERK)
    receipts = [*approve(shop, group, limited, other), *approve(shop, schedule, limited)]
    receipts += approve(shop, fits, limited)
    assert rejections(shop, receipts) == [*["limit_exceeded"] * 3, None]
    proves(shop)
