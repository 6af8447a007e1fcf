"""What requests bring beside operations: query strings, and the body that makes a ledger."""

import datetime as dt
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from api.books import NAME_PATTERN
from api.paging import LIMIT_DEFAULT, LIMIT_MAX
from models.ledger import RESERVED
from pipeline.kinds.fields import check_code
from pipeline.kinds.personals import check_subject
from pipeline.reports.moment import read_time

# What an item's status says; the problem in `error` says the rest.
BULK_STATUSES = (
    "accepted",
    "replayed",
    "invalid",
    "forbidden",
    "conflict",
    "behind",
    "unavailable",
)
# What would become of an operation.
DRY_STATUSES = ("posted", "pending", "rejected", "replayed", "conflict")
ORDERS = ("newest", "oldest")


def says(description: str, **more: Any) -> dict[str, Any]:
    """What the OpenAPI document shows of a parameter."""
    return {"description": description, **more}


class Moment(fields.Field[dt.datetime]):
    """An ISO 8601 date or time, in UTC; without an offset it is UTC.

    Postgres takes offsets of less than 16 hours only, ISO 8601 those of a whole day.
    """

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:
        try:
            return read_time(value)
        except (TypeError, ValueError):
            raise ValidationError(
                "A time is written 2026-11-22T09:30:00Z (a + in a URL is written %2B)."
            ) from None


def moment(description: str) -> Moment:
    """A parameter that is a time."""
    return Moment(metadata=says(description, type="string", format="date-time"))


class PageQuery(Schema):
    """What every list takes."""

    limit = fields.Integer(
        load_default=LIMIT_DEFAULT,
        validate=validate.Range(1, LIMIT_MAX),
        metadata=says("How many to show at most."),
    )
    after = fields.String(metadata=says("`next` of the page before."))

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "There is no such parameter here."}  # noqa: RUF012 - as marshmallow


class TimesQuery(PageQuery):
    """A list in the order of the log."""

    order = fields.String(
        load_default="newest",
        validate=validate.OneOf(ORDERS),
        metadata=says("Which end of the log comes first."),
    )
    since = moment("Accepted at this time or later.")
    until = moment("Accepted before this time.")


class AccountsQuery(PageQuery):
    """A ledger's accounts, in the order of their codes."""

    code = fields.String(validate=check_code, metadata=says("The one account with this code."))
    subject = fields.String(
        validate=check_subject, metadata=says("Whose personal data they carry, or carried.")
    )


def _check_name(name: str) -> None:
    if not NAME_PATTERN.fullmatch(name):
        raise ValidationError(
            "A ledger's name is 1 to 63 small letters, digits and hyphens, no hyphen first."
        )
    if name.startswith(RESERVED):
        raise ValidationError(f"Names that begin with {RESERVED} are Trident's own.")


class LedgerRequestSchema(Schema):
    """A new ledger."""

    name = fields.String(
        required=True,
        validate=_check_name,
        metadata=says("How requests name it.", example="main"),
    )

    class Meta:
        unknown = RAISE
