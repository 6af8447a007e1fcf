"""Schedules in a ledger: each of their times once, through the stages, proved at the end."""

import datetime as dt
import time
from typing import Any

import pytest

from models.operation import show_id
from pipeline.due import submit_due
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from pipeline.through import through
from tests.bank import ADMIN, Bank, transfer
from tests.pipeline.test_due import MANY, SOON_S
from tests.pipeline.test_holds import BY_TIME, decisions, proves
from tests.pipeline.test_schedule_core import RENT


@pytest.fixture(params=["stage by stage", "through"])
def shop(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 25.00 EUR and a merchant."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    bank.fund("customer", 2_500)
    bank.open("merchant")
    bank.work()
    return bank


def minutely(bank: Bank, **more: Any) -> Accepted:
    """A schedule whose first time comes very soon, and the others a minute later each."""
    first = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SOON_S, minutes=-5)
    body = {"operation": RENT, "rule": "FREQ=MINUTELY", "starts_at": first.isoformat(), **more}
    made = bank.submit("schedule", body)
    bank.work()
    return made


def once(bank: Bank, seconds: float = SOON_S) -> Accepted:
    """A schedule for one time, which comes very soon."""
    at = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    made = bank.submit("schedule", {"operation": RENT, "at": at.isoformat()})
    bank.work()
    return made


def name(bank: Bank, kind: str, schedule: Accepted, who: bytes = ADMIN) -> Accepted:
    """An operation about the schedule."""
    return bank.submit(kind, {"target": show_id(schedule.id)}, principal=who)


def occur(bank: Bank, schedule: Accepted, number: int) -> Accepted:
    """An occurrence, without waiting for its time."""
    body = {"target": show_id(schedule.id), "number": number}
    return bank.submit("occur", body, principal=BY_TIME)


def waits(bank: Bank) -> list[tuple[str, bool, int]]:
    """What is pending in the ledger: what it did last, whether it has a time, and its number."""
    query = (
        "SELECT effect, due_at IS NOT NULL, number FROM pending_operations"
        " WHERE ledger_id = :ledger ORDER BY target"
    )
    return [tuple(row) for row in bank.rows(query)]


def effects(bank: Bank, schedule: Accepted) -> list[str]:
    """The fate of a schedule."""
    return [row[0] for row in decisions(bank, schedule)]


def test_a_time_that_has_come_is_submitted_once(shop: Bank) -> None:
    """The scheduler makes an occurrence of it, which posts, and nothing is due any more."""
    made = once(shop)
    assert shop.status(made) == "pending"
    time.sleep(SOON_S)
    (first,), (again,) = submit_due(shop.ledger, MANY), submit_due(shop.ledger, MANY)
    assert isinstance(first, Accepted)
    assert again == first._replace(replayed=True)
    shop.work()
    assert submit_due(shop.ledger, MANY) == []
    assert shop.balance("merchant") == 1_000
    assert effects(shop, made) == ["schedule", "occur", "end"]
    assert shop.status(made) == "posted"
    proves(shop)


def test_a_schedule_goes_on_through_success_and_refusal(shop: Bank) -> None:
    """Two are paid, the third is refused with the code of what it holds, the fourth is paid."""
    made = minutely(shop)
    times = [occur(shop, made, number) for number in range(3)]
    shop.work()
    shop.fund("customer", 1_000)
    times.append(occur(shop, made, 3))
    shop.work()
    refused = [shop.rejection(one) for one in times]
    assert refused == [None, None, "insufficient_funds", None]
    assert effects(shop, made) == ["schedule", "occur", "occur", "occur"]
    assert waits(shop) == [("schedule", True, 4)]
    proves(shop)


def test_a_run_of_refused_times_alone_moves_what_is_pending(shop: Bank) -> None:
    """No decision is written then, and what is kept is what the log makes of it."""
    made = minutely(shop, operation={**RENT, "amount": 9_999})
    refused = occur(shop, made, 0)
    shop.work()
    assert shop.rejection(refused) == "insufficient_funds"
    assert waits(shop) == [("schedule", True, 1)]
    assert shop.balance("customer") == 2_500
    proves(shop)


