"""The shapes of a ledger's rules, for the OpenAPI document."""

from marshmallow import Schema, fields

from api.schemas import OVERDRAFT, ListedOperationSchema, _choice, _minor, _text, _time
from pipeline.ledger import TYPES
from pipeline.limits import PERIODS


class LimitSchema(Schema):
    """At most so much per operation, day or month."""

    name = _text("How operations name it.")
    per = _choice(PERIODS, "What it is for; days and months are those of UTC.")
    currency = _text("ISO 4217.", example="USD")
    amount = _minor("Minor units: the most that may leave each account, or be moved.")
    account = _text("A code or a pattern: what leaves each such account counts.", nullable=True)
    operation_kind = _text("Only operations of this kind count.", nullable=True)
    role = _text("Only operations of principals with this role count.", nullable=True)
    since = fields.Integer(
        required=True, metadata={"description": "The position from which on it counts."}
    )


class ApprovalSchema(Schema):
    """Operations of more than an amount wait for other people."""

    name = _text("How operations name it.")
    currency = _text("ISO 4217.", example="USD")
    above = _minor("Minor units: an operation of more than these waits.")
    people = fields.Integer(
        required=True, metadata={"description": "How many people have to approve it."}
    )
    by_role = _text("The role that they have.", example="approver")
    operation_kind = _text("Only operations of this kind wait.", nullable=True)
    role = _text("Only operations of principals with this role wait.", nullable=True)
    expires_after_s = fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "For how many seconds it waits at most."},
    )


class AccountRuleSchema(Schema):
    """Unknown accounts that open when they are first used."""

    pattern = _text("Which codes.", example="customers:*")
    type = _choice(TYPES, "What they are in the books.")
    currency = _text("ISO 4217; without it that of the first leg.", nullable=True)
    overdraft = fields.Raw(required=True, metadata=OVERDRAFT)


class SettingsSchema(Schema):
    """The rules of a ledger that are in force."""

    object = _text("`settings`")
    ledger = _text("Whose they are.")
    position = fields.Integer(
        required=True,
        metadata={"description": "Of the operation that changed them last; 0 if none has."},
    )
    limits = fields.List(fields.Nested(LimitSchema), required=True)
    approvals = fields.List(fields.Nested(ApprovalSchema), required=True)
    accounts = fields.List(fields.Nested(AccountRuleSchema), required=True)


class WaitingForSchema(Schema):
    """Whom an operation waits for."""

    rule = _text("The rule that it is under now.", nullable=True)
    by_role = _text("The role of those who may approve it.", nullable=True)
    submitted_by = _text("Who may not.")
    approved_by = fields.List(fields.String(), required=True)
    missing = fields.Integer(
        required=True, metadata={"description": "How many approvals it still needs."}
    )
    expires_at = _time("When it is given up.", nullable=True)
    awaits_you = fields.Boolean(
        required=True, metadata={"description": "An approval of yours would count."}
    )


class WaitingOperationSchema(ListedOperationSchema):
    """An operation that waits for approvals."""

    approval = fields.Nested(WaitingForSchema, required=True)
