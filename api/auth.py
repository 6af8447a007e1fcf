"""Who asks, and whether it may: the principal of a request and the roles that a route takes."""

from collections.abc import Iterable

from flask import request

from api.errors import Problem
from api.state import state
from api.tokens import Principal

READERS = frozenset({"admin", "operator", "submitter", "approver", "auditor"})


def reader() -> Principal:
    """Who asks, if it may read; raises Problem."""
    return one_of(READERS)


def one_of(roles: Iterable[str]) -> Principal:
    """Who asks, if it has one of the roles; raises Problem."""
    who = principal()
    demand(who, roles)
    return who


def demand(who: Principal, roles: Iterable[str]) -> None:
    """Refuse a principal that has none of the roles."""
    if who.roles.isdisjoint(roles):
        raise Problem(
            "forbidden",
            f"This takes one of the roles {', '.join(sorted(roles))}; the token has"
            f" {', '.join(sorted(who.roles)) or 'none'}. Ask for a token with such a role.",
        )


def principal() -> Principal:
    """Who asks; raises Problem."""
    scheme, _, token = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Problem(
            "token_missing",
            "Send the header `Authorization: Bearer TOKEN`; `trident token` makes a token.",
        )
    return state().tokens.principal(token.strip())
