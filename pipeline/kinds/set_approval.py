"""set_approval: from here on, an operation of more than an amount waits for other people.

What waits already goes on waiting for as many people as it did. Where it would loosen the rule of
its name, it waits for approvals under that rule itself. One of the kind set_limit is over limits:
taking one away, or letting more than the amount pass, waits.
"""

from pipeline.kinds import fields, rule_fields
from pipeline.kinds.approvals import APPROVER, ROLES, SET, SET_LIMIT, approval_of
from pipeline.kinds.kind import Kind
from pipeline.kinds.transfer import currencies
from pipeline.ledger import Books, Effect, Entry
from pipeline.refusal import refuse
from pipeline.settings import RULES_MAX, with_rule

PEOPLE_MAX = 5
# Nobody looks at what waits every second, and what waits for more than a year is forgotten.
EXPIRES_MIN_S = 60
EXPIRES_MAX_S = 366 * 24 * 60 * 60


def may_wait(kind: Kind) -> bool:
    """Whether a rule may be for the kind."""
    return rule_fields.moves(kind) or kind.name == SET_LIMIT


class Schema(fields.OperationSchema):
    """What waits, and for whom."""

    name = rule_fields.rule_name()
    operation_kind = rule_fields.kind_that(may_wait)
    role = rule_fields.role()
    currency = fields.currency()
    above = rule_fields.minor_units("A threshold")
    people = rule_fields.count(1, PEOPLE_MAX, load_default=1)
    by_role = rule_fields.choice(ROLES, otherwise=APPROVER)
    expires_after_s = rule_fields.count(EXPIRES_MIN_S, EXPIRES_MAX_S)


def apply(books: Books, entry: Entry) -> Effect:
    """Nothing moves."""
    body, rules = entry.body, books.settings.approvals
    name = body["name"]
    if name not in rules and len(rules) >= RULES_MAX:
        return refuse("too_many_rules", limits=RULES_MAX)
    rule = approval_of(body)
    books.settings = with_rule(books.settings, entry.position, "approvals", name, rule)
    return []


KIND = Kind(
    name=SET,
    posts=False,
    schema=Schema(),
    example={
        "kind": "set_approval",
        "name": "large",
        "operation_kind": "transfer",
        "currency": "USD",
        "above": 100000,
        "people": 1,
        "by_role": "approver",
        "expires_after_s": 604800,
    },
    currencies=currencies,
    apply=apply,
    alone=True,
)
