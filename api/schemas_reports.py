"""The shapes of reports, for the OpenAPI document. reports.py builds the answers."""

from marshmallow import Schema, fields

from api.report_queries import BASES
from api.schema_fields import choice, day, flag, integer, minor, says, text, time
from pipeline.ledger import TYPES

CURRENCY = "ISO 4217."
COMPLETE = "Whether all of the log that belongs to it is posted already; if not, it may change."


class MomentSchema(Schema):
    """Which operations count."""

    ledger = text("The ledger.")
    at = time("The time of acceptance that was asked for.", nullable=True)
    effective = day("The effective date that was asked for.", nullable=True)
    position = integer("The last operation of the log that may count.")
    complete = fields.Boolean(required=True, metadata=says(COMPLETE))


class BalanceSchema(MomentSchema):
    """What an account held at a moment."""

    object = text("`balance`")
    account = text("The account's code.")
    type = choice(TYPES, "It decides the normal side.")
    currency = text(CURRENCY)
    balance = minor("On the account's normal side.")


class NodeSchema(Schema):
    """All accounts of one currency whose codes are `code` or go on from it."""

    code = text("The first parts of their codes.", example="customers:eu")
    depth = integer("How many parts these are.")
    currency = text(CURRENCY)
    accounts = integer("How many accounts these are.")
    balance = minor("On their normal side; null where they have different ones.", nullable=True)
    net = minor("Credits less debits.")


class BalancesSchema(MomentSchema):
    """Balances, rolled up along the codes of the accounts."""

    object = text("`balances`")
    prefix = text("Which accounts were asked for.")
    rows = fields.List(fields.Nested(NodeSchema), required=True)


class RowSchema(Schema):
    """An account, or the accounts of one type and currency whose codes begin with `code`."""

    code = text("The account's code, or its first parts.")
    name = text("The account's name.", nullable=True)
    type = choice(TYPES, "What it is in the books.")
    currency = text(CURRENCY)
    accounts = integer("How many accounts these are.")


class TrialRowSchema(RowSchema):
    """A row with its debit and credit balances."""

    debit = minor("The sum of debit balances.")
    credit = minor("The sum of credit balances.")


class BalanceRowSchema(RowSchema):
    """A row with its balance."""

    balance = minor("On the normal side of its type.")


class TrialTotalSchema(Schema):
    """The totals of a currency."""

    currency = text(CURRENCY)
    debit = minor("All debit balances.")
    credit = minor("All credit balances.")
    balanced = flag("Whether they are equal.")


class TrialBalanceSchema(MomentSchema):
    """Every account's balance as a debit or a credit, and whether they add up to the same."""

    object = text("`trial_balance`")
    rows = fields.List(fields.Nested(TrialRowSchema), required=True)
    totals = fields.List(fields.Nested(TrialTotalSchema), required=True)


class SheetTotalSchema(Schema):
    """The totals of a currency."""

    currency = text(CURRENCY)
    assets = minor("All assets.")
    liabilities = minor("All liabilities.")
    equity = minor("All equity accounts.")
    current_result = minor("Income less expense that is not closed into equity yet.")
    balanced = flag("Whether assets equal all the others together.")


class BalanceSheetSchema(MomentSchema):
    """What there is, what is owed, and what is left."""

    object = text("`balance_sheet`")
    assets = fields.List(fields.Nested(BalanceRowSchema), required=True)
    liabilities = fields.List(fields.Nested(BalanceRowSchema), required=True)
    equity = fields.List(fields.Nested(BalanceRowSchema), required=True)
    totals = fields.List(fields.Nested(SheetTotalSchema), required=True)


class IncomeTotalSchema(Schema):
    """The totals of a currency."""

    currency = text(CURRENCY)
    income = minor("All income.")
    expenses = minor("All expenses.")
    result = minor("Income less expenses.")


class IncomeStatementSchema(Schema):
    """What income and expense accounts did in a period."""

    object = text("`income_statement`")
    ledger = text("The ledger.")
    basis = choice(BASES, "By time of acceptance or by effective date.")
    since = text("The beginning of the period.", nullable=True)
    until = text("Its end, which is not part of it.", nullable=True)
    complete = fields.Boolean(required=True, metadata=says(COMPLETE))
    income = fields.List(fields.Nested(BalanceRowSchema), required=True)
    expenses = fields.List(fields.Nested(BalanceRowSchema), required=True)
    totals = fields.List(fields.Nested(IncomeTotalSchema), required=True)


class StatementLineSchema(Schema):
    """One posting."""

    position = integer("The operation's place in the log.")
    operation = text("The id of the operation.")
    kind = text("Its kind.")
    idempotency_key = text("The key under which it was stored.")
    accepted_at = time("When it was accepted.")
    effective_date = text("Its effective date, or the day of acceptance.", format="date")
    description = text("Its description.", nullable=True)
    amount = minor("Minor units, positive.")
    direction = choice(("debit", "credit"), "Which side of the account.")
    balance = minor("The balance behind it, on the account's normal side.")


class StatementTotalsSchema(Schema):
    """The sums of the lines."""

    lines = integer("How many lines there are.")
    debits = minor("All debits.")
    credits = minor("All credits.")


class StatementSchema(Schema):
    """What an account did in a period."""

    object = text("`statement`")
    ledger = text("The ledger.")
    account = text("The account's code.")
    name = text("The account's name.", nullable=True)
    type = choice(TYPES, "It decides the normal side.")
    currency = text(CURRENCY)
    basis = choice(BASES, "By time of acceptance or by effective date.")
    since = text("The beginning of the period.", nullable=True)
    until = text("Its end, which is not part of it.", nullable=True)
    complete = fields.Boolean(required=True, metadata=says(COMPLETE))
    opening_balance = minor("Before the first line, on the normal side.")
    closing_balance = minor("Behind the last line.")
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
