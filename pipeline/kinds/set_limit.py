"""set_limit: from here on, no more than an amount per operation, day or month.

It counts what comes after it. Another amount for the same limit keeps what is used of it; any other
change makes a new limit, of which nothing is used. Where it would loosen the limit of its name, it
waits under a rule of approvals that is over limits, if there is one.
"""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.approvals import SET_LIMIT
from pipeline.kinds.counted import counts
from pipeline.kinds.kind import Kind
from pipeline.kinds.transfer import currencies
from pipeline.ledger import Books, Effect, Entry
from pipeline.limits import PERIODS, limit_of
from pipeline.refusal import refuse
from pipeline.settings import RULES_MAX, with_rule


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
    limit = limit_of(body, entry.position)
    if before is not None and before == limit._replace(amount=before.amount, since=before.since):
        limit = limit._replace(since=before.since)
    books.settings = with_rule(books.settings, entry.position, "limits", name, limit)
    return []


KIND = Kind(
    name=SET_LIMIT,
    posts=False,
    schema=Schema(),
    example={
        "kind": SET_LIMIT,
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
