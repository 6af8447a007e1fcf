"""set_limit: from here on, no more than an amount per operation, day or month.

It counts what comes after it. Another amount for the same limit keeps what is used of it; any other
change makes a new limit, of which nothing is used.
"""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.counted import counts
from pipeline.kinds.kind import Kind
from pipeline.kinds.transfer import currencies
from pipeline.ledger import Books, Effect, Entry
from pipeline.limits import PERIODS
from pipeline.refusal import refuse
from pipeline.settings import RULES_MAX, Limit, with_rule


class Schema(fields.OperationSchema):
    """What is limited, to how much."""

    name = rule_fields.rule_name()
    per = fields.one_of(PERIODS)
    account = rule_fields.pattern(required=False)
    operation_kind = rule_fields.kind_that(counts)
    role = rule_fields.role()
    currency = fields.currency()
    amount = rule_fields.minor_units("A limit")


def apply(books: Books, entry: Entry) -> Effect:
    """Nothing moves."""
    body, limits = entry.body, books.settings.limits
    name, before = body["name"], limits.get(body["name"])
    if before is None and len(limits) >= RULES_MAX:
        return refuse("too_many_rules", limits=RULES_MAX)
    limit = Limit(
        name=name,
        per=body["per"],
        currency=body["currency"],
        amount=body["amount"],
        account=body.get("account"),
        operation_kind=body.get("operation_kind"),
        role=body.get("role"),
        since=entry.position,
    )
    if before is not None and before == limit._replace(amount=before.amount, since=before.since):
        limit = limit._replace(since=before.since)
    books.settings = with_rule(books.settings, entry.position, "limits", name, limit)
    return []


KIND = Kind(
    name="set_limit",
    posts=False,
    schema=Schema(),
    example={
        "kind": "set_limit",
        "name": "daily-out",
        "per": "day",
        "account": "customers:*",
        "currency": "USD",
        "amount": 1000000,
    },
    currencies=currencies,
    apply=apply,
    alone=True,
)
