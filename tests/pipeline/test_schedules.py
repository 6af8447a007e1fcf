"""Schedules: what they hold happens at its times, once each, whatever came of the last one."""

import datetime as dt
import time
from typing import Any

import pytest

from models.operation import make_id, show_id
from pipeline.accept import Accepted
from pipeline.due import submit_due
from pipeline.kinds import OFFERED
from pipeline.ledger import Account, Books, Effect, Entry, Pending, Target
from pipeline.perform import perform
from pipeline.refusal import Refusal
from pipeline.strict_json import canonical
from pipeline.through import through
from pipeline.verify.verify import verify
from tests.bank import ADMIN, Bank, transfer
from tests.pipeline.test_due import MANY, SOON_S
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import BY_TIME, decisions, proves
from tests.pipeline.test_recurrence import moment

RENT = {"kind": "transfer", **transfer("customer", "merchant", 1_000)}
NOVEMBER = moment("2026-11-22T12:00")
MONTHLY = {
    "rule": "FREQ=MONTHLY;BYMONTHDAY=-1",
    "starts_at": "2026-11-01T08:00:00+01:00",
    "time_zone": "Europe/Zurich",
}


class Core:
    """The pure core with a customer's 25.00 EUR, a merchant, and one schedule at position 1."""

    def __init__(self, accepted_at: dt.datetime, **when: Any) -> None:
        accounts = [
            Account(1, "customer", "liability", "EUR", 0, credits_posted=2_500, version=1),
            Account(2, "merchant", "liability", "EUR", 0),
        ]
        self.books = Books({account.code: account for account in accounts})
        self.last = 1
        body = OFFERED["schedule"].schema.load({"operation": RENT, **when})
        entry = Entry(1, 1, "schedule", body, accepted_at, ADMIN.decode())
        self.target = self.books.targets[1] = Target(make_id(1, 1, 0), entry)
        self.outcome = perform(self.books, entry)

    def do(self, kind: str, at: dt.datetime, **more: Any) -> Effect:
        """An operation about the schedule, accepted at that time."""
        self.last += 1
        body = {"target": show_id(self.target.id), **more}
        principal = BY_TIME if kind == "occur" else ADMIN
        return perform(self.books, Entry(1, self.last, kind, body, at, principal.decode()))

    def occur(self, at: dt.datetime) -> Effect:
        """As the scheduler submits it."""
        assert self.pending is not None
        return self.do("occur", at, number=self.pending.number)

    @property
    def pending(self) -> Pending | None:
        """What the schedule waits for."""
        return self.books.pending[1]

    @property
    def due(self) -> dt.datetime | None:
        """When that is."""
        return self.pending and self.pending.due_at

    @property
    def effects(self) -> list[str]:
        """What has been decided about it."""
        return [decision.effect for decision in self.books.decisions]


def test_each_time_leads_to_the_next() -> None:
    """An occurrence posts what the schedule holds, and the schedule waits for the next month."""
    core = Core(NOVEMBER, **MONTHLY)
    assert core.due == moment("2026-11-30T08:00")
    for day in ("2026-12-31T08:00", "2027-01-31T08:00"):
        assert core.due is not None
        effect = core.occur(core.due)
        assert not isinstance(effect, Refusal)
        assert [(posting.account, posting.amount) for posting in effect] == [
            (1, -1_000),
            (2, 1_000),
        ]
        assert core.due == moment(day)
    assert core.effects == ["schedule", "occur", "occur"]


def test_missed_times_are_made_up_for_once() -> None:
    """After four months without a scheduler one occurrence follows, then the next in the future."""
    core = Core(NOVEMBER, **MONTHLY)
    assert not isinstance(core.occur(moment("2027-03-15T12:00")), Refusal)
    assert core.books.accounts["merchant"].balance == 1_000
    assert core.due == moment("2027-03-31T08:00")


def test_a_clock_that_was_set_back_repeats_no_time() -> None:
    """Accepted before it was due: the next time still lies behind the last."""
    core = Core(NOVEMBER, **MONTHLY)
    core.occur(moment("2026-11-29T08:00"))
    assert core.due == moment("2026-12-31T08:00")


def test_a_refused_time_leads_to_the_next_all_the_same() -> None:
    """The third month's rent is not there: it is refused as if paid by hand, and nothing moves
    but what is pending."""
    core = Core(NOVEMBER, **MONTHLY)
    for _ in range(2):
        core.occur(core.due or NOVEMBER)
    refused = core.occur(core.due or NOVEMBER)
    assert isinstance(refused, Refusal)
    assert refused.code == "insufficient_funds"
    assert core.due == moment("2027-02-28T08:00")
    assert core.effects == ["schedule", "occur", "occur"]
    assert core.books.accounts["merchant"].balance == 2_000


