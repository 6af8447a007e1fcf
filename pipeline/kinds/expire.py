"""expire: what was pending until a time is given up. Trident alone submits it (tasks/due.py)."""

from pipeline.decide import decide, find_pending, find_waiting
from pipeline.kinds import fields
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.kinds.release import give_back
from pipeline.ledger import Books, Effect, Entry
from pipeline.principal import SCHEDULER
from pipeline.refusal import Refusal


class Schema(fields.OperationSchema):
    """Which operation."""

    target = fields.operation_id()


def apply(books: Books, entry: Entry) -> Effect:
    """What giving it up does, or why not: it may have been decided in the meantime."""
    waiting = find_waiting(books, entry)
    if not isinstance(waiting, Refusal):
        decide(books, entry, waiting, "lapse", None, terminal=True)
        return []
    pending = find_pending(books, entry, ("hold",))
    return pending if isinstance(pending, Refusal) else give_back(books, entry, pending, "expire")


KIND = Kind(
    name="expire",
    roles=frozenset({SCHEDULER}),
    posts=True,
    schema=Schema(),
    example={"kind": "expire", "target": "op_0000002000g0090mp30k5s3khq"},
    targets=targets,
    apply=apply,
    internal=True,
)
