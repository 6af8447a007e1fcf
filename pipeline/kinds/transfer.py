"""transfer: an amount of one currency goes from `source` to `destination`.

The source is debited and the destination credited: between customers of a bank (liabilities)
the source's balance falls and the destination's rises.
"""

from collections.abc import Sequence

from marshmallow import fields as marshmallow_fields

from pipeline.enter import enter
from pipeline.kinds import fields
from pipeline.kinds.condition import SidesSchema
from pipeline.kinds.kind import SUBMITTERS, Body, Kind
from pipeline.ledger import Books, Effect, Entry, Leg
from pipeline.refusal import Refusal, refuse
from pipeline.require import Requirement


class Schema(fields.OperationSchema):
    """The shape of a transfer."""

    source = fields.account_code()
    destination = fields.account_code()
    amount = fields.amount()
    currency = fields.currency()
    require = marshmallow_fields.Nested(SidesSchema)


def check(body: Body) -> Refusal | None:
    """What is wrong with a transfer whatever the books say."""
    if body["source"] == body["destination"]:
        return refuse("same_account", account=body["source"])
    return None


def currencies(body: Body) -> tuple[str, ...]:
    """The currency that it moves."""
    return (body["currency"],)


def amounts(body: Body) -> dict[str, int]:
    """What moves, by currency: what a limit for one operation is held against."""
    return {body["currency"]: body["amount"]}


def accounts(body: Body) -> tuple[str, ...]:
    """The codes that it touches."""
    return body["source"], body["destination"]


def legs(body: Body) -> tuple[Leg, Leg]:
    """The source is debited, the destination credited."""
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
    return enter(books, entry.position, legs(body), require=requirements(body))


KIND = Kind(
    name="transfer",
    roles=SUBMITTERS,
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