def test_a_refused_last_time_ends_by_the_scheduler(shop: Bank) -> None:
    """The end is due at once, under a key of its own."""
    made = once(shop)
    shop.submit("freeze_account", {"account": "customer"})
    time.sleep(SOON_S)
    (refused,) = submit_due(shop.ledger, MANY)
    shop.work()
    assert isinstance(refused, Accepted)
    assert shop.rejection(refused) == "account_frozen"
    assert waits(shop) == [("end", True, 1)]
    (end,) = submit_due(shop.ledger, MANY)
    shop.work()
    assert isinstance(end, Accepted)
    assert shop.rejection(end) is None
    assert effects(shop, made) == ["schedule", "end"]
    assert shop.balance("merchant") == 0
    proves(shop)


def test_pause_and_resume(shop: Bank) -> None:
    """An occurrence that was in the log already meets a pause, or a resumption, and is refused:
    nothing moves, and the schedule goes on with its next time."""
    made = minutely(shop)
    paused = name(shop, "pause_schedule", made)
    met = occur(shop, made, 0)
    twice = name(shop, "pause_schedule", made)
    resumed = name(shop, "resume_schedule", made)
    overtaken = occur(shop, made, 0)
    again = name(shop, "resume_schedule", made)
    shop.work()
    found = [shop.rejection(one) for one in (paused, met, twice, resumed, overtaken, again)]
    expected = [None, "schedule_paused", "schedule_paused", None]
    assert found == [*expected, "occurrence_overtaken", "schedule_not_paused"]
    assert shop.balance("merchant") == 0
    assert waits(shop) == [("schedule", True, 2)]
    paid = occur(shop, made, 2)
    shop.work()
    assert shop.rejection(paid) is None
    proves(shop)


def test_a_paused_schedule_is_not_due(shop: Bank) -> None:
    """The scheduler does not meet it, however long ago its time was."""
    made = once(shop)
    name(shop, "pause_schedule", made)
    shop.work()
    time.sleep(SOON_S)
    assert submit_due(shop.ledger, MANY) == []
    assert waits(shop) == [("pause", False, 1)]
    proves(shop)


def test_a_cancellation_before_the_time_prevents_it(shop: Bank) -> None:
    """Also where the occurrence is in the log already, behind it."""
    made = once(shop)
    time.sleep(SOON_S)
    cancelled = name(shop, "cancel_schedule", made)
    (late,) = submit_due(shop.ledger, MANY)
    assert isinstance(late, Accepted)
    shop.work()
    assert [shop.rejection(one) for one in (cancelled, late)] == [None, "target_decided"]
    assert effects(shop, made) == ["schedule", "cancel"]
    assert shop.balance("merchant") == 0
    assert waits(shop) == []
    proves(shop)


def test_a_cancellation_after_the_time_leaves_it(shop: Bank) -> None:
    """What happened stays; nothing happens any more."""
    made = minutely(shop)
    paid = occur(shop, made, 0)
    cancelled = name(shop, "cancel_schedule", made)
    late = occur(shop, made, 1)
    decided = [name(shop, f"{act}_schedule", made) for act in ("pause", "resume", "cancel")]
    shop.work()
    assert [shop.rejection(one) for one in (paid, cancelled, late)] == [
        None,
        None,
        "target_decided",
    ]
    assert {shop.rejection(one) for one in decided} == {"target_decided"}
    assert shop.balance("merchant") == 1_000
    proves(shop)


def test_schedules_of_others_are_for_operators(shop: Bank) -> None:
    """Who submits operations stops and ends their own, and nobody else's; operators all."""
    ann, ben, kim = (
        canonical({"roles": [role], "sub": sub})
        for sub, role in (("ann", "submitter"), ("ben", "submitter"), ("kim", "operator"))
    )
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()
    made = shop.submit("schedule", {"operation": RENT, "at": later}, principal=ann)
    acts = [f"{act}_schedule" for act in ("pause", "resume", "cancel")]
    strange = [name(shop, act, made, ben) for act in acts]
    group = {"operations": [{"kind": "cancel_schedule", "target": show_id(made.id)}]}
    strange.append(shop.submit("group", group, principal=ben))
    done = [
        name(shop, "pause_schedule", made, kim),
        name(shop, "resume_schedule", made, ann),
        name(shop, "cancel_schedule", made, kim),
    ]
    shop.work()
    assert [shop.rejection(one) for one in strange[:3]] == ["not_permitted"] * 3
    assert shop.rejection(strange[3]) is not None
    assert [shop.rejection(one) for one in done] == [None] * 3
    assert effects(shop, made) == ["schedule", "pause", "resume", "cancel"]
    proves(shop)


