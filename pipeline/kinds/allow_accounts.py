"""allow_accounts: an unknown account whose code fits a pattern is opened when it is first used.

It is opened within the operation that first debits or credits it, or holds for it; if that is
refused, it is not opened. The longest pattern that fits decides.
"""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.kind import Body, Kind
from pipeline.kinds.open_account import stored_overdraft
from pipeline.ledger import TYPES, Books, Effect, Entry
from pipeline.refusal import refuse
from pipeline.settings import RULES_MAX, AccountRule, with_rule


class Schema(fields.OperationSchema):
    """Which codes, and what their accounts are like. Without a currency each keeps its first."""

    pattern = rule_fields.pattern(required=True)
    type = fields.one_of(TYPES)
    currency = fields.currency(required=False)
    overdraft = fields.overdraft(load_default=0)


def currencies(body: Body) -> tuple[str, ...]:
    """The currency that the accounts keep, if it is given."""
    return (body["currency"],) if "currency" in body else ()


def apply(books: Books, entry: Entry) -> Effect:
    """Nothing moves."""
    body, rules = entry.body, books.settings.accounts
    pattern = body["pattern"]
    if pattern not in rules and len(rules) >= RULES_MAX:
        return refuse("too_many_rules", limits=RULES_MAX)
    rule = AccountRule(
        pattern, body["type"], body.get("currency"), stored_overdraft(body["overdraft"])
    )
    books.settings = with_rule(books.settings, entry.position, "accounts", pattern, rule)
    return []


KIND = Kind(
    name="allow_accounts",
    posts=False,
    schema=Schema(),
    example={
        "kind": "allow_accounts",
        "pattern": "customers:*",
        "type": "liability",
        "currency": "USD",
        "overdraft": 0,
    },
    currencies=currencies,
    apply=apply,
    opens=True,
    alone=True,
)
