"""journal: 2 to 1,000 legs in any number of currencies, each of which sums to zero."""

from marshmallow import RAISE, validate
from marshmallow import Schema as MarshmallowSchema
from marshmallow import fields as marshmallow_fields

from pipeline.enter import enter
from pipeline.kinds import fields
from pipeline.kinds.condition import ConditionSchema
from pipeline.kinds.kind import SUBMITTERS, Body, Kind
from pipeline.ledger import Books, Effect, Entry, Leg
from pipeline.refusal import Refusal, refuse

LEGS_MAX = 1000


class LegSchema(MarshmallowSchema):
    """The shape of one leg."""

    class Meta:
        unknown = RAISE

    account = fields.account_code()
    direction = fields.one_of(("debit", "credit"))
    amount = fields.amount()
    currency = fields.currency()
    require = marshmallow_fields.Nested(ConditionSchema)


class Schema(fields.OperationSchema):
    """The shape of a journal."""

    legs = marshmallow_fields.List(
        marshmallow_fields.Nested(LegSchema),
        required=True,
        validate=validate.Length(
            2, LEGS_MAX, error="A journal has {min} to {max} legs; this one has not."
        ),
    )


def check(body: Body) -> Refusal | None:
    """What is wrong with a journal whatever the books say."""
    sums: dict[str, int] = {}
    for _account, amount, currency in legs(body):
        sums[currency] = sums.get(currency, 0) + amount
    for currency, total in sums.items():
        if total != 0:
            return refuse("unbalanced_journal", currency=currency, credits_less_debits=total)
    return None


def legs(body: Body) -> list[Leg]:
    """Its legs with signed amounts."""
    return [
        (
            leg["account"],
            leg["amount"] if leg["direction"] == "credit" else -leg["amount"],
            leg["currency"],
        )
        for leg in body["legs"]
    ]


def currencies(body: Body) -> tuple[str, ...]:
    """The currencies that it names, in the order of its legs: a set has another in each process."""
    return tuple(dict.fromkeys(leg["currency"] for leg in body["legs"]))


def amounts(body: Body) -> dict[str, int]:
    """The sum of its credits by currency."""
    moved: dict[str, int] = {}
    for leg in body["legs"]:
        if leg["direction"] == "credit":
            moved[leg["currency"]] = moved.get(leg["currency"], 0) + leg["amount"]
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
    roles=SUBMITTERS,
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
