"""transfer: an amount of one currency goes from `source` to `destination`, and fees to others.

The source is debited and the destination credited: between customers of a bank (liabilities)
the source's balance falls and the destination's rises. These are the first two legs; each fee has
two of its own.
"""

from collections.abc import Sequence

from marshmallow import fields as marshmallow_fields

from pipeline.enter import enter
from pipeline.kinds import fee, fields
from pipeline.kinds.condition import SidesSchema
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Books, Effect, Entry, Leg
from pipeline.refusal import Refusal, refuse
from pipeline.require import Requirement


class MoveSchema(fields.OperationSchema):
    """From one account to another: what a transfer moves, and a hold reserves."""

    source = fields.account_code()
    destination = fields.account_code()
    amount = fields.amount()
    currency = fields.currency()
    require = marshmallow_fields.Nested(SidesSchema)


class Schema(MoveSchema):
    """The shape of a transfer. The source pays the fees on top, unless `fees_from` says otherwise.

    From the destination they go out of the amount.
    """

    fees = fee.fees()
    fees_from = fee.fees_from()


def check(body: Body) -> Refusal | None:
    """What is wrong with a transfer whatever the books say."""
    if body["source"] == body["destination"]:
        return refuse("same_account", account=body["source"])
    return fee.check(body) if "fees" in body else None


def currencies(body: Body) -> tuple[str, ...]:
    """The currency that it moves."""
    return (body["currency"],)


def amounts(body: Body) -> dict[str, int]:
    """What moves, by currency: what a limit for one operation is held against."""
    return {body["currency"]: body["amount"] + (fee.on_top(body) if "fees" in body else 0)}


def accounts(body: Body) -> tuple[str, ...]:
    """The codes that it touches."""
    if "fees" in body:
        return body["source"], body["destination"], *(one["account"] for one in body["fees"])
    return body["source"], body["destination"]


def legs(body: Body) -> tuple[Leg, Leg]:
    """The source is debited, the destination credited; without fees."""
    amount, currency = body["amount"], body["currency"]
    return (body["source"], -amount, currency), (body["destination"], amount, currency)


def requirements(body: Body) -> Sequence[Requirement]:
    """The conditions, by the codes of the accounts."""
    required = body.get("require")
    if required is None:
        return ()
    return [(body[side], required[side]) for side in ("source", "destination") if side in required]


def apply(books: Books, entry: Entry) -> Effect:
    """Its postings, or why not."""
    body = entry.body
    moved: Sequence[Leg] = legs(body)
    if "fees" in body:
        moved = [*moved, *fee.legs(body)]
    return enter(books, entry.position, moved, require=requirements(body))


KIND = Kind(
    name="transfer",
    posts=True,
    schema=Schema(),
    example={
        "kind": "transfer",
        "source": "customers:42",
        "destination": "merchants:7",
        "amount": 125034,
        "currency": "USD",
        "description": "Order 8123",
    },
    check=check,
    currencies=currencies,
    amounts=amounts,
    accounts=accounts,
    apply=apply,
)
