"""The shapes of a reconciliation's answers, for the OpenAPI document."""

from typing import Any

from marshmallow import Schema, fields, validate

from api import schemas
from pipeline.reconcile.items import BY_HAND, RULES
from pipeline.reconcile.readers.mapping import MappingSchema
from pipeline.reconcile.readers.reading import FORMATS
from pipeline.reconcile.unmatched import STATES

CAME_IN = "Minor units; + is money that came in."


def _says(description: str, **more: Any) -> dict[str, Any]:
    return {"description": description, **more}


def _text(description: str, *, nullable: bool = False) -> fields.String:
    return fields.String(required=True, allow_none=nullable, metadata=_says(description))


def _number(description: str, *, nullable: bool = False) -> fields.Integer:
    api = _says(description, format="int64")
    return fields.Integer(required=True, allow_none=nullable, metadata=api)


def _date(description: str, *, nullable: bool = False) -> fields.Date:
    return fields.Date(required=True, allow_none=nullable, metadata=_says(description))


def _time(description: str) -> fields.DateTime:
    return fields.DateTime(required=True, metadata=_says(description))


def _flag(description: str) -> fields.Boolean:
    return fields.Boolean(required=True, metadata=_says(description))


def _choice(choices: tuple[str, ...], description: str, *, nullable: bool = False) -> fields.String:
    return fields.String(
        required=True,
        allow_none=nullable,
        validate=validate.OneOf(choices),
        metadata=_says(description),
    )


class PartSchema(Schema):
    """So many of them, and what they sum to."""

    count = _number("How many.")
    amount = _number(CAME_IN)


class ExplanationSchema(Schema):
    """What the difference is made of."""

    brought_forward = _number("Postings before the first statement less its opening balance.")
    unmatched_postings = fields.Nested(PartSchema, required=True)
    unmatched_lines = fields.Nested(PartSchema, required=True)
    ignored_postings = fields.Nested(PartSchema, required=True)
    ignored_lines = fields.Nested(PartSchema, required=True)
    in_transit = _number("Of matches whose other side lies behind the date: books less statement.")
    missing_statements = _number("What happened between one statement and the next.")


class ReconciliationSchema(Schema):
    """How the books and the statement stand at the end of a day."""

    object = _text("`reconciliation`")
    ledger = _text("The ledger.")
    account = _text("The account's code.")
    currency = _text("ISO 4217.")
    date = _date("At the end of this day.")
    books_balance = _number("What was debited to the account less what was credited.")
    statement_balance = _number("The statement's: its closing balance and the lines since.")
    statement_balance_known = _flag("Whether a statement had a balance; otherwise it is a sum.")
    difference = _number("Books less statement.")
    explained_by = fields.Nested(ExplanationSchema, required=True)
    statements = _number("How many statements there are up to then.")
    bookings_on_their_way = _number("Booked, and not posted yet.")
    reconciled = _flag("Nothing is left to be matched, ignored or booked.")


class ExternalStatementSchema(Schema):
    """A statement from outside."""

    object = _text("`external_statement`")
    account = _text("The account's code.")
    number = _number("1, 2, 3 … within the account.")
    format = _choice(FORMATS, "What kind of file it was.")
    file_name = _text("What people call the file.", nullable=True)
    external_account = _text("The account as the bank names it.", nullable=True)
    reference = _text("The statement as the bank names it.", nullable=True)
    currency = _text("ISO 4217.")
    from_date = _date("Its first day.")
    to_date = _date("Its last day.")
    opening_balance = _number(CAME_IN, nullable=True)
    closing_balance = _number(CAME_IN, nullable=True)
    lines = _number("How many lines it brought.")
    known_lines = _number("How many of its lines an earlier statement had brought.")
    imported_at = _time("When it was imported.")
    imported_by = _text("By whom.")


class ExternalStatementsSchema(Schema):
    """The statements of a file."""

    object = _text("`external_statements`")
    replayed = _flag("The file was here before: nothing has changed.")
    data = fields.List(fields.Nested(ExternalStatementSchema), required=True)


