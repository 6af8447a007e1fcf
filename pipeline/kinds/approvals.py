"""Which operations wait for other people, and who may approve them.

An operation of more than a rule's amount takes no effect where it stands in the log: it is pending,
and the last approval that it needs applies it, at its own place. Which rule it is under is judged
anew for each approval, by the rules that are in force then.

A rule is over its own removal as well, and over what would loosen it: else who wants to get around
it would take it away first. A rule of the kind set_limit is over the limits of its currency in the
same way: over what takes one away, and what would let more than the rule's amount pass.
"""

import datetime as dt

import pipeline.kinds as every_kind
from pipeline.decide import begin
from pipeline.kinds.kind import Body
from pipeline.ledger import Books, Entry
from pipeline.limits import limit_of
from pipeline.permissions import permits
from pipeline.principal import read_principal, refuse_over_limit
from pipeline.refusal import Refusal
from pipeline.settings import Approval, Limit, Settings

APPROVER, ADMIN = "approver", "admin"
REMOVE, SET = "remove_approval", "set_approval"
CHANGES = frozenset({REMOVE, SET})
REMOVE_LIMIT, SET_LIMIT = "remove_limit", "set_limit"
LIMITS = frozenset({REMOVE_LIMIT, SET_LIMIT})
# The roles that a rule may name. Who may do `approvals.any` approves under any rule.
ROLES = (APPROVER, "operator", ADMIN)


def rule_over(settings: Settings, name: str, body: Body, principal: str) -> Approval | None:
    """The rule under which the operation, or one that it holds, needs approvals.

    Of several the one that asks for most people, then for admins, then that of the highest
    threshold: else a new one, which holds at once, would let others approve what takes an admin.
    """
    if name in CHANGES:
        return _loosened(settings, name, body)
    roles = read_principal(principal).get("roles", ())
    limit = settings.limits.get(body["name"]) if name in LIMITS else None
    found = [
        rule
        for rule in settings.approvals.values()
        if (rule.role is None or rule.role in roles)
        and (_is_above(rule, name, body) if limit is None else _lifts(rule, limit, name, body))
    ]
    return max(found, key=_strictness, default=None)


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


def approval_of(body: Body) -> Approval:
    """The rule that the body of a set_approval makes."""
    return Approval(
        name=body["name"],
        currency=body["currency"],
        above=body["above"],
        people=body["people"],
        by_role=body["by_role"],
        operation_kind=body.get("operation_kind"),
        role=body.get("role"),
        expires_after_s=body.get("expires_after_s"),
    )


def _strictness(rule: Approval) -> tuple[int, bool, int]:
    return rule.people, rule.by_role == ADMIN, rule.above


def _loosened(settings: Settings, name: str, body: Body) -> Approval | None:
    """The rule that would be taken away, or let something pass that waits under it now."""
    rule = settings.approvals.get(body["name"])
    if rule is None or (name == SET and _holds_as_much(approval_of(body), rule)):
        return None
    return rule


def _holds_as_much(new: Approval, rule: Approval) -> bool:
    """Whether all that waits under the rule waits under the new one, for as many such people."""
    return (
        new.currency == rule.currency
        and new.above <= rule.above
        and new.people >= rule.people
        and new.by_role == rule.by_role
        and (
            new.operation_kind == rule.operation_kind
            or (new.operation_kind is None and rule.operation_kind != SET_LIMIT)
        )
        and new.role in (None, rule.role)
    )


def _lifts(rule: Approval, limit: Limit, name: str, body: Body) -> bool:
    """Whether the rule is over the limit, and this would let pass what it does not."""
    if rule.operation_kind != SET_LIMIT or rule.currency != limit.currency:
        return False
    if name == REMOVE_LIMIT:
        return True
    new = limit_of(body, limit.since)
    # Of another limit nothing is used, however narrow it is.
    another = new._replace(amount=limit.amount) != limit
    return another or new.amount > max(limit.amount, rule.above)


def _is_above(rule: Approval, name: str, body: Body) -> bool:
    kind = every_kind.kind_of(name)
    if (
        rule.operation_kind in (None, name)
        and kind.amounts(body).get(rule.currency, 0) > rule.above
    ):
        return True
    return any(_is_above(rule, *inner) for inner in kind.inner(body))
