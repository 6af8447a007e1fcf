"""What a schedule may hold besides transfers: exchanges, groups, holds, and what decides others."""

import datetime as dt
import time
from typing import Any

import pytest

from models.db import tenant_reading
from models.operation import address_of, make_id, show_id
from pipeline import due
from pipeline.dry_run import DryRun
from pipeline.due import submit_due
from pipeline.receipt import Accepted, Submission
from pipeline.strict_json import canonical
from tests.bank import ADMIN, Bank, transfer
from tests.pipeline.test_due import MANY, SOON_S
from tests.pipeline.test_groups import member, pay
from tests.pipeline.test_holds import decide, decisions, hold, proves, totals
from tests.pipeline.test_limits import limit
from tests.pipeline.test_schedules import effects, minutely, occur, waits


@pytest.fixture
def shop(either: Bank) -> Bank:
    """A customer with 100.00 EUR, a merchant, and what an exchange takes."""
    either.fund("customer", 10_000)
    either.open("merchant")
    either.open("dollars", currency="USD")
    for currency in ("EUR", "USD"):
        either.open(f"exchange:{currency}", type="equity", currency=currency, overdraft="unlimited")
    either.work()
    return either


def later(bank: Bank, kind: str, **members: Any) -> Accepted:
    """A schedule of one operation whose times come by the minute."""
    return minutely(bank, operation={"kind": kind, **members})


def occurred(bank: Bank, schedule: Accepted, times: int = 1, first: int = 0) -> list[Accepted]:
    """So many times of the schedule, one after the other, each in a run of its own."""
    found = []
    for number in range(first, first + times):
        found.append(occur(bank, schedule, number))
        bank.work()
    return found


def codes(bank: Bank, receipts: list[Accepted]) -> list[str | None]:
    """Why each was refused, if it was."""
    return [bank.rejection(one) for one in receipts]


def nobodys(like: Accepted) -> str:
    """An id of the same place in the log, which nobody has."""
    address = address_of(like.id)
    return show_id(make_id(address.ledger_id, address.position, 0))


EXCHANGE = {
    "source": "customer",
    "destination": "dollars",
    "amount": 4_000,
    "currency": "EUR",
    "to_currency": "USD",
    "rate": "1.1",
}


def test_an_exchange_happens_again_and_again(shop: Bank) -> None:
    """At the rate that was named, until the money is gone; limits count each time."""
    limit(shop, "daily", "day", 7_000, account="customer")
    made = later(shop, "exchange", **EXCHANGE)
    found = occurred(shop, made, 2)
    assert codes(shop, found) == [None, "limit_reached"]
    assert [shop.balance(code) for code in ("customer", "dollars")] == [6_000, 4_400]
    assert effects(shop, made) == ["schedule", "occur"]
    assert waits(shop) == [("schedule", True, 2)]
    proves(shop)


def test_a_group_happens_as_a_whole(shop: Bank) -> None:
    """All of it or nothing, each time; an occurrence is reversed as a whole."""
    first = hold(shop, 1_000)
    shop.work()
    name = {"account": "customer", "name": "Ada"}
    taking = member("capture", target=show_id(first.id), amount=600)
    made = later(shop, "group", operations=[pay(3_000), taking, member("update_account", **name)])
    found = occurred(shop, made, 2)
    assert codes(shop, found) == [None, "group_failed"]
    assert totals(shop, "customer") == (6_400, 400, 0)
    assert [row[0] for row in decisions(shop, first)] == ["hold", "capture"]
    back = decide(shop, "reversal", found[0])
    shop.work()
    assert shop.rejection(back) is None
    assert shop.balance("merchant") == 0
    proves(shop)