class SuggestionSchema(Schema):
    """A posting that a line may belong to."""

    operation = _text("The id of its operation.")
    position = _number("The operation's position.")
    leg = _number("The posting's leg.")
    reason = _choice(("reference_and_amount", "reference", "amount"), "What agrees.")
    difference = _number("Line less posting.")
    days = _number("How many days the posting is later.")


class _MatchedSchema(Schema):
    state = _choice(STATES, "What has become of it.")
    match = _number("The number of its match.", nullable=True)
    rule = _choice((*RULES, *BY_HAND), "The rule of its match.", nullable=True)
    reason = _text("Why it is ignored.", nullable=True)


class ExternalLineSchema(_MatchedSchema):
    """One line of a statement."""

    object = _text("`external_line`")
    account = _text("The account's code.")
    number = _number("1, 2, 3 … within the account.")
    statement = _number("The number of its statement.")
    booking_date = _date("When the bank booked it.")
    value_date = _date("From when it counts for interest.", nullable=True)
    amount = _number(CAME_IN)
    currency = _text("ISO 4217.")
    bank_id = _text("The bank's own id of the line.", nullable=True)
    references = fields.List(fields.String(), required=True)
    counterparty = _text("Who paid or was paid.", nullable=True)
    counterparty_account = _text("Their account.", nullable=True)
    description = _text("For people.", nullable=True)
    place = _text("Where it stood in the file.")
    suggestions = fields.List(fields.Nested(SuggestionSchema))


class ReconciledPostingSchema(_MatchedSchema):
    """A posting of the account, and what it is matched with."""

    object = _text("`reconciled_posting`")
    account = _text("The account's code.")
    operation = _text("The id of its operation.")
    position = _number("The operation's position.")
    leg = _number("The posting's leg.")
    effective_date = _date("The day on which it counts.")
    amount = _number(CAME_IN)
    currency = _text("ISO 4217.")
    idempotency_key = _text("The operation's key.")
    description = _text("The operation's, if it has one.", nullable=True)


class PlaceSchema(Schema):
    """Which posting."""

    position = _number("The operation's position.")
    leg = _number("The posting's leg.")


class UndoneSchema(Schema):
    """That a match was taken back."""

    at = _time("When.")
    by = _text("By whom.")
    reason = _text("Why.")


class MatchSchema(Schema):
    """Lines and postings that are the same money; or one side that has no other."""

    object = _text("`match`")
    account = _text("The account's code.")
    number = _number("1, 2, 3 … within the account; undoing takes a number as well.")
    rule = _choice((*RULES, *BY_HAND), "What says so.")
    reason = _text("Why it is ignored.", nullable=True)
    lines = fields.List(fields.Integer(), required=True)
    postings = fields.List(fields.Nested(PlaceSchema), required=True)
    made_at = _time("When.")
    made_by = _text("By whom.")
    undone = fields.Nested(UndoneSchema, required=True, allow_none=True)


class MadeSchema(Schema):
    """How many matches each rule made."""

    class Meta:
        include = {  # noqa: RUF012 - as marshmallow
            rule: fields.Integer(required=True) for rule in (*RULES, "booked")
        }


class MatchingSchema(Schema):
    """What one matching did."""

    object = _text("`matching`")
    account = _text("The account's code.")
    made = fields.Nested(MadeSchema, required=True)
    lines_left = _number("Lines that are left for people.")
    postings_left = _number("Postings around the lines' days that are left.")


class BookingSchema(Schema):
    """An operation that explains a difference, and its match once it is posted."""

    object = _text("`booking`")
    operation = fields.Nested(schemas.OperationSchema, required=True)
    match = fields.Nested(MatchSchema, required=True, allow_none=True)


class CsvMappingSchema(Schema):
    """A stored CSV mapping."""

    object = _text("`csv_mapping`")
    name = _text("How imports name it.")
    version = _number("1, 2, 3 …: each change is a new one.")
    mapping = fields.Nested(MappingSchema, required=True)
    made_at = _time("When this version was stored.")
    made_by = _text("By whom.")


class CsvMappingsSchema(Schema):
    """The mappings of a ledger."""

    object = _text("`csv_mappings`")
    data = fields.List(fields.Nested(CsvMappingSchema), required=True)
