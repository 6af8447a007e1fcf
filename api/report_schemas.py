"""The shapes of reports, for the OpenAPI document. The answers are built in report_shown.py."""

from marshmallow import Schema, fields

from api.report_queries import BASES
from api.schemas import _choice, _minor, _says, _text, _time
from pipeline.ledger import TYPES

CURRENCY = "ISO 4217."
COMPLETE = "Whether all of the log that belongs to it is posted already; if not, it may change."


def _day(description: str) -> fields.Date:
    return fields.Date(required=True, allow_none=True, metadata=_says(description))


class MomentSchema(Schema):
    """Which operations count."""

    ledger = _text("The ledger.")
    at = _time("The time of acceptance that was asked for.", nullable=True)
    effective = _day("The effective date that was asked for.")
    position = fields.Integer(
        required=True, metadata=_says("The last operation of the log that may count.")
    )
    complete = fields.Boolean(required=True, metadata=_says(COMPLETE))


class BalanceSchema(MomentSchema):
    """What an account held at a moment."""

    object = _text("`balance`")
    account = _text("The account's code.")
    type = _choice(TYPES, "It decides the normal side.")
    currency = _text(CURRENCY)
    balance = _minor("On the account's normal side.")


class NodeSchema(Schema):
    """All accounts of one currency whose codes are `code` or go on from it."""

    code = _text("The first parts of their codes.", example="customers:eu")
    depth = fields.Integer(required=True, metadata=_says("How many parts these are."))
    currency = _text(CURRENCY)
    accounts = fields.Integer(required=True, metadata=_says("How many accounts these are."))
    balance = _minor("On their normal side; null where they have different ones.", nullable=True)
    net = _minor("Credits less debits.")


class BalancesSchema(MomentSchema):
    """Balances, rolled up along the codes of the accounts."""

    object = _text("`balances`")
    prefix = _text("Which accounts were asked for.")
    rows = fields.List(fields.Nested(NodeSchema), required=True)


class RowSchema(Schema):
    """An account, or the accounts of one type and currency whose codes begin with `code`."""

    code = _text("The account's code, or its first parts.")
    name = _text("The account's name.", nullable=True)
    type = _choice(TYPES, "What it is in the books.")
    currency = _text(CURRENCY)
    accounts = fields.Integer(required=True, metadata=_says("How many accounts these are."))


class TrialRowSchema(RowSchema):
    """A row with its debit and credit balances."""

    debit = _minor("The sum of debit balances.")
    credit = _minor("The sum of credit balances.")


class BalanceRowSchema(RowSchema):
    """A row with its balance."""

    balance = _minor("On the normal side of its type.")


class TrialTotalSchema(Schema):
    """The totals of a currency."""

    currency = _text(CURRENCY)
    debit = _minor("All debit balances.")
    credit = _minor("All credit balances.")
    balanced = fields.Boolean(required=True, metadata=_says("Whether they are equal."))


class TrialBalanceSchema(MomentSchema):
    """Every account's balance as a debit or a credit, and whether they add up to the same."""

    object = _text("`trial_balance`")
    rows = fields.List(fields.Nested(TrialRowSchema), required=True)
    totals = fields.List(fields.Nested(TrialTotalSchema), required=True)


class SheetTotalSchema(Schema):
    """The totals of a currency."""

    currency = _text(CURRENCY)
    assets = _minor("All assets.")
    liabilities = _minor("All liabilities.")
    equity = _minor("All equity accounts.")
    current_result = _minor("Income less expense that is not closed into equity yet.")
    balanced = fields.Boolean(
        required=True, metadata=_says("Whether assets equal all the others together.")
    )


class BalanceSheetSchema(MomentSchema):
    """What there is, what is owed, and what is left."""

    object = _text("`balance_sheet`")
    assets = fields.List(fields.Nested(BalanceRowSchema), required=True)
    liabilities = fields.List(fields.Nested(BalanceRowSchema), required=True)
    equity = fields.List(fields.Nested(BalanceRowSchema), required=True)
    totals = fields.List(fields.Nested(SheetTotalSchema), required=True)


class IncomeTotalSchema(Schema):
    """The totals of a currency."""

    currency = _text(CURRENCY)
    income = _minor("All income.")
    expenses = _minor("All expenses.")
    result = _minor("Income less expenses.")


class IncomeStatementSchema(Schema):
    """What income and expense accounts did in a period."""

    object = _text("`income_statement`")
    ledger = _text("The ledger.")
    basis = _choice(BASES, "By time of acceptance or by effective date.")
    since = _text("The beginning of the period.", nullable=True)
    until = _text("Its end, which is not part of it.", nullable=True)
    complete = fields.Boolean(required=True, metadata=_says(COMPLETE))
    income = fields.List(fields.Nested(BalanceRowSchema), required=True)
    expenses = fields.List(fields.Nested(BalanceRowSchema), required=True)
    totals = fields.List(fields.Nested(IncomeTotalSchema), required=True)


class StatementLineSchema(Schema):
    """One posting."""

    position = fields.Integer(required=True, metadata=_says("The operation's place in the log."))
    operation = _text("The id of the operation.")
    kind = _text("Its kind.")
    idempotency_key = _text("The key under which it was stored.")
    accepted_at = _time("When it was accepted.")
    effective_date = _text("Its effective date, or the day of acceptance.", format="date")
    description = _text("Its description.", nullable=True)
    amount = _minor("Minor units, positive.")
    direction = _choice(("debit", "credit"), "Which side of the account.")
    balance = _minor("The balance behind it, on the account's normal side.")


class StatementTotalsSchema(Schema):
    """The sums of the lines."""

    lines = fields.Integer(required=True, metadata=_says("How many lines there are."))
    debits = _minor("All debits.")
    credits = _minor("All credits.")


class StatementSchema(Schema):
    """What an account did in a period."""

    object = _text("`statement`")
    ledger = _text("The ledger.")
    account = _text("The account's code.")
    name = _text("The account's name.", nullable=True)
    type = _choice(TYPES, "It decides the normal side.")
    currency = _text(CURRENCY)
    basis = _choice(BASES, "By time of acceptance or by effective date.")
    since = _text("The beginning of the period.", nullable=True)
    until = _text("Its end, which is not part of it.", nullable=True)
    complete = fields.Boolean(required=True, metadata=_says(COMPLETE))
    opening_balance = _minor("Before the first line, on the normal side.")
    closing_balance = _minor("Behind the last line.")
    lines = fields.List(fields.Nested(StatementLineSchema), required=True)
    totals = fields.Nested(StatementTotalsSchema, required=True)


SHAPES: tuple[type[Schema], ...] = (
    BalanceSchema,
    BalancesSchema,
    TrialBalanceSchema,
    BalanceSheetSchema,
    IncomeStatementSchema,
    StatementSchema,
)