def test_a_hold_of_an_occurrence_is_one_of_its_own(shop: Bank) -> None:
    """Each time reserves anew; the occurrence's id names its hold to captures and releases."""
    made = later(shop, "hold", **transfer("customer", "merchant", 4_000), expires_after_s=3_600)
    first, second, third = occurred(shop, made, 3)
    assert codes(shop, [first, second, third]) == [None, None, "insufficient_funds"]
    assert [shop.status(one) for one in (first, second)] == ["pending", "pending"]
    assert totals(shop, "customer") == (10_000, 8_000, 0)
    taken = [
        decide(shop, "capture", first, amount=1_000),
        decide(shop, "capture", first, amount=3_001),
        decide(shop, "capture", first, amount=500, final=True),
        decide(shop, "capture", first),
        decide(shop, "release", second),
        decide(shop, "capture", made),
    ]
    back = decide(shop, "reversal", taken[0])
    shop.work()
    assert codes(shop, [*taken, back]) == [
        *(None, "amount_exceeds_held", None, "target_decided", None, "target_not_pending"),
        None,
    ]
    assert totals(shop, "customer") == (9_500, 0, 0)
    assert [row[0] for row in decisions(shop, first)] == ["hold", "capture", "capture", "release"]
    assert shop.status(first) == "posted"
    proves(shop)


def test_a_hold_of_an_occurrence_expires(shop: Bank) -> None:
    """So many seconds after it was made; a moment that has passed by then refuses it."""
    move = transfer("customer", "merchant", 1_000)
    made = later(shop, "hold", **move, expires_after_s=1)
    (held,) = occurred(shop, made)
    assert totals(shop, "customer") == (10_000, 1_000, 0)
    soon = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SOON_S)).isoformat()
    late = later(shop, "hold", **move, expires_at=soon)
    time.sleep(1 + SOON_S)
    (refused,) = occurred(shop, late)
    assert shop.rejection(refused) == "expiry_out_of_range"
    submit_due(shop.ledger, MANY)
    shop.work()
    assert [row[0] for row in decisions(shop, held)] == ["hold", "expire"]
    assert totals(shop, "customer")[1] == 0
    proves(shop)


def test_a_failed_group_leaves_the_hold_of_an_occurrence(shop: Bank) -> None:
    """What it would have captured is still held, for whoever comes next in the same run."""
    made = later(shop, "hold", **transfer("customer", "merchant", 4_000))
    (held,) = occurred(shop, made)
    taking = member("capture", target=show_id(held.id))
    group = shop.submit("group", {"operations": [taking, pay(1, "customer", "nobody")]})
    alone = decide(shop, "capture", held)
    shop.work()
    assert codes(shop, [group, alone]) == ["group_failed", None]
    assert totals(shop, "customer") == (6_000, 0, 0)
    proves(shop)


def test_a_hold_is_released_on_friday(shop: Bank) -> None:
    """Once, at its time; and who was faster leaves nothing to decide."""
    held, taken = hold(shop, 3_000), hold(shop, 2_000)
    shop.work()
    releases = [later(shop, "release", target=show_id(one.id)) for one in (held, taken)]
    decide(shop, "capture", taken)
    shop.work()
    assert codes(shop, [occurred(shop, one)[0] for one in releases]) == [None, "target_decided"]
    assert totals(shop, "customer") == (8_000, 0, 0)
    assert [row[0] for row in decisions(shop, held)] == ["hold", "release"]
    proves(shop)


def test_a_hold_is_captured_in_instalments(shop: Bank) -> None:
    """A part each time until it is used up, and then what is left is too little."""
    held = hold(shop, 2_500)
    shop.work()
    made = later(shop, "capture", target=show_id(held.id), amount=1_000)
    assert codes(shop, occurred(shop, made, 3)) == [None, None, "amount_exceeds_held"]
    assert totals(shop, "customer") == (8_000, 500, 0)
    proves(shop)


def test_a_payment_goes_back_later(shop: Bank) -> None:
    """In parts, and no more than it was; what went back so is not reversed itself."""
    paid = shop.transfer("customer", "merchant", 1_500)
    shop.work()
    made = later(shop, "reversal", target=show_id(paid.id), amount=1_000)
    found = occurred(shop, made, 2)
    again = decide(shop, "reversal", found[0])
    shop.work()
    assert codes(shop, [*found, again]) == [
        *(None, "amount_exceeds_original", "reversal_of_reversal"),
    ]
    assert shop.balance("merchant") == 500
    proves(shop)


