"""hold: reserve an amount for somebody, to be captured or released by a later operation.

Nothing is posted. The amount leaves what is available of the source at once, and comes to the
destination only with a capture. What is not captured is given back by a release, or when the hold
expires.
"""

import datetime as dt
from typing import Any

from marshmallow import ValidationError, validate, validates_schema
from marshmallow import fields as marshmallow_fields

from pipeline.decide import begin
from pipeline.enter import enter
from pipeline.kinds import fields, transfer
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import Refusal, refuse
from pipeline.times import parse_time

# As far ahead as `expires_at` may lie: more is a typing error.
EXPIRES_AFTER_MAX_S = 366 * 24 * 60 * 60


class Schema(transfer.MoveSchema):
    """The shape of a hold: a transfer's, and a time at which it ends by itself, if it has one.

    It is a moment, or so many seconds after the hold takes effect.
    """

    expires_at = fields.time()
    expires_after_s = marshmallow_fields.Integer(
        strict=True, validate=validate.Range(1, EXPIRES_AFTER_MAX_S)
    )

    @validates_schema
    def check_expiry(self, data: Body, **_: Any) -> None:
        """At most one of the two."""
        if "expires_at" in data and "expires_after_s" in data:
            raise ValidationError({"expires_after_s": ["A hold has it, or `expires_at`."]})


def expiry(entry: Entry) -> dt.datetime | None:
    """When a hold that takes effect with this entry ends by itself."""
    if "expires_after_s" in entry.body:
        return entry.accepted_at + dt.timedelta(seconds=entry.body["expires_after_s"])
    return parse_time(entry.body["expires_at"]) if "expires_at" in entry.body else None


def apply(books: Books, entry: Entry) -> Effect:
    """The postings that reserve, or why not. What waited may come too late for its own end."""
    due = expiry(entry)
    if due is not None and due <= entry.accepted_at:
        return refuse("expiry_out_of_range", expires_at=entry.body["expires_at"])
    effect = enter(
        books,
        entry.position,
        (),
        reserve=transfer.legs(entry.body),
        require=transfer.requirements(entry.body),
    )
    if not isinstance(effect, Refusal):
        begin(books, entry, "hold", entry.body["amount"], due)
    return effect


KIND = Kind(
    name="hold",
    posts=True,
    schema=Schema(),
    example={
        "kind": "hold",
        "source": "customers:42",
        "destination": "merchants:7",
        "amount": 90000,
        "currency": "USD",
        "expires_at": "2027-03-01T12:00:00Z",
        "description": "Hotel, three nights",
    },
    check=transfer.check,
    currencies=transfer.currencies,
    amounts=transfer.amounts,
    accounts=transfer.accounts,
    apply=apply,
    alone=True,
)
