"""approve: one of the people whom an operation waits for lets it happen; the last one makes it so.

The operation is applied at the place of the last approval in the log, as of then, on behalf of who
submitted it. If the books refuse it then, the approval is rejected for that reason, and the
operation waits on: another approval may come when the reason has gone.

The postings are dated as the approval is, so it names the date that the operation does.
"""

import pipeline.kinds as every_kind
from pipeline.decide import decide, find_waiting, go_on
from pipeline.kinds import fields
from pipeline.kinds.approvals import may_approve, refuse_amounts, rule_over
from pipeline.kinds.capture import targets
from pipeline.kinds.kind import Kind
from pipeline.ledger import Books, Effect, Entry, Target
from pipeline.principal import actor_of, person_of, persons_of, read_principal
from pipeline.refusal import Refusal, refuse


class Schema(fields.OperationSchema):
    """Which operation."""

    target = fields.operation_id()


def apply(books: Books, entry: Entry) -> Effect:
    """What the operation does, if nobody else is missing, or why not."""
    waiting = find_waiting(books, entry)
    if isinstance(waiting, Refusal):
        return waiting
    refusal = _refuse_person(books, entry, waiting) or _refuse_terms(entry, waiting)
    if refusal is not None:
        return refusal
    assert waiting.last is not None, "what waits has begun to"
    if waiting.last.remaining == 1:
        return _apply_it(books, entry, waiting)
    decide(books, entry, waiting, "approve", 1)
    waiting.approvers = (*waiting.approvers, actor_of(entry.principal))
    return []


def _refuse_person(books: Books, entry: Entry, waiting: Target) -> Refusal | None:
    shown, actor = entry.body["target"], person_of(actor_of(entry.principal))
    _, _, kind, body, _, principal = waiting.entry
    if actor in persons_of(principal):
        return refuse("own_approval", target=shown)
    if actor in map(person_of, waiting.approvers):
        return refuse("approved_already", target=shown)
    if not may_approve(rule_over(books.settings, kind, body, principal), entry.principal):
        roles = list(read_principal(entry.principal).get("roles", ()))
        return refuse("not_permitted", kind=KIND.name, roles=roles)
    return None


def _refuse_terms(entry: Entry, waiting: Target) -> Refusal | None:
    """Another date, or more than the token of this person lets one operation move."""
    date = waiting.entry.body.get("effective_date")
    if entry.body.get("effective_date") != date:
        shown = entry.body["target"]
        return refuse("approval_dated_otherwise", target=shown, effective_date=date)
    return refuse_amounts(entry.principal, waiting.entry.kind, waiting.entry.body)


def _apply_it(books: Books, entry: Entry, waiting: Target) -> Effect:
    itself = waiting.entry._replace(position=entry.position, accepted_at=entry.accepted_at)
    books.begun = []
    effect = every_kind.kind_of(itself.kind).apply(books, itself)
    begun, books.begun = books.begun, None
    if isinstance(effect, Refusal):
        return effect
    if begun:
        (one,) = begun
        go_on(books, entry, waiting, one)
    else:
        decide(books, entry, waiting, "approve", 1)
    # Who names the operation means what was posted here.
    books.targets.setdefault(entry.position, Target(waiting.id, entry))
    return effect


KIND = Kind(
    name="approve",
    posts=True,
    schema=Schema(),
    example={"kind": "approve", "target": "op_0000002000g00b0w41q7v5n3xe"},
    targets=targets,
    apply=apply,
    opens=True,
    alone=True,
)
