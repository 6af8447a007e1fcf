"""occur: a time of a schedule has come. Trident alone submits it (tasks/due.py).

What the schedule holds takes effect here, or is refused here. The schedule goes on either way, so a
refused occurrence moves what is pending and nothing else. If it was the last, the schedule is ended
by one more: what is refused decides nothing.
"""

import datetime as dt

from marshmallow import fields as marshmallow_fields

from pipeline.decide import decide, find_pending, wait
from pipeline.kinds import fields, inner
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.kinds.schedule import go_on
from pipeline.ledger import Books, Effect, Entry, Target
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """Which schedule, how often it had changed by then, and when it was due."""

    target = fields.operation_id()
    number = marshmallow_fields.Integer(required=True, strict=True)
    due = fields.time()


def apply(books: Books, entry: Entry) -> Effect:
    """What the schedule's operation does at this place, or why not."""
    schedule = find_pending(books, entry, ("schedule",))
    if isinstance(schedule, Refusal):
        return schedule
    waits, shown = schedule.pending, entry.body["target"]
    assert waits is not None, "what has not been decided is pending"
    if waits.due_at is None:
        return refuse("schedule_paused", target=shown)
    if waits.number != entry.body["number"]:
        return refuse("occurrence_overtaken", target=shown)
    if waits.effect == "end":
        decide(books, entry, schedule, "end", None, terminal=True)
        return []
    return _occur(books, entry, schedule, waits.due_at)


def _occur(books: Books, entry: Entry, schedule: Target, due: dt.datetime) -> Effect:
    held = schedule.entry
    effect = inner.apply(books, entry._replace(principal=held.principal), held.body["operation"])
    goes_on = go_on(books, schedule, max(due, entry.accepted_at))
    if isinstance(effect, Refusal):
        if not goes_on:
            # At once, which the log's clock does not know: it may have been ahead.
            wait(books, schedule, "end", due)
        return effect
    decide(books, entry, schedule, "occur", None)
    if not goes_on:
        decide(books, entry, schedule, "end", None, terminal=True)
    return effect


KIND = Kind(
    name="occur",
    posts=True,
    schema=Schema(),
    example={
        "kind": "occur",
        "target": "op_00000000kg0gr0000000080002",
        "number": 3,
        "due": "2026-12-31T07:00:00+00:00",
    },
    targets=targets,
    apply=apply,
    opens=True,
    internal=True,
)
