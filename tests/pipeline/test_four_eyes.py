"""Four eyes against those who would get round them, and what an approval must not break."""

import pytest

from tests.bank import Bank, transfer
from tests.pipeline.test_approvals import ANN, approve, person, rejections, rule
from tests.pipeline.test_holds import proves


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for an approver."""
    either.fund("customer", 10_000)
    either.open("merchant")
    rule(either, "large", 1_000)
    either.work()
    return either


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
