"""refuse: an operation that waits for approvals will not happen.

Those may say so who may approve it, and who submitted it.
"""

from pipeline.decide import decide, find_waiting
from pipeline.kinds import fields
from pipeline.kinds.approvals import may_approve, rule_over
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.ledger import Books, Effect, Entry
from pipeline.principal import actor_of, read_principal
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """Which operation, and why."""

    target = fields.operation_id()
    reason = fields.text()


def apply(books: Books, entry: Entry) -> Effect:
    """Nothing moves: it is decided."""
    waiting = find_waiting(books, entry)
    if isinstance(waiting, Refusal):
        return waiting
    _, _, kind, body, _, principal = waiting.entry
    own = actor_of(entry.principal) == actor_of(principal)
    rule = rule_over(books.settings, kind, body, principal)
    if not own and not may_approve(rule, entry.principal):
        roles = list(read_principal(entry.principal).get("roles", ()))
        return refuse("not_permitted", kind=KIND.name, roles=roles)
    decide(books, entry, waiting, "refuse", None, terminal=True)
    return []


KIND = Kind(
    name="refuse",
    posts=True,
    schema=Schema(),
    example={
        "kind": "refuse",
        "target": "op_0000002000g00b1a62k9p4t8zc",
        "reason": "The invoice is not ours",
    },
    targets=targets,
    apply=apply,
    alone=True,
)
