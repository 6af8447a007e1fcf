"""What was approved is what it would have been without: by its own id, with what belongs to it."""

import datetime as dt
import time
from typing import Any

import pytest

from models.operation import show_id
from pipeline.receipt import Accepted
from tests.bank import Bank, transfer
from tests.pipeline.test_approvals import (
    ANN,
    BEN,
    CAT,
    CLERK,
    answer,
    approve,
    opened,
    pay,
    person,
    rejections,
    rule,
)
from tests.pipeline.test_holds import BY_TIME, decisions, proves, totals
from tests.pipeline.test_limits import limit, usage


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR and a merchant; more than 10.00 waits for two approvers."""
    return opened(either)


def hold(bank: Bank, **more: Any) -> Accepted:
    """By the clerk, of 20.00 of the customer's for the merchant."""
    body = {**transfer("customer", "merchant", 2_000), **more}
    return bank.submit("hold", body, principal=CLERK)


def member(kind: str, target: Accepted) -> dict[str, Any]:
    """A decision in a group."""
    return {"kind": kind, "target": show_id(target.id)}


def large(source: str = "customer", destination: str = "merchant") -> dict[str, Any]:
    """A transfer in a group for which the group waits."""
    return {"kind": "transfer", **transfer(source, destination, 2_000)}


def group(bank: Bank, *members: dict[str, Any], principal: bytes = CLERK) -> Accepted:
    """A group of the clerk's, unless it is somebody else's."""
    return bank.submit("group", {"operations": list(members)}, principal=principal)


def test_an_approved_hold_is_a_hold(shop: Bank) -> None:
    """Under its own id: it is captured and released as if it had never waited."""
    held = shop.submit("hold", transfer("customer", "merchant", 5_000), principal=CLERK)
    early = [answer(shop, kind, held, CLERK) for kind in ("capture", "release")]
    assert rejections(shop, early) == ["target_not_pending"] * 2
    assert totals(shop, "customer") == (10_000, 0, 0)
    approve(shop, held, ANN, BEN)
    taken = answer(shop, "capture", held, CLERK, amount=3_000)
    late = approve(shop, held, CAT)
    assert rejections(shop, [taken, *late]) == [None, "target_not_pending"]
    assert totals(shop, "customer") == (7_000, 2_000, 0)
    freed = answer(shop, "release", held, CLERK)
    assert rejections(shop, [freed]) == [None]
    assert totals(shop, "customer") == (7_000, 0, 0)
    assert [row[0] for row in decisions(shop, held)] == [
        *("wait", "approve", "approve", "hold"),
        *("capture", "release"),
    ]
    proves(shop)


def test_an_approved_operation_is_given_back_by_its_own_id(shop: Bank) -> None:
    """In parts too, and no more than it was; the approval names the same money."""
    large = pay(shop, 4_000)
    early = answer(shop, "reversal", large, CLERK)
    last = approve(shop, large, ANN, BEN)[1]
    assert rejections(shop, [early]) == ["nothing_to_reverse"]
    parts = [answer(shop, "reversal", large, CLERK, amount=amount) for amount in (1_000, 3_001)]
    rest = answer(shop, "reversal", last, CLERK)
    again = answer(shop, "reversal", large, CLERK)
    assert rejections(shop, [*parts, rest, again]) == [
        None,
        "amount_exceeds_original",
        None,
        "already_reversed",
    ]
    assert shop.balance("customer") == 10_000
    proves(shop)


@pytest.mark.parametrize("at_once", [True, False])
def test_an_approved_transfer_with_fees_goes_back_in_parts(shop: Bank, at_once: bool) -> None:
    """As if it had never waited, by its own id or by that of its approval."""
    shop.open("fees", type="income")
    body = {**transfer("customer", "merchant", 4_000), "fees": [{"account": "fees", "amount": 50}]}
    large = shop.submit("transfer", body, principal=CLERK)
    last = approve(shop, large, ANN, BEN)[1]
    if not at_once:
        shop.work()
    parts = [answer(shop, "reversal", one, CLERK, amount=1_000) for one in (large, last)]
    assert rejections(shop, parts) == [None, None]
    assert shop.balance("merchant") == 2_000
    proves(shop)


def test_what_holds_more_waits_as_a_whole(shop: Bank) -> None:
    """A group above the threshold by one member or by all together; a schedule, which then goes on
    by its own id."""
    members = [{"kind": "transfer", **transfer("customer", "merchant", 600)} for _ in range(2)]
    small = shop.submit("group", {"operations": members[:1]}, principal=CLERK)
    together = shop.submit("group", {"operations": members}, principal=CLERK)
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
    inner = {"kind": "transfer", **transfer("customer", "merchant", 2_000)}
    schedule = shop.submit("schedule", {"operation": inner, "at": later}, principal=CLERK)
    early = answer(shop, "cancel_schedule", schedule, CLERK)
    for one in (together, schedule):
        approve(shop, one, ANN, BEN)
    shop.work()
    assert [shop.status(one) for one in (small, together, schedule)] == [
        *("posted", "posted", "pending"),
    ]
    assert shop.balance("merchant") == 1_800
    due = {"target": show_id(schedule.id), "number": 1, "due": later}
    came = shop.submit("occur", due, principal=BY_TIME)
    assert rejections(shop, [early, came]) == ["target_not_pending", None]
    assert shop.balance("merchant") == 3_800
    assert [row[0] for row in decisions(shop, schedule)][-3:] == ["schedule", "occur", "end"]
    back = answer(shop, "reversal", together, CLERK)
    assert rejections(shop, [back]) == [None]
    proves(shop)


