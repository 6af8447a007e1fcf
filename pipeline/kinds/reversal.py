"""reversal: post the opposite of what an operation posted, the whole or a part of it.

Several parts may follow one another until the original is used up. Parts of a transfer with fees
are of what went from source to destination: the fees go back only with the whole, as long as no
part has gone back before. What an operation only reserved is not posted: a hold is released
instead. A reversal is not reversed: what was given back wrongly
is paid again, by an operation of its own.
"""

from collections.abc import Sequence

from pipeline.decide import decide, find_target, itself, posted_as
from pipeline.enter import enter
from pipeline.kinds import fields, transfer
from pipeline.kinds.capture import targets
from pipeline.kinds.inner import contains
from pipeline.kinds.kind import Kind
from pipeline.ledger import Books, Effect, Entry, Leg, Target
from pipeline.principal import refuse_over_limit
from pipeline.refusal import Refusal, refuse

# What can be given back in parts: from one account to one other.
PRINCIPAL_LEGS = 2


class Schema(fields.OperationSchema):
    """Which operation, and how much of it: all that is left, unless it says less."""

    target = fields.operation_id()
    amount = fields.amount(required=False)


def apply(books: Books, entry: Entry) -> Effect:
    """The opposite postings, or why not."""
    shown = entry.body["target"]
    original = find_target(books, entry, shown)
    if isinstance(original, Refusal):
        return original
    original = posted_as(books, original)
    given = itself(books, original)
    if contains(given.kind, given.body, KIND.name):
        return refuse("reversal_of_reversal", target=shown)
    if not original.legs:
        return refuse("nothing_to_reverse", target=shown, kind=original.entry.kind)
    if original.last is not None and original.last.terminal:
        return refuse("already_reversed", target=shown)
    return _give_back(books, entry, original)


def _give_back(books: Books, entry: Entry, original: Target) -> Effect:
    principal = principal_of(itself(books, original).kind, original.legs)
    whole = abs(principal[0][1]) if principal else None
    left = whole if original.last is None else original.last.remaining
    # Everything at once, and more than the principal: no amount says how much that is.
    everything = original.last is None and len(principal) < len(original.legs)
    amount = entry.body.get("amount", None if everything else left)
    shown = entry.body["target"]
    if amount is not None:
        if left is None:
            return refuse("reversal_not_divisible", target=shown, legs=len(original.legs))
        if amount > left:
            return refuse("amount_exceeds_original", target=shown, left=left, amount=amount)
    legs = opposite(original.legs if amount is None else principal, amount)
    for currency, moved in _credits(legs).items():
        over = refuse_over_limit(entry.principal, currency, moved)
        if over is not None:
            return over
    effect = enter(books, entry.position, legs)
    if not isinstance(effect, Refusal):
        terminal = amount is None
        decide(books, entry, original, "reverse", amount, whole=whole, terminal=terminal)
    return effect


def _credits(legs: Sequence[Leg]) -> dict[str, int]:
    """What moves by currency, as of a journal."""
    moved: dict[str, int] = {}
    for _code, amount, currency in legs:
        if amount > 0:
            moved[currency] = moved.get(currency, 0) + amount
    return moved


def principal_of(kind: str, legs: Sequence[Leg]) -> Sequence[Leg]:
    """The two legs that may go back in parts; none of what goes back as a whole."""
    divisible = kind == transfer.KIND.name or len(legs) == PRINCIPAL_LEGS
    return legs[:PRINCIPAL_LEGS] if divisible else ()


def opposite(legs: Sequence[Leg], amount: int | None) -> list[Leg]:
    """The legs the other way round, of `amount` where it is given."""
    turned = []
    for code, moved, currency in legs:
        size = abs(moved) if amount is None else amount
        turned.append((code, -size if moved > 0 else size, currency))
    return turned


KIND = Kind(
    name="reversal",
    posts=True,
    schema=Schema(),
    example={
        "kind": "reversal",
        "target": "op_0000002000g0090kbf4eyybg4s",
        "amount": 5000,
        "description": "Two items sent back",
    },
    targets=targets,
    apply=apply,
)
