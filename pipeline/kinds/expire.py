"""expire: what was pending until a time is given up. Trident alone submits it (tasks/due.py).

Its number says which time that was: a hold that was approved in time waits for another one.
"""

from marshmallow import fields as marshmallow_fields

from pipeline.decide import decide, find_pending, find_waiting
from pipeline.kinds import fields
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.kinds.release import give_back
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """Which operation, and how often what it waits for had changed by then."""

    target = fields.operation_id()
    number = marshmallow_fields.Integer(strict=True)


def apply(books: Books, entry: Entry) -> Effect:
    """What giving it up does, or why not: it may have been decided in the meantime."""
    waiting = find_waiting(books, entry)
    if not isinstance(waiting, Refusal):
        decide(books, entry, waiting, "lapse", None, terminal=True)
        return []
    hold = find_pending(books, entry, ("hold",))
    if isinstance(hold, Refusal):
        return hold
    waits, number = hold.pending, entry.body.get("number")
    if number is not None and (waits is None or waits.number != number):
        return refuse("target_decided", target=entry.body["target"], decision="approve")
    return give_back(books, entry, hold, "expire")


KIND = Kind(
    name="expire",
    posts=True,
    schema=Schema(),
    example={"kind": "expire", "target": "op_0000002000g0090mp30k5s3khq", "number": 0},
    targets=targets,
    apply=apply,
    internal=True,
)
