"""schedule: an operation that happens later, once or again and again by a rule of RFC 5545.

It waits, pending, for its next time. When that comes Trident submits an `occur` for it, at the end
of the log, and what it holds takes effect there: with the funds of that moment, in the name of who
made the schedule. Whatever comes of one time, the schedule goes on to the next. Times that pass
while nobody looks are made up for once: then the next one lies ahead again.
"""

import datetime as dt
from typing import Any

from marshmallow import ValidationError, validates_schema
from marshmallow import fields as marshmallow_fields

from pipeline.decide import begin, find_pending, find_target, wait
from pipeline.kinds import fields
from pipeline.kinds.inner import InnerField, named
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Books, Effect, Entry, Target, inner
from pipeline.permissions import permits
from pipeline.principal import actor_of, read_principal
from pipeline.recurrence import RULE_MAX_LENGTH, BadRule, next_time, parse_rule
from pipeline.refusal import Refusal, refuse
from pipeline.times import parse_time
from pipeline.zones import zone_names

# What may happen later: whatever moves money or concerns an account. Rules of the ledger, approvals
# and other schedules are for people to submit when they mean them.
HOLDS = frozenset(
    {
        "transfer",
        "journal",
        "exchange",
        "hold",
        "capture",
        "release",
        "reversal",
        "group",
        "open_account",
        "update_account",
        "freeze_account",
        "unfreeze_account",
        "close_account",
        "reopen_account",
    }
)
# The first time lies no further ahead: more is a typing error.
AHEAD_MAX = dt.timedelta(days=10 * 366)
# Within these years there are rules for the clocks of time zones.
YEAR_MIN, YEAR_MAX = 1970, 2200
UTC = "UTC"
SECOND = dt.timedelta(seconds=1)


def find_schedule(books: Books, entry: Entry) -> Target | Refusal:
    """The schedule that the entry names, for who made it, or may do it to any."""
    schedule = find_pending(books, entry, ("schedule",))
    if isinstance(schedule, Refusal):
        return schedule
    own = actor_of(entry.principal) == actor_of(schedule.entry.principal)
    if not own and not permits(entry.principal, "schedules.any"):
        roles = list(read_principal(entry.principal).get("roles", ()))
        return refuse("not_permitted", kind=entry.kind, roles=roles)
    return schedule


def check_rule(text: str) -> None:
    """Whether it is a rule that Trident takes."""
    try:
        parse_rule(text)
    except BadRule as error:
        raise ValidationError(str(error)) from None


def check_zone(name: str) -> None:
    """Whether it is a time zone."""
    if name not in zone_names():
        raise ValidationError("A time zone is a name of IANA's, such as Europe/Zurich.")


class Schema(fields.OperationSchema):
    """What happens, and when: at one time, or by a rule from its start on.

    No `effective_date`: what happens counts on the day on which it does.
    """

    class Meta(fields.OperationSchema.Meta):
        exclude = ("effective_date",)

    operation = InnerField(lambda kind: kind.name in HOLDS, required=True)
    at = fields.time()
    rule = marshmallow_fields.String(
        validate=check_rule,
        metadata={
            "description": "A recurrence rule of RFC 5545, without RRULE: in front.",
            "maxLength": RULE_MAX_LENGTH,
            "example": "FREQ=MONTHLY;BYMONTHDAY=-1",
        },
    )
    starts_at = fields.time()
    time_zone = marshmallow_fields.String(
        validate=check_zone,
        metadata={
            "description": "Whose wall clock the rule goes by; UTC unless it says another.",
            "example": "Europe/Zurich",
        },
    )

    @validates_schema
    def check_times(self, data: Body, **_: Any) -> None:
        """`at`, or a rule with its start, that comes to any time at all."""
        if ("at" in data) == ("rule" in data):
            raise ValidationError({"at": ["A schedule has either `at` or `rule`."]})
        for name in ("starts_at", "time_zone"):
            if name in data and "rule" not in data:
                raise ValidationError({name: ["It belongs to a `rule`."]})
        if "rule" in data and "starts_at" not in data:
            raise ValidationError({"starts_at": ["A rule counts from here: it is needed."]})
        for name in ("at", "starts_at"):
            if name in data and not YEAR_MIN <= parse_time(data[name]).year < YEAR_MAX:
                raise ValidationError({name: [f"It lies between {YEAR_MIN} and {YEAR_MAX}."]})
        if "rule" in data and next_due(data, parse_time(data["starts_at"]) - SECOND) is None:
            raise ValidationError({"rule": ["It comes to no time at all."]})


class Named(fields.OperationSchema):
    """Which schedule."""

    target = fields.operation_id()


def next_due(body: Body, after: dt.datetime) -> dt.datetime | None:
    """The schedule's first time later than this; None where there is none."""
    if "at" in body:
        at = parse_time(body["at"])
        return at if at > after else None
    starts_at = parse_time(body["starts_at"])
    return next_time(body["rule"], starts_at, body.get("time_zone", UTC), after)


def go_on(books: Books, schedule: Target, after: dt.datetime) -> bool:
    """Let the schedule wait for its first time later than this; False where it has no more."""
    due = next_due(schedule.entry.body, after)
    if due is not None:
        wait(books, schedule, "schedule", due)
    return due is not None


def inners(body: Body) -> tuple[tuple[str, Body], ...]:
    """What it holds."""
    return (inner(body["operation"]),)


def accounts(body: Body) -> tuple[str, ...]:
    """The codes that its operation touches."""
    return named(lambda kind: kind.accounts, inners(body))


def targets(body: Body) -> tuple[str, ...]:
    """The operations that its operation decides."""
    return named(lambda kind: kind.targets, inners(body))


def apply(books: Books, entry: Entry) -> Effect:
    """Nothing yet; or why it would never happen."""
    for shown in targets(entry.body):
        target = find_target(books, entry, shown)
        if isinstance(target, Refusal):
            return target
    due = next_due(entry.body, entry.accepted_at)
    if due is None or due > entry.accepted_at + AHEAD_MAX:
        return refuse("schedule_never_due")
    begin(books, entry, "schedule", None, due)
    return []


KIND = Kind(
    name="schedule",
    posts=True,
    schema=Schema(),
    example={
        "kind": "schedule",
        "operation": {
            "kind": "transfer",
            "source": "customers:42",
            "destination": "merchants:7",
            "amount": 120000,
            "currency": "USD",
            "description": "Rent",
        },
        "rule": "FREQ=MONTHLY;BYMONTHDAY=-1",
        "starts_at": "2026-12-01T08:00:00+01:00",
        "time_zone": "Europe/Zurich",
        "description": "Rent, on the last day of each month",
    },
    accounts=accounts,
    targets=targets,
    inner=inners,
    alone=True,
    apply=apply,
)