def test_the_last_time_ends_the_schedule() -> None:
    """The last of a rule, and the one time of `at`, are followed by nothing."""
    core = Core(NOVEMBER, rule="FREQ=DAILY;COUNT=2", starts_at="2026-11-23T08:00:00Z")
    for _ in range(2):
        core.occur(core.due or NOVEMBER)
    assert core.pending is None
    assert core.effects == ["schedule", "occur", "occur", "end"]
    once = Core(NOVEMBER, at="2026-12-24T18:00:00Z")
    once.occur(once.due or NOVEMBER)
    assert (once.pending, once.effects) == (None, ["schedule", "occur", "end"])


def test_a_refused_last_time_is_ended_by_one_more() -> None:
    """What is refused decides nothing: the end is due at once, and an occurrence of its own."""
    core = Core(NOVEMBER, at="2026-12-24T18:00:00Z")
    core.books.accounts["customer"].status = "frozen"
    at = moment("2026-12-24T19:00")
    assert isinstance(core.occur(at), Refusal)
    assert core.pending == Pending("end", at, 1)
    assert core.occur(at) == []
    assert (core.pending, core.effects) == (None, ["schedule", "end"])


def test_a_pause_is_not_made_up_for() -> None:
    """What a paused schedule misses it misses; it goes on with its first time from then on."""
    core = Core(NOVEMBER, **MONTHLY)
    assert core.do("pause_schedule", NOVEMBER) == []
    assert core.due is None
    assert core.do("resume_schedule", moment("2027-02-10T08:00")) == []
    assert core.due == moment("2027-02-28T08:00")
    assert core.effects == ["schedule", "pause", "resume"]


def test_a_schedule_that_missed_its_end_ends_with_its_resumption() -> None:
    """There is no time left to go on with."""
    core = Core(NOVEMBER, at="2026-12-24T18:00:00Z")
    core.do("pause_schedule", NOVEMBER)
    assert core.do("resume_schedule", moment("2026-12-25T08:00")) == []
    assert (core.pending, core.effects) == (None, ["schedule", "pause", "resume", "end"])


def test_an_end_may_be_paused_and_resumed() -> None:
    """Between its refused last time and its end a schedule is like any other."""
    core = Core(NOVEMBER, at="2026-12-24T18:00:00Z")
    core.books.accounts["customer"].status = "frozen"
    core.occur(moment("2026-12-24T19:00"))
    core.do("pause_schedule", moment("2026-12-24T19:00"))
    core.do("resume_schedule", moment("2026-12-24T19:00"))
    assert core.effects == ["schedule", "pause", "resume", "end"]


BODIES: list[tuple[dict[str, Any], str]] = [
    ({}, "at"),
    ({"at": "2026-12-24T18:00:00Z", **MONTHLY}, "at"),
    ({"at": "2026-12-24T18:00:00"}, "at"),
    ({"at": "2200-01-01T00:00:00Z"}, "at"),
    ({"at": "2026-12-24T18:00:00Z", "time_zone": "Europe/Zurich"}, "time_zone"),
    ({**MONTHLY, "rule": "FREQ=SECONDLY"}, "rule"),
    ({**MONTHLY, "rule": "FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30"}, "rule"),
    ({**MONTHLY, "rule": 5}, "rule"),
    ({**MONTHLY, "time_zone": "../../etc/passwd"}, "time_zone"),
    ({"rule": MONTHLY["rule"]}, "starts_at"),
    ({**MONTHLY, "operation": {**RENT, "kind": "hold"}}, "operation"),
    ({**MONTHLY, "operation": {"kind": "schedule", "operation": RENT, **MONTHLY}}, "operation"),
    ({**MONTHLY, "operation": {**RENT, "amount": 0}}, "operation"),
    ({**MONTHLY, "operation": "rent"}, "operation"),
]


@pytest.mark.parametrize(("members", "at_fault"), BODIES)
def test_what_is_no_schedule_is_refused_at_the_edge(members: dict[str, Any], at_fault: str) -> None:
    """The member that is wrong is named."""
    errors = OFFERED["schedule"].schema.validate({"operation": RENT, **members})
    assert list(errors) == [at_fault]


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


def name(bank: Bank, kind: str, schedule: Accepted) -> Accepted:
    """An operation about the schedule."""
    return bank.submit(kind, {"target": show_id(schedule.id)})


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


def test_verify_finds_a_schedule_that_somebody_moved(shop: Bank) -> None:
    """Its next time, and how often it has changed, follow from the log."""
    minutely(shop)
    for change in ("due_at = due_at + interval '1 day'", "number = 7"):
        attempt(shop, f"UPDATE pending_operations SET {change} WHERE ledger_id = :ledger")
        faults = [finding.fault for finding in verify(shop.ledger) if finding.fault]
        assert [fault.message for fault in faults] == [
            "what is pending of it is not what the log makes of it"
        ]
