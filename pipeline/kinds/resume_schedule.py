"""resume_schedule: a paused schedule goes on with its first time from now on.

What it missed while it was paused is not made up for. If no time is left it ends here.
"""

from pipeline.decide import decide
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.kinds.schedule import Named, find_schedule, go_on
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse


def apply(books: Books, entry: Entry) -> Effect:
    """No postings; or why not."""
    schedule = find_schedule(books, entry)
    if isinstance(schedule, Refusal):
        return schedule
    assert schedule.pending is not None, "what has not been decided is pending"
    if schedule.pending.due_at is not None:
        return refuse("schedule_not_paused", target=entry.body["target"])
    decide(books, entry, schedule, "resume", None)
    if not go_on(books, schedule, entry.accepted_at):
        decide(books, entry, schedule, "end", None, terminal=True)
    return []


KIND = Kind(
    name="resume_schedule",
    posts=True,
    schema=Named(),
    example={"kind": "resume_schedule", "target": "op_0000002000g00915mvntypkzh9"},
    targets=targets,
    apply=apply,
)