def test_what_waits_counts_when_it_takes_effect(shop: Bank) -> None:
    """Limits are those of who submitted it, at the place of the last approval."""
    limit(shop, "clerks", "day", 3_000, role="submitter")
    large = pay(shop, 2_000)
    shop.work()
    assert usage(shop) == {}
    small = pay(shop, 1_001 - 1)
    again = pay(shop, 1_000)
    yes = approve(shop, large, ANN, BEN)
    assert rejections(shop, [small, again, *yes]) == [None, None, None, "limit_reached"]
    assert usage(shop) == {("clerks", ""): 2_000}
    limit(shop, "clerks", "day", 4_000, role="submitter")
    assert rejections(shop, approve(shop, large, CAT)) == [None]
    assert usage(shop) == {("clerks", ""): 4_000}
    proves(shop)


def test_a_group_that_opens_an_account(shop: Bank) -> None:
    """The last approval opens it, with the next number, in a run that opens nothing else."""
    opening = {"code": "new", "type": "liability", "currency": "EUR", "overdraft": 0}
    members = {"kind": "open_account", **opening}, large(destination="new")
    waiting = group(shop, *members, principal=person("teller", "operator"))
    shop.work()
    assert shop.status(waiting) == "pending"
    assert rejections(shop, approve(shop, waiting, ANN, BEN)) == [None, None]
    assert shop.status(waiting) == "posted"
    assert totals(shop, "new") == (2_000, 0, 0)
    proves(shop)


def test_a_group_with_a_reversal_is_not_reversed(shop: Bank) -> None:
    """Neither by its own id nor by that of its approval."""
    small = pay(shop, 500)
    shop.work()
    waiting = group(shop, member("reversal", small), large())
    yes = approve(shop, waiting, ANN, BEN)[1]
    at_once = [answer(shop, "reversal", one, CLERK) for one in (waiting, yes)]
    shop.work()
    late = [answer(shop, "reversal", one, CLERK) for one in (waiting, yes)]
    assert rejections(shop, [*at_once, *late]) == ["reversal_of_reversal"] * 4
    assert totals(shop, "customer") == (8_000, 0, 0)
    proves(shop)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_failed_group_gives_back_nothing_of_what_was_approved(shop: Bank, at_once: bool) -> None:
    """What its reversals did to approved operations is undone: these can go back later, once."""
    held = shop.submit("hold", transfer("customer", "merchant", 500))
    waiting, paid = group(shop, member("capture", held), large()), pay(shop, 1_001)
    for one in (waiting, paid):
        approve(shop, one, ANN, BEN)
    if not at_once:
        shop.work()
    undone = [member("reversal", one) for one in (waiting, paid)]
    failed = group(shop, *undone, large("merchant", "missing") | {"amount": 1})
    tries = [answer(shop, "reversal", one, CLERK) for one in (waiting, paid) for _ in range(2)]
    assert rejections(shop, [failed, *tries]) == ["group_failed"] + [None, "already_reversed"] * 2
    assert totals(shop, "customer") == (10_000, 0, 0)
    assert totals(shop, "merchant") == (0, 0, 0)
    assert decisions(shop, waiting)[-1] == ("approve", 1, 0, True)
    proves(shop)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_hold_approved_in_time_does_not_expire_as_unapproved(shop: Bank, at_once: bool) -> None:
    """The word that nobody has approved it may stand in the log behind the approval: too late."""
    rule(shop, "large", 1_000, people=2, expires_after_s=60)
    held = hold(shop)
    shop.work()
    yes = approve(shop, held, ANN, BEN)
    if not at_once:
        shop.work()
    body = {"target": show_id(held.id), "number": 0}
    late = shop.submit("expire", body, principal=BY_TIME)
    assert rejections(shop, [*yes, late]) == [None, None, "target_decided"]
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
    receipts += [
        answer(shop, "approve", one, who, effective_date=day)
        for one, who in ((plain, ANN), (dated, ANN), (dated, BEN))
    ]
    otherwise = "approval_dated_otherwise"
    assert rejections(shop, receipts) == [otherwise, otherwise, None, None]
    moved = shop.rows("SELECT date::text, arriving FROM date_shifts WHERE ledger_id = :ledger")
    assert {row.arriving for row in moved if row.date == day} == {2_000, -2_000}
    proves(shop)


def test_a_hold_is_not_approved_after_its_end(shop: Bank) -> None:
    """It would be reserved, and could be captured, after the time that its maker gave it; one that
    lasts for so many seconds lasts that long from when it takes effect."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    held, counted = hold(shop, expires_at=ends.isoformat()), hold(shop, expires_after_s=1)
    shop.work()
    time.sleep(max(0.0, (ends - dt.datetime.now(dt.UTC)).total_seconds()))
    given = [approve(shop, one, ANN, BEN)[1] for one in (held, counted)]
    taken = answer(shop, "capture", held, CLERK)
    found = rejections(shop, [*given, taken])
    assert found == ["expiry_out_of_range", None, "target_not_pending"]
    assert totals(shop, "customer") == (10_000, 2_000, 0)
    assert rejections(shop, [answer(shop, "refuse", held, CLERK)]) == [None]
    proves(shop)
