"""Four eyes against those who would get round them."""

import datetime as dt

import pytest

from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.pipeline.test_approvals import ANN, CLERK, answer, approve, opened, person, rejections
from tests.pipeline.test_holds import proves


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for two approvers."""
    return opened(either)


def hold(bank: Bank) -> Accepted:
    """By the clerk, of 20.00 of the customer's for the merchant."""
    return bank.submit("hold", transfer("customer", "merchant", 2_000), principal=CLERK)


def test_another_spelling_is_no_other_person(shop: Bank) -> None:
    """Capitals, spaces and wide letters make no second pair of eyes of the first one."""
    own = hold(shop)
    spelled = ("Clerk", " clerk", "clerk ", "CLERK", "\uff43lerk")
    receipts = approve(shop, own, *map(person, spelled))
    assert rejections(shop, receipts) == ["own_approval"] * len(spelled)
    proves(shop)


def test_another_spelling_does_not_approve_twice(shop: Bank) -> None:
    """Nor does it count again; and it gives nobody the right to take back what others submitted."""
    large = hold(shop)
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
