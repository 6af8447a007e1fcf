"""The shapes of answers, for the OpenAPI document.

Answers are not dumped through these: they are built in shown.py and written by orjson. A test holds
the two together.
"""

from marshmallow import INCLUDE, Schema, fields

from api.parameters import BULK_STATUSES
from api.schema_fields import choice, flag, integer, minor, says, text, time
from pipeline.kinds import OF_BOOKS
from pipeline.ledger import TYPES
from pipeline.search.found import STATUSES

MINOR_UNITS = "Minor units of the currency."


OVERDRAFT = says(
    'How far the balance may go below zero, in minor units, or "unlimited".',
    oneOf=[
        {"type": "integer", "format": "int64", "minimum": 0},
        {"type": "string", "enum": ["unlimited"]},
    ],
)


class ProgressSchema(Schema):
    """The last position that the log and each stage have reached."""

    accepted = fields.Integer(required=True)
    validated = fields.Integer(required=True)
    authorized = fields.Integer(required=True)
    posted = fields.Integer(required=True)
    audited = fields.Integer(required=True)
    notified = fields.Integer(required=True)


class LagSchema(Schema):
    """What waits for one stage."""

    operations = integer("How many operations wait for it.")
    seconds = fields.Float(required=True, metadata=says("How long the first of them has."))


class LagsSchema(Schema):
    """What waits for each stage."""

    validated = fields.Nested(LagSchema, required=True)
    authorized = fields.Nested(LagSchema, required=True)
    posted = fields.Nested(LagSchema, required=True)
    audited = fields.Nested(LagSchema, required=True)
    notified = fields.Nested(LagSchema, required=True)


class IndexSchema(Schema):
    """How far the index has come. What it has not reached is looked through all the same."""

    position = integer("The last position that is in it.")
    operations = integer("How many behind it are notified.")
    seconds = fields.Float(
        required=True,
        metadata=says("How long its next 4,096 operations have waited, once they are there."),
    )


class LedgerSchema(Schema):
    """One set of books, with a log of its own."""

    object = text("`ledger`")
    name = text("How requests name it.")
    created_at = time("When it was made.")


class LedgerStateSchema(LedgerSchema):
    """A ledger and how far its stages have come."""

    progress = fields.Nested(ProgressSchema, required=True)
    lag = fields.Nested(LagsSchema, required=True)
    index = fields.Nested(IndexSchema, required=True)


class AccountSchema(Schema):
    """An account. Its balances are on its normal side: debit for assets and expenses."""

    object = text("`account`")
    ledger = text("The ledger that it belongs to.")
    code = text("Its name within the ledger.", example="customers:42")
    type = choice(TYPES, "What it is in the books; it decides the normal side.")
    currency = text("ISO 4217.", example="USD")
    overdraft = fields.Raw(required=True, metadata=OVERDRAFT)
    status = choice(("open", "frozen", "closed"), "Frozen and closed ones take no postings.")
    frozen = choice(("both", "debits", "credits"), "Which side is frozen.", nullable=True)
    name = text("For people.", nullable=True)
    metadata = fields.Dict(required=True, allow_none=True, metadata=says("Yours."))
    personal = fields.Dict(
        metadata=says("Sealed data about a person, in clear for those who may see it.")
    )
    balance = minor("Everything posted, on the normal side.")
    available = minor("What may still leave it; null where that is unlimited.", nullable=True)
    debits_posted = minor(MINOR_UNITS)
    credits_posted = minor(MINOR_UNITS)
    debits_pending = minor(MINOR_UNITS)
    credits_pending = minor(MINOR_UNITS)
    version = integer("How many postings it has.")


class PostingSchema(Schema):
    """One line of the ledger."""

    account = text("The account's code.")
    pending = flag("It reserves, or gives back: no money has moved.")
    amount = minor("Minor units, positive.")
    direction = choice(("debit", "credit"), "Which side of the account.")
    currency = text("ISO 4217.")
    balance_after = minor("The account's balance behind this posting, on its normal side.")
    version = integer("The account's version behind it.")


class AccountPostingSchema(PostingSchema):
    """One line of an account's statement."""

    class Meta:
        exclude = ("account", "pending")

    operation = text("The id of the operation.")
    position = integer("Its place in the log.")
    kind = text("The operation's kind.")
    accepted_at = time("When the operation was accepted.")
    effective_date = text("The operation's, if it has one.", nullable=True, format="date")
    description = text("The operation's, if it has one.", nullable=True)


class LedgerPostingSchema(AccountPostingSchema):
    """One line of a ledger."""

    class Meta:
        exclude = ("pending",)

    leg = integer("Its number within the operation, from 0.")


