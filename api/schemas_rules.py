"""The shapes of a ledger's rules, for the OpenAPI document."""

from marshmallow import Schema, fields

from api.schema_fields import choice, flag, integer, minor, text, time
from api.schemas import OVERDRAFT, ListedOperationSchema
from pipeline.ledger import TYPES
from pipeline.limits import PERIODS


class LimitSchema(Schema):
    """At most so much per operation, day or month."""

    name = text("How operations name it.")
    per = choice(PERIODS, "What it is for; days and months are those of UTC.")
    currency = text("ISO 4217.", example="USD")
    amount = minor("Minor units: the most that may leave each account, or be moved.")
    account = text("A code or a pattern: what leaves each such account counts.", nullable=True)
    operation_kind = text("Only operations of this kind count.", nullable=True)
    role = text("Only operations of principals with this role count.", nullable=True)
    since = integer("The position from which on it counts.")


class ApprovalSchema(Schema):
    """Operations of more than an amount wait for other people."""

    name = text("How operations name it.")
    currency = text("ISO 4217.", example="USD")
    above = minor("Minor units: an operation of more than these waits.")
    people = integer("How many people have to approve it.")
    by_role = text("The role that they have.", example="approver")
    operation_kind = text("Only operations of this kind wait.", nullable=True)
    role = text("Only operations of principals with this role wait.", nullable=True)
    expires_after_s = integer("For how many seconds it waits at most.", nullable=True)


class AccountRuleSchema(Schema):
    """Unknown accounts that open when they are first used."""

    pattern = text("Which codes.", example="customers:*")
    type = choice(TYPES, "What they are in the books.")
    currency = text("ISO 4217; without it that of the first leg.", nullable=True)
    overdraft = fields.Raw(required=True, metadata=OVERDRAFT)


class SettingsSchema(Schema):
    """The rules of a ledger that are in force."""

    object = text("`settings`")
    ledger = text("Whose they are.")
    position = integer("Of the operation that changed them last; 0 if none has.")
    limits = fields.List(fields.Nested(LimitSchema), required=True)
    approvals = fields.List(fields.Nested(ApprovalSchema), required=True)
    accounts = fields.List(fields.Nested(AccountRuleSchema), required=True)


class WaitingForSchema(Schema):
    """Whom an operation waits for."""

    rule = text("The rule that it is under now.", nullable=True)
    by_role = text("The role of those who may approve it.", nullable=True)
    submitted_by = text("Who may not.")
    approved_by = fields.List(fields.String(), required=True)
    missing = integer("How many approvals it still needs.")
    expires_at = time("When it is given up.", nullable=True)
    awaits_you = flag("An approval of yours would count.")


class WaitingOperationSchema(ListedOperationSchema):
    """An operation that waits for approvals."""

    approval = fields.Nested(WaitingForSchema, required=True)
