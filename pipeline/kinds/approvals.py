"""Which operations wait for other people, and who may approve them.

An operation of more than a rule's amount takes no effect where it stands in the log: it is pending,
and the last approval that it needs applies it, at its own place. Which rule it is under is judged
anew for each approval, by the rules that are in force then.
"""

import datetime as dt

import pipeline.kinds as every_kind
from pipeline.decide import begin
from pipeline.kinds.kind import Body
from pipeline.ledger import Books, Entry
from pipeline.permissions import permits
from pipeline.principal import read_principal, refuse_over_limit
from pipeline.refusal import Refusal
from pipeline.settings import Approval, Settings

APPROVER = "approver"
# The roles that a rule may name. Who may do `approvals.any` approves under any rule.
ROLES = (APPROVER, "operator", "admin")


def rule_over(settings: Settings, name: str, body: Body, principal: str) -> Approval | None:
    """The rule under which the operation, or one that it holds, needs approvals.

    Of several the one that asks for most people, then that of the highest threshold.
    """
    roles = read_principal(principal).get("roles", ())
    found = [
        rule
        for rule in settings.approvals.values()
        if (rule.role is None or rule.role in roles) and _is_above(rule, name, body)
    ]
    return max(found, key=lambda rule: (rule.people, rule.above), default=None)


def wait(books: Books, entry: Entry, rule: Approval) -> None:
    """The operation waits for so many people, until it is due."""
    due = None
    if rule.expires_after_s is not None:
        due = entry.accepted_at + dt.timedelta(seconds=rule.expires_after_s)
    begin(books, entry, "wait", rule.people, due)


def may_approve(rule: Approval | None, principal: str) -> bool:
    """Whether the roles let the principal approve what is under the rule, or was under one."""
    role = APPROVER if rule is None else rule.by_role
    return role in read_principal(principal).get("roles", ()) or permits(principal, "approvals.any")


def refuse_amounts(principal: str, name: str, body: Body) -> Refusal | None:
    """Whether the operation, or one that it holds, moves more than the principal's token lets it.

    Who approves it is bound by that as well as who has submitted it.
    """
    kind = every_kind.kind_of(name)
    found = [refuse_over_limit(principal, *amount) for amount in kind.amounts(body).items()]
    found += [refuse_amounts(principal, *inner) for inner in kind.inner(body)]
    return next(filter(None, found), None)


def _is_above(rule: Approval, name: str, body: Body) -> bool:
    kind = every_kind.kind_of(name)
    if (
        rule.operation_kind in (None, name)
        and kind.amounts(body).get(rule.currency, 0) > rule.above
    ):
        return True
    return any(_is_above(rule, *inner) for inner in kind.inner(body))
