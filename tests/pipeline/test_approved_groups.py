"""Groups and approvals together: what waited is as if it had not waited."""

from typing import Any

import pytest

from models.operation import show_id
from pipeline.receipt import Accepted
from tests.bank import Bank, transfer
from tests.pipeline.test_approvals import ANN, CLERK, answer, approve, pay, person, rejections, rule
from tests.pipeline.test_holds import decisions, proves, totals


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for an approver."""
    either.fund("customer", 10_000)
    either.open("merchant")
    rule(either, "large", 1_000)
    either.work()
    return either


def member(kind: str, target: Accepted) -> dict[str, Any]:
    """A decision in a group."""
    return {"kind": kind, "target": show_id(target.id)}


def large(source: str = "customer", destination: str = "merchant") -> dict[str, Any]:
    """A transfer in a group for which the group waits."""
    return {"kind": "transfer", **transfer(source, destination, 2_000)}


def group(bank: Bank, *members: dict[str, Any], principal: bytes = CLERK) -> Accepted:
    """A group of the clerk's, unless it is somebody else's."""
    return bank.submit("group", {"operations": list(members)}, principal=principal)


def test_a_group_that_opens_an_account(shop: Bank) -> None:
    """The approval opens it, with the next number, in a run that opens nothing else."""
    opening = {"code": "new", "type": "liability", "currency": "EUR", "overdraft": 0}
    members = {"kind": "open_account", **opening}, large(destination="new")
    waiting = group(shop, *members, principal=person("teller", "operator"))
    shop.work()
    assert shop.status(waiting) == "pending"
    assert rejections(shop, approve(shop, waiting, ANN)) == [None]
    assert shop.status(waiting) == "posted"
    assert totals(shop, "new") == (2_000, 0, 0)
    proves(shop)


def test_a_group_with_a_reversal_is_not_reversed(shop: Bank) -> None:
    """Neither by its own id nor by that of its approval."""
    small = pay(shop, 500)
    shop.work()
    waiting = group(shop, member("reversal", small), large())
    (yes,) = approve(shop, waiting, ANN)
    at_once = [answer(shop, "reversal", one, CLERK) for one in (waiting, yes)]
    shop.work()
    late = [answer(shop, "reversal", one, CLERK) for one in (waiting, yes)]
    assert rejections(shop, [*at_once, *late]) == ["reversal_of_reversal"] * 4
    assert totals(shop, "customer") == (8_000, 0, 0)
    proves(shop)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_failed_group_gives_back_nothing_of_what_was_approved(shop: Bank, at_once: bool) -> None:
    """What its reversal did to the approved operation is undone: it can go back later, once."""
    held = shop.submit("hold", transfer("customer", "merchant", 500))
    waiting = group(shop, member("capture", held), large())
    approve(shop, waiting, ANN)
    if not at_once:
        shop.work()
    failed = group(shop, member("reversal", waiting), large("merchant", "missing") | {"amount": 1})
    back, again = (answer(shop, "reversal", waiting, CLERK) for _ in range(2))
    assert rejections(shop, [failed, back, again]) == ["group_failed", None, "already_reversed"]
    assert totals(shop, "customer") == (10_000, 0, 0)
    assert totals(shop, "merchant") == (0, 0, 0)
    assert decisions(shop, waiting)[-1] == ("approve", 1, 0, True)
    proves(shop)
