"""Fees on a transfer: fixed, or a share of its amount between bounds, paid by either side.

A share is rounded half to even, fee by fee. A fee that comes to nothing is not taken.
"""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, validate, validates_schema
from marshmallow import fields as marshmallow_fields

from pipeline.kinds import fields, share
from pipeline.kinds.kind import Body
from pipeline.ledger import Leg
from pipeline.refusal import Refusal, refuse

# A scheme fee, an interchange fee, a margin, a tax: ten are more than any price list has.
FEES_MAX = 10
PAYERS = ("source", "destination")


class FeeSchema(Schema):
    """An amount, or a share of the transfer's amount between `min` and `max`."""

    class Meta:
        unknown = RAISE

    account = fields.account_code()
    amount = fields.amount(required=False)
    share = share.share()
    min = fields.amount(required=False)
    max = fields.amount(required=False)

    @validates_schema
    def has_one_size(self, data: Body, **_: Any) -> None:
        """An amount or a share; bounds belong to a share."""
        if ("amount" in data) is ("share" in data):
            raise ValidationError("A fee has an amount or a share.", "amount")
        for name in ("min", "max"):
            if name in data and "share" not in data:
                raise ValidationError("Only a share has bounds.", name)
        if data.get("min", 0) > data.get("max", data.get("min", 0)):
            raise ValidationError("The least is above the most.", "min")


class _Payer(marshmallow_fields.String):
    """Only where there are fees: a payer of nothing is a mistake."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if "fees" not in data:
            raise ValidationError("This says who pays `fees`, and there are none.")
        return super()._deserialize(value, attr, data, **kwargs)


def fees() -> marshmallow_fields.Field[Any]:
    """Some fees."""
    some = validate.Length(1, FEES_MAX, error="A transfer has up to {max} fees.")
    return marshmallow_fields.List(marshmallow_fields.Nested(FeeSchema), validate=some)


def fees_from() -> marshmallow_fields.Field[Any]:
    """Who pays them."""
    return _Payer(validate=validate.OneOf(PAYERS))


def fees_of(body: Body) -> list[tuple[str, int]]:
    """By account, what each fee of a transfer comes to."""
    return [(fee["account"], _size(fee, body["amount"])) for fee in body["fees"]]


def _size(fee: Body, amount: int) -> int:
    if "amount" in fee:
        return int(fee["amount"])
    size = max(share.part(amount, fee["share"]), fee.get("min", 0))
    return min(size, fee.get("max", size))


def payer_of(body: Body) -> str:
    """The account that pays the fees."""
    return str(body[body.get("fees_from", "source")])


def on_top(body: Body) -> int:
    """What the source pays beside the amount."""
    if body.get("fees_from") == "destination":
        return 0
    return sum(size for _, size in fees_of(body))


def legs(body: Body) -> list[Leg]:
    """From the payer, to each fee's account."""
    payer, currency = payer_of(body), body["currency"]
    return [
        leg
        for account, size in fees_of(body)
        if size
        for leg in ((payer, -size, currency), (account, size, currency))
    ]


def check(body: Body) -> Refusal | None:
    """What is wrong with the fees whatever the books say."""
    payer = payer_of(body)
    if any(fee["account"] == payer for fee in body["fees"]):
        return refuse("same_account", account=payer)
    total = sum(size for _, size in fees_of(body))
    if payer == body["destination"] and total >= body["amount"]:
        return refuse("fees_exceed_amount", amount=body["amount"], fees=total)
    return None
