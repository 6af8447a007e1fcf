"""validate: the meaning of each operation by itself, without any state of the books."""

import datetime as dt
from collections.abc import Iterable

import orjson

from pipeline.kinds import kind_of
from pipeline.kinds.kind import Body
from pipeline.money import currency_exponent
from pipeline.refusal import Refusal, refuse
from pipeline.stage import Operation, Refused
from pipeline.times import parse_time

EARLIEST_DATE = dt.date(1900, 1, 1)
# A date further ahead than a year is a typing error, not a plan.
AHEAD_MAX = dt.timedelta(days=366)


def judge(these: Iterable[Operation]) -> list[Refused]:
    """Those whose meaning is wrong."""
    return [
        (operation.ledger_id, operation.position, refusal)
        for operation in these
        if (refusal := meaning(operation)) is not None
    ]


def meaning(operation: Operation) -> Refusal | None:
    """What is wrong with the operation itself."""
    return meaning_of(operation.kind, orjson.loads(operation.body), operation.accepted_at)


def meaning_of(name: str, body: Body, accepted_at: dt.datetime) -> Refusal | None:
    """What is wrong with it, in the order of refusal.CODES; then with what it holds."""
    kind = kind_of(name)
    for currency in kind.currencies(body):
        if currency_exponent(currency) is None:
            return refuse("unknown_currency", currency=currency)
    if "effective_date" in body:
        date = dt.date.fromisoformat(body["effective_date"])
        if not EARLIEST_DATE <= date <= accepted_at.date() + AHEAD_MAX:
            return refuse("effective_date_out_of_range", effective_date=body["effective_date"])
    if "expires_at" in body:
        expires_at = parse_time(body["expires_at"])
        if not accepted_at < expires_at <= accepted_at + AHEAD_MAX:
            return refuse("expiry_out_of_range", expires_at=body["expires_at"])
    refusal = kind.check(body)
    if refusal is not None:
        return refusal
    for index, (inner_name, inner_body) in enumerate(kind.inner(body)):
        refusal = meaning_of(inner_name, inner_body, accepted_at)
        if refusal is not None:
            return kind.failed(index, inner_name, refusal)
    return None
