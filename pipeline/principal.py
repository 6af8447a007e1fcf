"""The principal that was recorded with an operation: who it was, and what it might do."""

import unicodedata
from functools import lru_cache
from typing import Any

import orjson

from pipeline.refusal import Refusal, refuse

# The role of what Trident submits by itself when its time has come. No client has it.
SCHEDULER = "scheduler"
# The role of what tells of events (pipeline/events.py). No client has it.
RECORDER = "recorder"


# A process meets few principals, again and again.
@lru_cache(maxsize=1024)
def read_principal(text: str) -> dict[str, Any]:
    """`sub`, `roles`, and `limits` by currency, `scopes`, `ledgers` and `by` if it has any.

    A currency that `limits` does not name is one that the principal may not move; `scopes` narrow
    what its roles permit, and `ledgers` are the names of those that it may see. `by` are those who
    have seen the secret of the API key that asked.
    """
    principal: dict[str, Any] = orjson.loads(text)
    return principal


def actor_of(text: str) -> str:
    """Who it was."""
    return str(read_principal(text).get("sub", ""))


@lru_cache(maxsize=1024)
def person_of(actor: str) -> str:
    """The actor in one spelling: without capitals, spaces around it and variants of letters.

    Only ever to say that two are the same person; what somebody may do is theirs by exact name.
    """
    return unicodedata.normalize("NFKC", actor).casefold().strip()


@lru_cache(maxsize=1024)
def persons_of(text: str) -> frozenset[str]:
    """Everybody who may have been behind it: itself, and who has seen the secret of its key."""
    principal = read_principal(text)
    return frozenset(map(person_of, (principal.get("sub", ""), *principal.get("by", ()))))


def refuse_over_limit(text: str, currency: str, amount: int) -> Refusal | None:
    """Whether the amount is above what the principal's token let one operation move."""
    limits = read_principal(text).get("limits")
    if limits is None or amount <= limits.get(currency, 0):
        return None
    return refuse("limit_exceeded", currency=currency, amount=amount, limit=limits.get(currency))
