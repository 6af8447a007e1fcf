"""What an API key may do: never more than who gives it, and never more than who holds it now."""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from pipeline.permissions import TABLE, allowed


class Powers(NamedTuple):
    """What somebody may do. None: neither scopes, nor ledgers, nor limits narrow it."""

    roles: tuple[str, ...]
    scopes: tuple[str, ...] | None = None
    ledgers: tuple[str, ...] | None = None
    limits: Mapping[str, int] | None = None


class BeyondError(Exception):
    """The key would do more than who asks for it: `member` says by what, the message how."""

    def __init__(self, member: str, message: str) -> None:
        super().__init__(message)
        self.member = member


def check_within(powers: Powers, maker: Powers) -> None:
    """Refuse powers that go further than the maker's; raises BeyondError."""
    for action in TABLE:
        if not allowed(powers.roles, action, powers.scopes):
            continue
        if not allowed(maker.roles, action):
            raise BeyondError("roles", f"They permit {action}, which you may not do yourself.")
        if not allowed(maker.roles, action, maker.scopes):
            raise BeyondError("scopes", f"They leave {action} open, which yours leave out.")
    if maker.ledgers is not None and (
        powers.ledgers is None or not set(powers.ledgers) <= set(maker.ledgers)
    ):
        raise BeyondError("ledgers", f"You are for {_named(maker.ledgers)} alone: name of those.")
    if maker.limits is not None and (
        powers.limits is None
        or any(most > maker.limits.get(one, 0) for one, most in powers.limits.items())
    ):
        said = (f"{one}: {most}" for one, most in sorted(maker.limits.items()))
        raise BeyondError("limits", f"Name limits within your own, {_named(said)}.")


def check_end(expires_at: dt.datetime | None, maker: dt.datetime | None) -> None:
    """Refuse a key that would outlive the key that makes it; raises BeyondError."""
    if maker is not None and (expires_at is None or expires_at > maker):
        raise BeyondError("expires_at", f"Your own key ends at {maker.isoformat()}: no later.")


def bounded(powers: Powers, holder: Iterable[str]) -> Powers:
    """What is left of a key's powers: the roles that a holder of such roles might give it now."""
    held = frozenset(holder)
    if held.issuperset(powers.roles):
        return powers
    left = tuple(role for role in powers.roles if _may_give(held, role, powers.scopes))
    return powers._replace(roles=left)


@lru_cache(maxsize=1024)  # Asked every few seconds of every key that is in use.
def _may_give(holder: frozenset[str], role: str, scopes: tuple[str, ...] | None) -> bool:
    try:
        check_within(Powers((role,), scopes), Powers(tuple(holder)))
    except BeyondError:
        return False
    return True


def _named(words: Iterable[str]) -> str:
    return ", ".join(words) or "none"
