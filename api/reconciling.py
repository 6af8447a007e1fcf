"""What requests to a reconciliation bring: query strings and bodies, and the account they mean."""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate
from sqlalchemy import Connection

from api import queries
from api.errors import invalid
from api.intake import json_body, optional_json_body
from api.parameters import PageQuery
from api.schema_fields import says
from models.ledger import LedgerRef
from models.operation import address_of, parse_id
from pipeline.kinds import journal
from pipeline.kinds.fields import check_code, check_date, check_text
from pipeline.reconcile import unmatched
from pipeline.reconcile.errors import ReconcileError
from pipeline.reconcile.items import Place, Windows
from pipeline.reconcile.matches import ITEMS_MAX
from pipeline.reconcile.readers.reading import FORMATS
from pipeline.reconcile.subject import Subject, subject_of

REASON_MAX_LENGTH = 500
WINDOW_MAX_DAYS = 31
REFERENCE_WINDOW_MAX_DAYS = 400
FILE_NAME_MAX_LENGTH = 200
# 18 digits fit into a bigint.
NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


class Date(fields.Field[dt.date]):
    """A calendar date, YYYY-MM-DD."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.date:
        return dt.date.fromisoformat(check_date(value))


def _date(description: str) -> Date:
    return Date(metadata=says(description, type="string", format="date"))


class SummaryQuery(Schema):
    """The day at whose end the books are compared."""

    class Meta:
        unknown = RAISE

    date = _date("At the end of this day; without it, of the newest statement's last day.")


class ImportQuery(Schema):
    """What the file is and how it is to be read."""

    class Meta:
        unknown = RAISE

    format = fields.String(
        validate=validate.OneOf(FORMATS), metadata=says("By default what the file looks like.")
    )
    mapping = fields.String(metadata=says("CSV: the name of a stored mapping."))
    external_account = fields.String(
        validate=validate.Length(1, 64),
        metadata=says("Which account of the file (an IBAN); needed where it has several."),
    )
    file_name = fields.String(
        validate=lambda value: check_text(value, FILE_NAME_MAX_LENGTH),
        metadata=says("What people call the file."),
    )


def _state() -> fields.String:
    return fields.String(
        validate=validate.OneOf(unmatched.STATES), metadata=says("Only those in this state.")
    )


class LinesQuery(PageQuery):
    """Lines, in the order in which they came."""

    state = _state()
    suggest = fields.Boolean(
        load_default=False, metadata=says("With what each unmatched line may belong to.")
    )


class AccountPostingsQuery(PageQuery):
    """Postings of the account, in the order of posting."""

    state = _state()
    since = _date("Effective on this day or later.")
    until = _date("Effective on this day or earlier.")


class PostingNameSchema(Schema):
    """One posting: its operation, and its leg where the operation has several on the account."""

    class Meta:
        unknown = RAISE

    operation = fields.String(required=True, metadata=says("The operation's id."))
    leg = fields.Integer(strict=True, validate=validate.Range(0, journal.LEGS_MAX))


class ItemsSchema(Schema):
    """Lines by number, postings by operation."""

    class Meta:
        unknown = RAISE

    lines = fields.List(
        fields.Integer(strict=True, validate=validate.Range(1, 2**62)),
        load_default=list,
        validate=validate.Length(0, ITEMS_MAX),
        metadata=says("Numbers of lines."),
    )
    postings = fields.List(
        fields.Nested(PostingNameSchema), load_default=list, validate=validate.Length(0, ITEMS_MAX)
    )


class MatchRequestSchema(ItemsSchema):
    """What belongs together. Both sides sum to the same."""


class ExclusionRequestSchema(ItemsSchema):
    """Lines, or postings, that have no other side, and why."""

    reason = fields.String(
        required=True,
        validate=lambda value: check_text(value, REASON_MAX_LENGTH),
        metadata=says("Why."),
    )


class UndoRequestSchema(Schema):
    """Why a match is taken back."""

    class Meta:
        unknown = RAISE

    reason = fields.String(
        required=True,
        validate=lambda value: check_text(value, REASON_MAX_LENGTH),
        metadata=says("Why."),
    )


class BookingRequestSchema(ItemsSchema):
    """What the difference of lines and postings is booked against."""

    against = fields.String(
        validate=check_code, metadata=says("One account: the booking is a transfer.")
    )
    legs = fields.List(
        fields.Nested(journal.LegSchema),
        load_default=list,
        validate=validate.Length(0, journal.LEGS_MAX - 1),
        metadata=says("Several: the other legs of a journal; the account's own is added."),
    )
    description = fields.String(
        validate=lambda value: check_text(value, REASON_MAX_LENGTH),
        metadata=says("By default the line's."),
    )


class WindowsSchema(Schema):
    """How many days may lie between a line and its posting."""

    class Meta:
        unknown = RAISE

    days = fields.Integer(
        strict=True,
        load_default=Windows().days,
        validate=validate.Range(0, WINDOW_MAX_DAYS),
        metadata=says("Where the amounts are equal."),
    )
    reference_days = fields.Integer(
        strict=True,
        load_default=Windows().reference_days,
        validate=validate.Range(0, REFERENCE_WINDOW_MAX_DAYS),
        metadata=says("Where a reference agrees."),
    )


def body(schema: type[Schema], *, optional: bool = False) -> dict[str, Any]:
    """The request's JSON body in this shape; raises Problem."""
    try:
        return dict(schema().load(optional_json_body() if optional else json_body()))
    except ValidationError as error:
        raise invalid(error) from None


def subject(connection: Connection, book: LedgerRef, code: str) -> Subject:
    """The account that is reconciled; raises Problem."""
    return subject_of(book, queries.account(connection, book, code))


def places(connection: Connection, of: Subject, named: Sequence[dict[str, Any]]) -> list[Place]:
    """Where the named postings stand; raises ReconcileError."""
    found = []
    for one in named:
        id_ = parse_id(one["operation"])
        address = address_of(id_) if id_ is not None else None
        if address is None or address.ledger_id != of.ledger.ledger_id:
            raise _unknown(one)
        legs = unmatched.legs(connection, of, address.position)
        own = [leg for leg, its_id in legs if its_id == id_ and one.get("leg", leg) == leg]
        if not own:
            raise _unknown(one)
        if len(own) > 1:
            raise ReconcileError(
                "unknown_posting",
                f"{one['operation'][:64]} has the legs {', '.join(map(str, own))} on this account:"
                " name one as `leg`.",
            )
        found.append(Place(address.position, own[0]))
    return found


def number(text: str) -> int:
    """The match's number in an address; raises ReconcileError where it can be none."""
    if not NUMBER.fullmatch(text):
        raise ReconcileError("unknown_match", "A match's number is 1, 2, 3 …")
    return int(text)


def _unknown(named: dict[str, Any]) -> ReconcileError:
    return ReconcileError(
        "unknown_posting", f"{named['operation'][:64]} has no such posting on this account."
    )
