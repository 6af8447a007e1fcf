"""The shapes of answers, for the OpenAPI document.

Answers are not dumped through these: they are built in shown.py and written by orjson. A test holds
the two together.
"""

from typing import Any

from marshmallow import INCLUDE, Schema, fields, validate

from api.parameters import BULK_STATUSES
from pipeline.kinds import KINDS
from pipeline.ledger import TYPES
from pipeline.search.found import STATUSES

MINOR_UNITS = "Minor units of the currency."


def _says(description: str, **more: Any) -> dict[str, Any]:
    return {"description": description, **more}


def _minor(description: str, *, nullable: bool = False) -> fields.Integer:
    api = _says(description, format="int64")
    return fields.Integer(required=True, allow_none=nullable, metadata=api)


def _time(description: str, *, nullable: bool = False) -> fields.DateTime:
    return fields.DateTime(required=True, allow_none=nullable, metadata=_says(description))


def _text(description: str, *, nullable: bool = False, **more: Any) -> fields.String:
    api = _says(description, **more)
    return fields.String(required=True, allow_none=nullable, metadata=api)


def _choice(choices: tuple[str, ...], description: str, *, nullable: bool = False) -> fields.String:
    return fields.String(
        required=True,
        allow_none=nullable,
        validate=validate.OneOf(choices),
        metadata=_says(description),
    )