def test_only_schedules_are_paused(shop: Bank) -> None:
    """A hold waits for something else, and a transfer for nothing."""
    held = shop.submit("hold", transfer("customer", "merchant", 1))
    paid = shop.transfer("customer", "merchant", 1)
    found = [name(shop, "pause_schedule", one) for one in (held, paid)]
    found.append(shop.submit("expire", {"target": show_id(minutely(shop).id)}, principal=BY_TIME))
    shop.work()
    assert {shop.rejection(one) for one in found} == {"target_not_pending"}
    proves(shop)


def test_a_schedule_that_would_never_happen_is_refused(shop: Bank) -> None:
    """Its time is past, its rule is over, or it lies too far ahead for a plan."""
    cases: list[dict[str, Any]] = [
        {"at": "2026-01-01T00:00:00Z"},
        {"rule": "FREQ=DAILY;COUNT=3", "starts_at": "2026-01-01T00:00:00Z"},
        {"at": "2199-01-01T00:00:00Z"},
    ]
    found = [shop.submit("schedule", {"operation": RENT, **case}) for case in cases]
    shop.work()
    assert [shop.rejection(one) for one in found] == ["schedule_never_due"] * len(cases)
    assert waits(shop) == []
    proves(shop)


def test_what_a_schedule_holds_is_judged_when_it_is_made(shop: Bank) -> None:
    """Its meaning, and whether its maker may do it; and it is done in the maker's name."""
    limited = canonical({"roles": ["submitter"], "sub": "till", "limits": {"EUR": 100}})
    at = {"at": (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()}
    freeze = {"kind": "freeze_account", "account": "customer"}
    cases = [
        ({"operation": RENT, **at}, limited, "limit_exceeded"),
        ({"operation": freeze, **at}, limited, "not_permitted"),
        ({"operation": {**RENT, "source": "merchant"}, **at}, ADMIN, "same_account"),
        ({"operation": {**RENT, "currency": "XYZ"}, **at}, ADMIN, "unknown_currency"),
        ({"operation": {**RENT, "amount": 100}, **at}, limited, None),
    ]
    found = [shop.submit("schedule", body, principal=who) for body, who, _ in cases]
    shop.work()
    assert [shop.rejection(one) for one in found] == [code for *_, code in cases]
    paid = occur(shop, found[-1], 0)
    shop.work()
    assert shop.rejection(paid) is None
    proves(shop)


def test_an_account_may_be_opened_later(shop: Bank) -> None:
    """A schedule holds operations about accounts too; opened twice is refused as ever."""
    opening: dict[str, Any] = {
        "kind": "open_account",
        "code": "later",
        "type": "liability",
        "currency": "EUR",
    }
    opening |= {"overdraft": 0}
    made = minutely(shop, operation=opening)
    found = [occur(shop, made, number) for number in range(2)]
    used = shop.transfer("customer", "later", 1)
    shop.work()
    assert [shop.rejection(one) for one in (*found, used)] == [None, "account_exists", None]
    proves(shop)


def test_an_occurrence_can_be_reversed(shop: Bank) -> None:
    """It has its own postings at its own place, and the schedule goes on."""
    made = minutely(shop)
    paid = occur(shop, made, 0)
    back = name(shop, "reversal", paid)
    shop.work()
    assert shop.rejection(back) is None
    assert shop.balance("customer") == 2_500
    assert waits(shop) == [("schedule", True, 1)]
    proves(shop)


def test_nobody_but_the_scheduler_lets_a_time_come(shop: Bank) -> None:
    """An administrator pays by hand instead."""
    made = minutely(shop)
    early = shop.submit("occur", {"target": show_id(made.id), "number": 0})
    shop.work()
    assert shop.rejection(early) == "not_permitted"
    assert waits(shop) == [("schedule", True, 0)]
