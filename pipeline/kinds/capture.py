"""capture: take what a hold has reserved, all of it or a part; the rest waits for another capture.

`final` gives back what this capture leaves.
"""

from typing import Any

from pipeline.decide import decide, find_pending, itself
from pipeline.enter import enter
from pipeline.kinds import fields, transfer
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Books, Effect, Entry, Leg, Target
from pipeline.principal import refuse_over_limit
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """Which hold, and how much of it: all that is left, unless it says less."""

    target = fields.operation_id()
    amount = fields.amount(required=False)
    final = fields.flag()


def targets(body: Body) -> tuple[str]:
    """The hold."""
    return (body["target"],)


def apply(books: Books, entry: Entry) -> Effect:
    """The postings that give back what was reserved and post it instead, or why not."""
    hold = find_pending(books, entry, ("hold",))
    if isinstance(hold, Refusal):
        return hold
    held = remaining_of(hold)
    amount = entry.body.get("amount", held)
    if amount > held:
        return refuse("amount_exceeds_held", target=entry.body["target"], held=held, amount=amount)
    held_by = itself(books, hold)
    over = refuse_over_limit(entry.principal, held_by.body["currency"], amount)
    if over is not None:
        return over
    rest = held - amount if entry.body.get("final") else 0
    legs, free = legs_of(held_by, amount), legs_of(held_by, amount + rest)
    effect = enter(books, entry.position, legs, free=free)
    if not isinstance(effect, Refusal):
        decide(books, entry, hold, "capture", amount)
        if rest:
            decide(books, entry, hold, "release", rest)
    return effect


def remaining_of(hold: Target) -> int:
    """What is still held."""
    assert hold.last is not None, "a hold begins with a decision of its own"
    assert hold.last.remaining is not None, "a hold counts what remains"
    return hold.last.remaining


def legs_of(hold: Entry, amount: int) -> tuple[Leg, Leg]:
    """The hold's legs, for a part of its amount."""
    body: dict[str, Any] = {**hold.body, "amount": amount}
    return transfer.legs(body)


KIND = Kind(
    name="capture",
    posts=True,
    schema=Schema(),
    example={
        "kind": "capture",
        "target": "op_0000002000g0090mp30k5s3khq",
        "amount": 30000,
    },
    targets=targets,
    apply=apply,
)
