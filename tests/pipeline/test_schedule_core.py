"""What a schedule does at its times, by the pure core: any clock, and no database."""

import datetime as dt
from typing import Any

import pytest

from models.operation import make_id, show_id
from pipeline.kinds import OFFERED
from pipeline.kinds.schedule import HOLDS
from pipeline.ledger import Account, Books, Effect, Entry, Pending, Target
from pipeline.perform import perform
from pipeline.permissions import SUBMITTERS, TABLE, action_of
from pipeline.refusal import Refusal
from tests.bank import ADMIN, transfer
from tests.pipeline.test_holds import BY_TIME
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


def test_a_clock_that_was_ahead_delays_no_end() -> None:
    """However far ahead the log's times are, the end is due when the refused time was."""
    core = Core(NOVEMBER, at="2026-12-24T18:00:00Z")
    core.books.accounts["customer"].status = "frozen"
    assert isinstance(core.occur(moment("2026-12-25T00:00")), Refusal)
    assert core.pending == Pending("end", moment("2026-12-24T19:00"), 1)


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
    (
        {**MONTHLY, "operation": {"kind": "approve", "target": show_id(make_id(1, 1, 0))}},
        "operation",
    ),
    ({**MONTHLY, "operation": {**RENT, "kind": "set_limit"}}, "operation"),
    ({**MONTHLY, "operation": {"kind": "schedule", "operation": RENT, **MONTHLY}}, "operation"),
    ({**MONTHLY, "operation": {**RENT, "amount": 0}}, "operation"),
    ({**MONTHLY, "operation": "rent"}, "operation"),
]


@pytest.mark.parametrize(("members", "at_fault"), BODIES)
def test_what_is_no_schedule_is_refused_at_the_edge(members: dict[str, Any], at_fault: str) -> None:
    """The member that is wrong is named."""
    errors = OFFERED["schedule"].schema.validate({"operation": RENT, **members})
    assert list(errors) == [at_fault]


def test_kinds_that_do_not_happen_later() -> None:
    """Everything that moves money does; rules, approvals and schedules do not."""
    assert {
        name for name, kind in OFFERED.items() if TABLE[action_of(name)].roles == SUBMITTERS
    } - HOLDS == {
        *("schedule", "pause_schedule", "resume_schedule", "cancel_schedule"),
    }