class TimelineSchema(Schema):
    """When the operation passed each stage; null where it has not, or never will."""

    accepted = time("It is in the log, durably.")
    validated = time("It makes sense by itself.", nullable=True)
    authorized = time("Its principal may do it.", nullable=True)
    posted = time("It has changed the books.", nullable=True)
    audited = time("It is sealed into the audit chain.", nullable=True)
    notified = time("Those who asked were told.", nullable=True)


class DecisionSchema(Schema):
    """One step in the fate of an operation that others decide."""

    effect = text("What was done to it.", example="capture")
    amount = minor("Of what it holds.", nullable=True)
    remaining = minor("What was left behind it.", nullable=True)
    last = flag("Nothing can be decided any more.")
    operation = text("The id of the operation that decided.")
    position = integer("Its place in the log.")
    by = text("The principal of that operation.")
    at = time("When that operation was accepted.")


class RejectionSchema(Schema):
    """Why the operation was refused, for ever."""

    code = text("Stable, for programs.", example="insufficient_funds")
    stage = choice(("validate", "authorize", "post"), "Who refused it.")
    detail = fields.Dict(required=True, metadata=says("What it was about."))
    message = text("The same for people.")


class ListedOperationSchema(Schema):
    """An operation: these members, and those of its kind."""

    class Meta:
        unknown = INCLUDE

    id = text("Its address.", example="op_00000000g0r008000001ab2c3d")
    object = text("`operation`")
    ledger = text("The ledger that it belongs to.")
    position = integer("Its place in the log: 1, 2, 3 …")
    kind = choice(OF_BOOKS, "What it does.")
    status = choice(
        STATUSES,
        "`posted` and `rejected` are final; `pending` waits for an operation that decides it.",
    )
    idempotency_key = text("The key under which it was stored.")
    submitted_by = text("Who submitted it: a person, an API key, or a name of the command line.")
    accepted_at = time("When it got its place.")
    timeline = fields.Nested(TimelineSchema, required=True)
    rejection = fields.Nested(RejectionSchema, required=True, allow_none=True)


class OperationSchema(ListedOperationSchema):
    """An operation: these members, and those of its kind."""

    postings = fields.List(fields.Nested(PostingSchema), required=True)
    decisions = fields.List(
        fields.Nested(DecisionSchema), required=True, metadata=says("Its fate, step by step.")
    )


class MemberErrorSchema(Schema):
    """One of several errors of a request."""

    param = text("Which member or parameter.", example="amount")
    detail = text("What is wrong with it.")


class ProblemSchema(Schema):
    """What went wrong, where, and what to do (RFC 9457)."""

    type = text("Where the docs explain it.", format="uri-reference")
    title = text("What went wrong.")
    status = integer("The HTTP status.")
    code = text("Stable, for programs.")
    detail = text("What to do.")
    request_id = fields.String(metadata=says("To find it in the logs; X-Request-Id is the same."))
    param = fields.String(metadata=says("Which member, parameter or header."))
    errors = fields.List(fields.Nested(MemberErrorSchema), metadata=says("All that is wrong."))
    differs = fields.List(fields.String(), metadata=says("Which members differ."))
    operation = fields.String(metadata=says("The id of the operation that was rejected."))
    rejection = fields.Nested(RejectionSchema, metadata=says("Why it was."))


class BulkOutcomeSchema(Schema):
    """What became of one item."""

    index = integer("The item's place in the request, from 0.")
    status = choice((*BULK_STATUSES, "opened", "rejected"), "What became of it.")
    id = fields.String(metadata=says("The operation's id, if it was stored."))
    position = fields.Integer(metadata=says("Its place in the log, if it was stored."))
    account = fields.Nested(AccountSchema, metadata=says("The account, if one was opened."))
    error = fields.Nested(ProblemSchema, metadata=says("Why it was not stored, or was rejected."))


class BulkSchema(Schema):
    """An outcome for each item, in the order of the request, and how many there are of each."""

    class Meta:
        include = {  # noqa: RUF012 - as marshmallow
            status: fields.Integer(required=True) for status in BULK_STATUSES
        }

    object = text("`bulk`")
    opened = fields.Integer(metadata=says("Accounts that are open now."))
    rejected = fields.Integer(metadata=says("Accounts that were refused."))
    data = fields.List(fields.Nested(BulkOutcomeSchema), required=True)


class HealthSchema(Schema):
    """What works, by name."""

    status = choice(("ok", "degraded", "down"), "`down` comes with 503.")
    checks = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=says("`ok`, or what is wrong."),
    )


def list_of(item: type[Schema]) -> type[Schema]:
    """The page of a list."""
    name = item.__name__.removesuffix("Schema").removeprefix("Listed")
    return Schema.from_dict(
        {
            "object": text("`list`"),
            "data": fields.List(fields.Nested(item), required=True),
            "has_more": fields.Boolean(required=True),
            "next": text("What the next page takes as `after`.", nullable=True),
        },
        name=f"{name}ListSchema",
    )