OVERDRAFT = _says(
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

    operations = fields.Integer(required=True, metadata=_says("How many operations wait for it."))
    seconds = fields.Float(required=True, metadata=_says("How long the first of them has."))


class LagsSchema(Schema):
    """What waits for each stage."""

    validated = fields.Nested(LagSchema, required=True)
    authorized = fields.Nested(LagSchema, required=True)
    posted = fields.Nested(LagSchema, required=True)
    audited = fields.Nested(LagSchema, required=True)
    notified = fields.Nested(LagSchema, required=True)


class IndexSchema(Schema):
    """How far the index has come. What it has not reached is looked through all the same."""

    position = fields.Integer(required=True, metadata=_says("The last position that is in it."))
    operations = fields.Integer(required=True, metadata=_says("How many behind it are notified."))
    seconds = fields.Float(
        required=True,
        metadata=_says("How long its next 4,096 operations have waited, once they are there."),
    )


class LedgerSchema(Schema):
    """One set of books, with a log of its own."""

    object = _text("`ledger`")
    name = _text("How requests name it.")
    created_at = _time("When it was made.")


class LedgerStateSchema(LedgerSchema):
    """A ledger and how far its stages have come."""

    progress = fields.Nested(ProgressSchema, required=True)
    lag = fields.Nested(LagsSchema, required=True)
    index = fields.Nested(IndexSchema, required=True)


class AccountSchema(Schema):
    """An account. Its balances are on its normal side: debit for assets and expenses."""

    object = _text("`account`")
    ledger = _text("The ledger that it belongs to.")
    code = _text("Its name within the ledger.", example="customers:42")
    type = _choice(TYPES, "What it is in the books; it decides the normal side.")
    currency = _text("ISO 4217.", example="USD")
    overdraft = fields.Raw(required=True, metadata=OVERDRAFT)
    status = _choice(("open", "frozen", "closed"), "Frozen and closed ones take no postings.")
    frozen = _choice(("both", "debits", "credits"), "Which side is frozen.", nullable=True)
    name = _text("For people.", nullable=True)
    metadata = fields.Dict(required=True, allow_none=True, metadata=_says("Yours."))
    balance = _minor("Everything posted, on the normal side.")
    available = _minor("What may still leave it; null where that is unlimited.", nullable=True)
    debits_posted = _minor(MINOR_UNITS)
    credits_posted = _minor(MINOR_UNITS)
    debits_pending = _minor(MINOR_UNITS)
    credits_pending = _minor(MINOR_UNITS)
    version = fields.Integer(required=True, metadata=_says("How many postings it has."))


class PostingSchema(Schema):
    """One line of the ledger."""

    account = _text("The account's code.")
    pending = fields.Boolean(
        required=True, metadata=_says("It reserves, or gives back: no money has moved.")
    )
    amount = _minor("Minor units, positive.")
    direction = _choice(("debit", "credit"), "Which side of the account.")
    currency = _text("ISO 4217.")
    balance_after = _minor("The account's balance behind this posting, on its normal side.")
    version = fields.Integer(required=True, metadata=_says("The account's version behind it."))


class AccountPostingSchema(PostingSchema):
    """One line of an account's statement."""

    class Meta:
        exclude = ("account", "pending")

    operation = _text("The id of the operation.")
    position = fields.Integer(required=True, metadata=_says("Its place in the log."))
    kind = _text("The operation's kind.")
    accepted_at = _time("When the operation was accepted.")
    effective_date = _text("The operation's, if it has one.", nullable=True, format="date")
    description = _text("The operation's, if it has one.", nullable=True)


class LedgerPostingSchema(AccountPostingSchema):
    """One line of a ledger."""

    class Meta:
        exclude = ("pending",)

    leg = fields.Integer(required=True, metadata=_says("Its number within the operation, from 0."))


class TimelineSchema(Schema):
    """When the operation passed each stage; null where it has not, or never will."""

    accepted = _time("It is in the log, durably.")
    validated = _time("It makes sense by itself.", nullable=True)
    authorized = _time("Its principal may do it.", nullable=True)
    posted = _time("It has changed the books.", nullable=True)
    audited = _time("It is sealed into the audit chain.", nullable=True)
    notified = _time("Those who asked were told.", nullable=True)


class DecisionSchema(Schema):
    """One step in the fate of an operation that others decide."""

    effect = _text("What was done to it.", example="capture")
    amount = _minor("Of what it holds.", nullable=True)
    remaining = _minor("What was left behind it.", nullable=True)
    last = fields.Boolean(required=True, metadata=_says("Nothing can be decided any more."))
    operation = _text("The id of the operation that decided.")
    position = fields.Integer(required=True, metadata=_says("Its place in the log."))
    by = _text("The principal of that operation.")
    at = _time("When that operation was accepted.")


class RejectionSchema(Schema):
    """Why the operation was refused, for ever."""

    code = _text("Stable, for programs.", example="insufficient_funds")
    stage = _choice(("validate", "authorize", "post"), "Who refused it.")
    detail = fields.Dict(required=True, metadata=_says("What it was about."))
    message = _text("The same for people.")


class ListedOperationSchema(Schema):
    """An operation: these members, and those of its kind."""

    class Meta:
        unknown = INCLUDE

    id = _text("Its address.", example="op_00000000g0r008000001ab2c3d")
    object = _text("`operation`")
    ledger = _text("The ledger that it belongs to.")
    position = fields.Integer(required=True, metadata=_says("Its place in the log: 1, 2, 3 …"))
    kind = _choice(tuple(KINDS), "What it does.")
    status = _choice(
        STATUSES,
        "`posted` and `rejected` are final; `pending` waits for an operation that decides it.",
    )
    idempotency_key = _text("The key under which it was stored.")
    accepted_at = _time("When it got its place.")
    timeline = fields.Nested(TimelineSchema, required=True)
    rejection = fields.Nested(RejectionSchema, required=True, allow_none=True)


class OperationSchema(ListedOperationSchema):
    """An operation: these members, and those of its kind."""

    postings = fields.List(fields.Nested(PostingSchema), required=True)
    decisions = fields.List(
        fields.Nested(DecisionSchema), required=True, metadata=_says("Its fate, step by step.")
    )


class MemberErrorSchema(Schema):
    """One of several errors of a request."""

    param = _text("Which member or parameter.", example="amount")
    detail = _text("What is wrong with it.")


class ProblemSchema(Schema):
    """What went wrong, where, and what to do (RFC 9457)."""

    type = _text("Where the docs explain it.", format="uri-reference")
    title = _text("What went wrong.")
    status = fields.Integer(required=True, metadata=_says("The HTTP status."))
    code = _text("Stable, for programs.")
    detail = _text("What to do.")
    request_id = fields.String(metadata=_says("To find it in the logs; X-Request-Id is the same."))
    param = fields.String(metadata=_says("Which member, parameter or header."))
    errors = fields.List(fields.Nested(MemberErrorSchema), metadata=_says("All that is wrong."))
    differs = fields.List(fields.String(), metadata=_says("Which members differ."))
    operation = fields.String(metadata=_says("The id of the operation that was rejected."))
    rejection = fields.Nested(RejectionSchema, metadata=_says("Why it was."))


class BulkOutcomeSchema(Schema):
    """What became of one item."""

    index = fields.Integer(
        required=True, metadata=_says("The item's place in the request, from 0.")
    )
    status = _choice((*BULK_STATUSES, "opened", "rejected"), "What became of it.")
    id = fields.String(metadata=_says("The operation's id, if it was stored."))
    position = fields.Integer(metadata=_says("Its place in the log, if it was stored."))
    account = fields.Nested(AccountSchema, metadata=_says("The account, if one was opened."))
    error = fields.Nested(ProblemSchema, metadata=_says("Why it was not stored, or was rejected."))


class BulkSchema(Schema):
    """An outcome for each item, in the order of the request, and how many there are of each."""

    class Meta:
        include = {  # noqa: RUF012 - as marshmallow
            status: fields.Integer(required=True) for status in BULK_STATUSES
        }

    object = _text("`bulk`")
    opened = fields.Integer(metadata=_says("Accounts that are open now."))
    rejected = fields.Integer(metadata=_says("Accounts that were refused."))
    data = fields.List(fields.Nested(BulkOutcomeSchema), required=True)


class HealthSchema(Schema):
    """What works, by name."""

    status = _choice(("ok", "degraded", "down"), "`down` comes with 503.")
    checks = fields.Dict(
        keys=fields.String(),
        values=fields.String(),
        required=True,
        metadata=_says("`ok`, or what is wrong."),
    )


def list_of(item: type[Schema]) -> type[Schema]:
    """The page of a list."""
    name = item.__name__.removesuffix("Schema").removeprefix("Listed")
    return Schema.from_dict(
        {
            "object": _text("`list`"),
            "data": fields.List(fields.Nested(item), required=True),
            "has_more": fields.Boolean(required=True),
            "next": _text("What the next page takes as `after`.", nullable=True),
        },
        name=f"{name}ListSchema",
    )
