"""release: give back what is left of a hold, before it expires by itself."""

from pipeline.decide import decide, find_pending, itself
from pipeline.enter import enter
from pipeline.kinds import fields
from pipeline.kinds.capture import legs_of, remaining_of, targets
from pipeline.kinds.kind import Kind
from pipeline.ledger import Books, Effect, Entry, Target
from pipeline.refusal import Refusal


class Schema(fields.OperationSchema):
    """Which hold."""

    target = fields.operation_id()


def apply(books: Books, entry: Entry) -> Effect:
    """The postings that give back, or why not."""
    hold = find_pending(books, entry, ("hold",))
    return hold if isinstance(hold, Refusal) else give_back(books, entry, hold, "release")


def give_back(books: Books, entry: Entry, hold: Target, effect: str) -> Effect:
    """All that is left of the hold. No state of the accounts stands in the way."""
    held = remaining_of(hold)
    given_back = enter(books, entry.position, (), free=legs_of(itself(books, hold), held))
    decide(books, entry, hold, effect, held)
    return given_back


KIND = Kind(
    name="release",
    posts=True,
    schema=Schema(),
    example={
        "kind": "release",
        "target": "op_0000002000g0090mp30k5s3khq",
        "description": "Left two days early",
    },
    targets=targets,
    apply=apply,
)
