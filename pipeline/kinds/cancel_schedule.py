"""cancel_schedule: the schedule ends. What has happened by then stays as it is."""

from pipeline.decide import decide
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.kinds.schedule import Named, find_schedule
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal


def apply(books: Books, entry: Entry) -> Effect:
    """No postings; or why not."""
    schedule = find_schedule(books, entry)
    if isinstance(schedule, Refusal):
        return schedule
    decide(books, entry, schedule, "cancel", None, terminal=True)
    return []


KIND = Kind(
    name="cancel_schedule",
    posts=True,
    schema=Named(),
    example={"kind": "cancel_schedule", "target": "op_0000002000g00915mvntypkzh9"},
    targets=targets,
    apply=apply,
)
