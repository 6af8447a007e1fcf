"""Who asks, and whether it may: the principal of a request and the action that a route takes."""

from collections.abc import Iterable

from flask import g, request

from api.errors import Problem
from api.state import state
from api.tokens import Principal
from pipeline.permissions import ROLES, SUBMIT, allowed, for_subject, may_submit, roles_for


def may(action: str) -> Principal:
    """Who asks, if it may do this; raises Problem.

    `operation.*` is what a route takes that takes any kind: it is for those who may submit one.
    """
    who = principal()
    if action != SUBMIT:
        demand(who, action)
    elif not may_submit(who.roles, who.scopes):
        raise _forbidden(
            who, action, frozenset(role for role in ROLES if may_submit(frozenset({role})))
        )
    return who


def demand(who: Principal, action: str) -> None:
    """Refuse a principal that may not do this."""
    if not for_subject(who.subject, action):
        raise Problem("forbidden", f"This takes `{action}`, which is for people, not for API keys.")
    if not allowed(who.roles, action, who.scopes):
        raise _forbidden(who, action, roles_for(action))


def principal() -> Principal:
    """Who asks; raises Problem."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(
            "token_missing",
            "Send the header `Authorization: Bearer TOKEN`; `trident token` makes a token.",
        )
    held = state()
    who = held.tokens.principal(token.strip())
    if "tenant_id" not in g:  # a request counts once, however often it is asked who makes it
        held.gate.admit(who)
    return who


def _forbidden(who: Principal, action: str, roles: frozenset[str]) -> Problem:
    """What it takes, and what the principal has of it."""
    if not roles.isdisjoint(who.roles):
        return Problem(
            "forbidden",
            f"This takes `{action}`, which the token's scopes leave out: {_named(who.scopes)}.",
        )
    return Problem(
        "forbidden",
        f"This takes `{action}`, which is for the roles"
        f" {_named(role for role in ROLES if role in roles)}; the token has"
        f" {_named(sorted(who.roles))}. Ask for a token with such a role.",
    )


def _named(words: Iterable[str] | None) -> str:
    return ", ".join(words or ()) or "none"
