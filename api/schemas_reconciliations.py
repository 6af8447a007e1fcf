"""The shapes of a reconciliation's answers, for the OpenAPI document."""

from marshmallow import Schema, fields

from api import schemas
from api.schema_fields import choice, day, flag, integer, minor, text, time
from pipeline.reconcile.items import BY_HAND, RULES
from pipeline.reconcile.readers.mapping import MappingSchema
from pipeline.reconcile.readers.reading import FORMATS
from pipeline.reconcile.unmatched import STATES

CAME_IN = "Minor units; + is money that came in."


class PartSchema(Schema):
    """So many of them, and what they sum to."""

    count = integer("How many.")
    amount = minor(CAME_IN)


class ExplanationSchema(Schema):
    """What the difference is made of."""

    brought_forward = minor("Postings before the first statement less its opening balance.")
    unmatched_postings = fields.Nested(PartSchema, required=True)
    unmatched_lines = fields.Nested(PartSchema, required=True)
    ignored_postings = fields.Nested(PartSchema, required=True)
    ignored_lines = fields.Nested(PartSchema, required=True)
    in_transit = minor("Of matches whose other side lies behind the date: books less statement.")
    missing_statements = minor("What happened between one statement and the next.")


class ReconciliationSchema(Schema):
    """How the books and the statement stand at the end of a day."""

    object = text("`reconciliation`")
    ledger = text("The ledger.")
    account = text("The account's code.")
    currency = text("ISO 4217.")
    date = day("At the end of this day.")
    books_balance = minor("What was debited to the account less what was credited.")
    statement_balance = minor("The statement's: its closing balance and the lines since.")
    statement_balance_known = flag("Whether a statement had a balance; otherwise it is a sum.")
    difference = minor("Books less statement.")
    explained_by = fields.Nested(ExplanationSchema, required=True)
    statements = integer("How many statements there are up to then.")
    bookings_on_their_way = integer("Booked, and not posted yet.")
    reconciled = flag("Nothing is left to be matched, ignored or booked.")


class ExternalStatementSchema(Schema):
    """A statement from outside."""

    object = text("`external_statement`")
    account = text("The account's code.")
    number = integer("1, 2, 3 … within the account.")
    format = choice(FORMATS, "What kind of file it was.")
    file_name = text("What people call the file.", nullable=True)
    external_account = text("The account as the bank names it.", nullable=True)
    reference = text("The statement as the bank names it.", nullable=True)
    currency = text("ISO 4217.")
    from_date = day("Its first day.")
    to_date = day("Its last day.")
    opening_balance = minor(CAME_IN, nullable=True)
    closing_balance = minor(CAME_IN, nullable=True)
    lines = integer("How many lines it brought.")
    known_lines = integer("How many of its lines an earlier statement had brought.")
    imported_at = time("When it was imported.")
    imported_by = text("By whom.")


class ExternalStatementsSchema(Schema):
    """The statements of a file."""

    object = text("`external_statements`")
    replayed = flag("The file was here before: nothing has changed.")
    data = fields.List(fields.Nested(ExternalStatementSchema), required=True)


class SuggestionSchema(Schema):
    """A posting that a line may belong to."""

    operation = text("The id of its operation.")
    position = integer("The operation's position.")
    leg = integer("The posting's leg.")
    reason = choice(("reference_and_amount", "reference", "amount"), "What agrees.")
    difference = minor("Line less posting.")
    days = integer("How many days the posting is later.")


class _MatchedSchema(Schema):
    state = choice(STATES, "What has become of it.")
    match = integer("The number of its match.", nullable=True)
    rule = choice((*RULES, *BY_HAND), "The rule of its match.", nullable=True)
    reason = text("Why it is ignored.", nullable=True)


class ExternalLineSchema(_MatchedSchema):
    """One line of a statement."""

    object = text("`external_line`")
    account = text("The account's code.")
    number = integer("1, 2, 3 … within the account.")
    statement = integer("The number of its statement.")
    booking_date = day("When the bank booked it.")
    value_date = day("From when it counts for interest.", nullable=True)
    amount = minor(CAME_IN)
    currency = text("ISO 4217.")
    bank_id = text("The bank's own id of the line.", nullable=True)
    references = fields.List(fields.String(), required=True)
    counterparty = text("Who paid or was paid.", nullable=True)
    counterparty_account = text("Their account.", nullable=True)
    description = text("For people.", nullable=True)
    place = text("Where it stood in the file.")
    suggestions = fields.List(fields.Nested(SuggestionSchema))


class ReconciledPostingSchema(_MatchedSchema):
    """A posting of the account, and what it is matched with."""

    object = text("`reconciled_posting`")
    account = text("The account's code.")
    operation = text("The id of its operation.")
    position = integer("The operation's position.")
    leg = integer("The posting's leg.")
    effective_date = day("The day on which it counts.")
    amount = minor(CAME_IN)
    currency = text("ISO 4217.")
    idempotency_key = text("The operation's key.")
    description = text("The operation's, if it has one.", nullable=True)


class PlaceSchema(Schema):
    """Which posting."""

    position = integer("The operation's position.")
    leg = integer("The posting's leg.")


class UndoneSchema(Schema):
    """That a match was taken back."""

    at = time("When.")
    by = text("By whom.")
    reason = text("Why.")


class MatchSchema(Schema):
    """Lines and postings that are the same money; or one side that has no other."""

    object = text("`match`")
    account = text("The account's code.")
    number = integer("1, 2, 3 … within the account; undoing takes a number as well.")
    rule = choice((*RULES, *BY_HAND), "What says so.")
    reason = text("Why it is ignored.", nullable=True)
    lines = fields.List(fields.Integer(), required=True)
    postings = fields.List(fields.Nested(PlaceSchema), required=True)
    made_at = time("When.")
    made_by = text("By whom.")
    undone = fields.Nested(UndoneSchema, required=True, allow_none=True)


class MadeSchema(Schema):
    """How many matches each rule made."""

    class Meta:
        include = {  # noqa: RUF012 - as marshmallow
            rule: fields.Integer(required=True) for rule in (*RULES, "booked")
        }


class MatchingSchema(Schema):
    """What one matching did."""

    object = text("`matching`")
    account = text("The account's code.")
    made = fields.Nested(MadeSchema, required=True)
    lines_left = integer("Lines that are left for people.")
    postings_left = integer("Postings around the lines' days that are left.")


class BookingSchema(Schema):
    """An operation that explains a difference, and its match once it is posted."""

    object = text("`booking`")
    operation = fields.Nested(schemas.OperationSchema, required=True)
    match = fields.Nested(MatchSchema, required=True, allow_none=True)


class CsvMappingSchema(Schema):
    """A stored CSV mapping."""

    object = text("`csv_mapping`")
    name = text("How imports name it.")
    version = integer("1, 2, 3 …: each change is a new one.")
    mapping = fields.Nested(MappingSchema, required=True)
    made_at = time("When this version was stored.")
    made_by = text("By whom.")


class CsvMappingsSchema(Schema):
    """The mappings of a ledger."""

    object = text("`csv_mappings`")
    data = fields.List(fields.Nested(CsvMappingSchema), required=True)
