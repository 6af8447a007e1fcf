"""journal: 2 to 1,000 legs in any number of currencies, each of which sums to zero.

A leg has an amount, or takes a share of the journal's `total`, or what the other legs leave of it.
"""

from collections.abc import Iterator
from typing import Any

from marshmallow import RAISE, ValidationError, validate, validates_schema
from marshmallow import Schema as MarshmallowSchema
from marshmallow import fields as marshmallow_fields

from pipeline.enter import enter
from pipeline.kinds import fields
from pipeline.kinds.condition import ConditionSchema
from pipeline.kinds.kind import Body, Kind
from pipeline.kinds.share import WHOLE, apportion, parse, share
from pipeline.ledger import Books, Effect, Entry, Leg
from pipeline.refusal import Refusal, refuse

LEGS_MAX = 1000
SIDES = ("debit", "credit")
SIZES = ("amount", "share", "remainder")


class LegSchema(MarshmallowSchema):
    """One leg: with an amount and its currency, or with a share or the remainder of the total."""

    class Meta:
        unknown = RAISE

    account = fields.account_code()
    direction = fields.one_of(SIDES)
    amount = fields.amount(required=False)
    currency = fields.currency(required=False)
    share = share()
    remainder = fields.flag()
    require = marshmallow_fields.Nested(ConditionSchema)

    @validates_schema
    def has_one_size(self, data: Body, **_: Any) -> None:
        """In one way, and with a currency where it is not the total's."""
        if sum(name in data for name in SIZES) != 1:
            raise ValidationError("A leg has one of amount, share and remainder.", "amount")
        if not data.get("remainder", True):
            raise ValidationError("This is true, or left out.", "remainder")
        if ("amount" in data) is not ("currency" in data):
            raise ValidationError(
                "A leg with an amount names its currency; another has that of the total.",
                "currency",
            )


class TotalSchema(MarshmallowSchema):
    """What legs take shares of."""

    class Meta:
        unknown = RAISE

    amount = fields.amount()
    currency = fields.currency()


class Schema(fields.OperationSchema):
    """The shape of a journal."""

    total = marshmallow_fields.Nested(TotalSchema)
    legs = marshmallow_fields.List(
        marshmallow_fields.Nested(LegSchema),
        required=True,
        validate=validate.Length(
            2, LEGS_MAX, error="A journal has {min} to {max} legs; this one has not."
        ),
    )

    @validates_schema
    def divides_a_total(self, data: Body, **_: Any) -> None:
        """Where there is one, and with one leg at most that takes what is left."""
        divided = [n for n, leg in enumerate(data["legs"]) if "amount" not in leg]
        rests = [n for n in divided if "remainder" in data["legs"][n]]
        if len(rests) > 1:
            fault = {"remainder": ["One leg at most takes the remainder."]}
            raise ValidationError({"legs": dict.fromkeys(rests[1:], fault)})
        if divided and "total" not in data:
            raise ValidationError("Name the total that legs take a share of.", "total")
        if "total" in data and not divided:
            raise ValidationError("No leg takes a share of it.", "total")


def check(body: Body) -> Refusal | None:
    """What is wrong with a journal whatever the books say."""
    refusal = _refuse_division(body) if "total" in body else None
    if refusal is not None:
        return refusal
    sums: dict[str, int] = {}
    for _account, amount, currency in legs(body):
        sums[currency] = sums.get(currency, 0) + amount
    for currency, total in sums.items():
        if total != 0:
            return refuse("unbalanced_journal", currency=currency, credits_less_debits=total)
    return None


def _refuse_division(body: Body) -> Refusal | None:
    """The shares of a side make up the whole, or a leg takes the remainder; no leg is empty."""
    for side, places in _divided(body):
        shares = sum(parse(body["legs"][n].get("share", "0")) for n in places)
        rest = any("remainder" in body["legs"][n] for n in places)
        if shares > WHOLE or (shares < WHOLE and not rest):
            return refuse("shares_not_whole", direction=side, millionths_of_a_percent=shares)
    for number, leg in enumerate(_sized(body)):
        if leg["amount"] < 1:
            return refuse("leg_comes_to_nothing", leg=number, account=leg["account"])
    return None


def _divided(body: Body) -> Iterator[tuple[str, list[int]]]:
    """Each side that divides the total, and which of its legs do."""
    for side in SIDES:
        places = [
            number
            for number, leg in enumerate(body["legs"])
            if leg["direction"] == side and "amount" not in leg
        ]
        if places:
            yield side, places


def _sized(body: Body) -> list[Body]:
    """The legs, all of them with amount and currency."""
    sized = list(body["legs"])
    total = body.get("total")
    if total is None:
        return sized
    currency = total["currency"]
    for side, places in _divided(body):
        fixed = sum(
            leg["amount"]
            for leg in body["legs"]
            if leg["direction"] == side and leg.get("currency") == currency
        )
        shares = [parse(sized[n].get("share", "0")) for n in places]
        rests = ["remainder" in sized[n] for n in places]
        left = WHOLE - sum(shares)
        shares = [left if rest else share for rest, share in zip(rests, shares, strict=True)]
        amounts = apportion(total["amount"], shares)
        for n, rest, amount in zip(places, rests, amounts, strict=True):
            sized[n] = {**sized[n], "amount": amount - fixed * rest, "currency": currency}
    return sized


def legs(body: Body) -> list[Leg]:
    """Its legs with signed amounts."""
    return [
        (
            leg["account"],
            leg["amount"] if leg["direction"] == "credit" else -leg["amount"],
            leg["currency"],
        )
        for leg in _sized(body)
    ]


def currencies(body: Body) -> tuple[str, ...]:
    """The currencies that it names, in the order of its legs: a set has another in each process."""
    named = dict.fromkeys(leg["currency"] for leg in body["legs"] if "currency" in leg)
    if "total" in body:
        named[body["total"]["currency"]] = None
    return tuple(named)


def amounts(body: Body) -> dict[str, int]:
    """The sum of its credits by currency."""
    moved: dict[str, int] = {}
    for _account, amount, currency in legs(body):
        if amount > 0:
            moved[currency] = moved.get(currency, 0) + amount
    return moved


def accounts(body: Body) -> tuple[str, ...]:
    """The codes that it touches."""
    return tuple(leg["account"] for leg in body["legs"])


def apply(books: Books, entry: Entry) -> Effect:
    """Its postings, or why not."""
    required = [(leg["account"], leg["require"]) for leg in entry.body["legs"] if "require" in leg]
    return enter(books, entry.position, legs(entry.body), require=required)


KIND = Kind(
    name="journal",
    posts=True,
    schema=Schema(),
    example={
        "kind": "journal",
        "legs": [
            {"account": "customers:42", "direction": "debit", "amount": 500, "currency": "USD"},
            {"account": "merchants:7", "direction": "debit", "amount": 2000, "currency": "USD"},
            {"account": "income:fees", "direction": "credit", "amount": 2500, "currency": "USD"},
        ],
        "description": "Fees of November",
    },
    check=check,
    currencies=currencies,
    amounts=amounts,
    accounts=accounts,
    apply=apply,
)
