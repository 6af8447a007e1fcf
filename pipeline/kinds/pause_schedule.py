"""pause_schedule: nothing of the schedule happens until it is resumed."""

from pipeline.decide import decide, wait
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.kinds.schedule import Named, find_schedule
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse


def apply(books: Books, entry: Entry) -> Effect:
    """No postings; or why not."""
    schedule = find_schedule(books, entry)
    if isinstance(schedule, Refusal):
        return schedule
    assert schedule.pending is not None, "what has not been decided is pending"
    if schedule.pending.due_at is None:
        return refuse("schedule_paused", target=entry.body["target"])
    decide(books, entry, schedule, "pause", None)
    wait(books, schedule, "pause", None)
    return []


KIND = Kind(
    name="pause_schedule",
    posts=True,
    schema=Named(),
    example={"kind": "pause_schedule", "target": "op_0000002000g00915mvntypkzh9"},
    targets=targets,
    apply=apply,
)