def test_an_occurrence_with_fees_goes_back_in_parts(shop: Bank) -> None:
    """As the transfer itself would: the parts are of what went to the destination."""
    shop.open("fees", type="income")
    fees = [{"account": "fees", "amount": 50}]
    made = later(shop, "transfer", **transfer("customer", "merchant", 2_000), fees=fees)
    (paid,) = occurred(shop, made)
    part = decide(shop, "reversal", paid, amount=500)
    shop.work()
    assert shop.rejection(part) is None
    assert [shop.balance(code) for code in ("merchant", "fees")] == [1_500, 50]
    proves(shop)


def test_what_it_names_is_there_when_it_is_made(shop: Bank) -> None:
    """An id that no operation has, or a refused one, will never be there: nothing waits for it."""
    refused = hold(shop, 10**9)
    shop.work()
    unknown = nobodys(refused)
    found = [
        later(shop, "release", target=show_id(refused.id)),
        later(shop, "capture", target=unknown),
        later(shop, "group", operations=[pay(1), member("reversal", target=unknown)]),
    ]
    assert codes(shop, found) == ["target_rejected", "unknown_target", "unknown_target"]
    assert waits(shop) == []
    proves(shop)


def test_what_it_takes_is_within_its_makers_limit(shop: Bank) -> None:
    """What a capture takes of its target is known only then, and held against the token."""
    limited = canonical({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 100}})
    held = hold(shop, 101)
    shop.work()
    at = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    capture = member("capture", target=show_id(held.id))
    bodies = [
        {"operation": one, "at": at} for one in (capture, member("group", operations=[capture]))
    ]
    made = [shop.submit("schedule", body, principal=limited) for body in bodies]
    shop.work()
    found = [occur(shop, one, 0) for one in made]
    shop.work()
    assert codes(shop, [*made, *found]) == [None, None, "limit_exceeded", "group_failed"]
    proves(shop)


def test_it_is_approved_once_and_happens_each_time(shop: Bank) -> None:
    """A schedule of an exchange above the threshold waits as a whole, its times do not."""
    rule = {"name": "large", "currency": "EUR", "above": 1_000, "people": 1, "by_role": "approver"}
    shop.submit("set_approval", rule)
    made = later(shop, "exchange", **EXCHANGE)
    early = occurred(shop, made)
    ann = canonical({"roles": ["approver"], "sub": "ann"})
    shop.submit("approve", {"target": show_id(made.id)}, principal=ann)
    shop.work()
    assert [row[0] for row in decisions(shop, made)] == ["wait", "approve", "schedule"]
    found = occurred(shop, made, 2, first=1)
    assert codes(shop, [*early, *found]) == ["target_not_pending", None, None]
    assert shop.balance("dollars") == 8_800
    proves(shop)


def test_a_dry_run_of_a_schedule_moves_nothing(bank: Bank) -> None:
    """It says that it would wait, and refuses what names nothing."""
    bank.fund("customer", 1_000)
    held = bank.submit("hold", transfer("customer", "world", 500))
    bank.work()
    at = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    bodies = [
        {"operation": member("release", target=target), "at": at}
        for target in (show_id(held.id), nobodys(held))
    ]
    tried = [
        Submission(str(number), "schedule", canonical(body), ADMIN)
        for number, body in enumerate(bodies)
    ]
    with tenant_reading(bank.ledger.tenant_id) as connection:
        outlooks = list(DryRun(connection, bank.ledger).outlooks(iter(tried)))
    assert [one.status for one in outlooks] == ["pending", "rejected"]
    assert totals(bank, "customer") == (1_000, 500, 0)


def test_large_groups_come_one_run_at_a_time(shop: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is taken up by the size of what it does: the first always, others that fit."""
    first = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SOON_S)
    group = member("group", operations=[pay(1)] * 50)
    for _ in range(3):
        shop.submit("schedule", {"operation": group, "at": first.isoformat()})
    shop.work()
    time.sleep(SOON_S)
    (size,) = shop.rows(
        "SELECT max(octet_length(body::text)) FROM operations WHERE ledger_id = :ledger"
    )[0]
    for room, taken in ((1, 1), (2 * size, 2)):
        monkeypatch.setattr(due, "RUN_BYTES", room)
        assert len(submit_due(shop.ledger, MANY)) == taken
        shop.work()
    assert submit_due(shop.ledger, MANY) == []
    assert shop.balance("merchant") == 150
    proves(shop)
