"""exchange: an amount of one currency becomes an amount of another, at a rate named by the client.

The ledger's exchange accounts, one a currency, take the one and give the other, so each currency
sums to zero; what the ledger is exposed to stands on them. A spread is a share of what comes out,
and goes to an account of its own. Both are rounded half to even, in minor units of their currency.
"""

import re
from typing import Any, NamedTuple

from marshmallow import RAISE, ValidationError
from marshmallow import Schema as MarshmallowSchema
from marshmallow import fields as marshmallow_fields

from pipeline.enter import enter
from pipeline.kinds import fields, share, transfer
from pipeline.kinds.condition import SidesSchema
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import AMOUNT_MAX, Books, Effect, Entry, Leg
from pipeline.money import currency_exponent, divide_half_even
from pipeline.refusal import Refusal, refuse

# The code of a ledger's exchange account ends in the currency: exchange:USD.
ACCOUNT_PREFIX = "exchange:"
# Rates are quoted with five or six digits behind the point; small ones (VND to BTC) need more.
RATE_DECIMALS = 12
RATE_PATTERN = re.compile(rf"[0-9]{{1,12}}(?:\.[0-9]{{1,{RATE_DECIMALS}}})?", re.ASCII)


def check_rate(value: Any) -> str:
    """More than 0; as a string, because JSON has no decimals."""
    if not isinstance(value, str) or not RATE_PATTERN.fullmatch(value) or not _scaled(value):
        raise ValidationError(
            'A rate is a string with a decimal above 0, such as "1.0842": units of `to_currency`'
            f" for one of `currency`, of up to {RATE_DECIMALS} decimals."
        )
    return value


def _scaled(rate: str) -> int:
    """The rate times ten to the power of RATE_DECIMALS."""
    units, _, decimals = rate.partition(".")
    return int(units + decimals.ljust(RATE_DECIMALS, "0"))


class SpreadSchema(MarshmallowSchema):
    """A share of what comes out, and the account that gets it."""

    class Meta:
        unknown = RAISE

    account = fields.account_code()
    share = share.share(required=True)


class Schema(fields.OperationSchema):
    """The shape of an exchange. `amount` is of `currency`, and `rate` what one of that comes to."""

    source = fields.account_code()
    destination = fields.account_code()
    amount = fields.amount()
    currency = fields.currency()
    to_currency = fields.currency()
    rate = fields.shape(
        check_rate,
        {"type": "string", "pattern": f"^{RATE_PATTERN.pattern}$", "examples": ["1.0842"]},
        required=True,
    )
    spread = marshmallow_fields.Nested(SpreadSchema)
    require = marshmallow_fields.Nested(SidesSchema)


class Bought(NamedTuple):
    """What comes out, and how much of that the spread takes, in minor units."""

    amount: int
    spread: int


def bought(body: Body) -> Bought:
    """Exact, and rounded half to even once for each."""
    exponent, to_exponent = (currency_exponent(body[name]) for name in ("currency", "to_currency"))
    assert exponent is not None, "validate has looked at the currencies first"
    assert to_exponent is not None, "validate has looked at the currencies first"
    numerator = body["amount"] * _scaled(body["rate"]) * 10**to_exponent
    amount = divide_half_even(numerator, 10 ** (RATE_DECIMALS + exponent))
    spread = body.get("spread")
    return Bought(amount, share.part(amount, spread["share"]) if spread else 0)


def exchange_account(currency: str) -> str:
    """The code of the ledger's exchange account for a currency."""
    return ACCOUNT_PREFIX + currency


def check(body: Body) -> Refusal | None:
    """What is wrong with an exchange whatever the books say."""
    if body["currency"] == body["to_currency"]:
        return refuse("same_currency", currency=body["currency"])
    codes = accounts(body)
    if len(set(codes)) < len(codes):
        twice = next(code for code in codes if codes.count(code) > 1)
        return refuse("same_account", account=twice)
    amount, spread = bought(body)
    if amount <= spread:
        return refuse("exchange_comes_to_nothing", amount=amount, spread=spread)
    if amount > AMOUNT_MAX:
        return refuse("exchange_too_large", amount=amount, most=AMOUNT_MAX)
    return None


def currencies(body: Body) -> tuple[str, ...]:
    """Both."""
    return body["currency"], body["to_currency"]


def amounts(body: Body) -> dict[str, int]:
    """What goes in, and what comes out."""
    return {body["currency"]: body["amount"], body["to_currency"]: bought(body).amount}


def accounts(body: Body) -> tuple[str, ...]:
    """The codes that it touches."""
    codes = (
        body["source"],
        body["destination"],
        exchange_account(body["currency"]),
        exchange_account(body["to_currency"]),
    )
    return (*codes, body["spread"]["account"]) if "spread" in body else codes


def legs(body: Body) -> list[Leg]:
    """What goes in, then what comes out, and what of that is the spread."""
    currency, to_currency = body["currency"], body["to_currency"]
    amount, spread = bought(body)
    made = [
        (body["source"], -body["amount"], currency),
        (exchange_account(currency), body["amount"], currency),
        (exchange_account(to_currency), -amount, to_currency),
        (body["destination"], amount - spread, to_currency),
    ]
    if spread:
        made.append((body["spread"]["account"], spread, to_currency))
    return made


def apply(books: Books, entry: Entry) -> Effect:
    """Its postings, or why not."""
    required = transfer.requirements(entry.body)
    return enter(books, entry.position, legs(entry.body), require=required)


KIND = Kind(
    name="exchange",
    posts=True,
    schema=Schema(),
    example={
        "kind": "exchange",
        "source": "customers:42",
        "destination": "customers:42:eur",
        "amount": 10000,
        "currency": "USD",
        "to_currency": "EUR",
        "rate": "0.9224",
        "spread": {"account": "income:exchange", "share": "0.5"},
    },
    check=check,
    currencies=currencies,
    amounts=amounts,
    accounts=accounts,
    apply=apply,
)
