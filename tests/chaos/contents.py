"""What the clients of the jack hammer ask for: payments, holds, and decisions about either.

A decision names an operation by an id that some client was told. All clients draw from the same few
ids, so that several decide about the same operation at once.
"""

import datetime as dt
import random
import threading
from collections import defaultdict
from typing import Any

from tests.chaos.history import Attempt

ACCOUNTS = [f"customers:{number}" for number in range(1, 9)]
AMOUNT_MAX = 5
# Out of a hundred operations so many are of each sort; the rest are transfers. `misfit` decides
# what does not wait for it, `foreign` names an operation of the other tenant.
MIX = {"hold": 10, "capture": 9, "release": 6, "reversal": 8, "misfit": 2, "foreign": 2}
SORTS = [sort for sort, share in MIX.items() for _ in range(share)]
# Out of a hundred: holds that expire; captures that give back the rest; decisions about a part.
EXPIRING, FINAL, IN_PART = 25, 30, 60
# So soon that all have expired before the run is looked at (jackhammer.STRAGGLERS_S).
EXPIRES_WITHIN_S = 5
# Ids that are decided about at a time: fewer than there are clients.
CONTESTED = 6
# With more than so many holds of a tenant its money would all be held: one is released instead.
HELD_MAX = 14

Content = dict[str, Any]


class Told:
    """The ids that clients were told, by tenant: what is still held, and what may be reversed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, list[str]] = defaultdict(list)
        self._paid: dict[str, list[str]] = defaultdict(list)

    def take(self, attempt: Attempt) -> None:
        """What an answer tells: one more to decide about, or one that is decided."""
        if attempt.result != "ok":
            return
        content, kind = attempt.content, attempt.content["kind"]
        held, paid = self._held[attempt.tenant], self._paid[attempt.tenant]
        with self._lock:
            if kind == "hold" and attempt.id not in held:
                held.append(attempt.id)
            if kind in ("transfer", "capture") and attempt.id not in paid:
                paid.append(attempt.id)
                del paid[:-CONTESTED]
            if ends(content) and content["target"] in held:
                held.remove(content["target"])

    def held(self, tenant: str) -> list[str]:
        """What is held, the oldest first, as far as anybody knows."""
        with self._lock:
            return list(self._held[tenant])

    def paid(self, tenant: str) -> list[str]:
        """The newest payments and captures."""
        with self._lock:
            return list(self._paid[tenant])


def ends(content: Content) -> bool:
    """Whether nothing is left of a hold after this."""
    if content["kind"] == "capture":
        return "amount" not in content or bool(content.get("final"))
    return bool(content["kind"] == "release")


def draw(choose: random.Random, told: Told, tenant: str, other: str) -> Content:
    """The next operation of the tenant; a transfer while there is nothing to decide about."""
    at = choose.randrange(100)
    sort = SORTS[at] if at < len(SORTS) else "transfer"
    held, paid = told.held(tenant), told.paid(tenant)
    if sort == "hold" and len(held) >= HELD_MAX:
        sort = "release"
    match sort:
        case "hold":
            return hold(choose)
        case "capture" | "release" if held:
            return decision(choose, sort, choose.choice(held[:CONTESTED]))
        case "reversal" if paid:
            return decision(choose, sort, choose.choice(paid))
        case "misfit" if held and paid:
            pairs = ("capture", paid), ("release", paid), ("reversal", held)
            kind, targets = choose.choice(pairs)
            return decision(choose, kind, targets[-1])
        case "foreign" if theirs := told.held(other) + told.paid(other):
            kind = choose.choice(("capture", "release", "reversal"))
            return decision(choose, kind, choose.choice(theirs))
    return {"kind": "transfer", **movement(choose)}


def movement(choose: random.Random) -> Content:
    """An amount from one account to another."""
    source, destination = choose.sample(ACCOUNTS, 2)
    amount = choose.randint(1, AMOUNT_MAX)
    return {"source": source, "destination": destination, "amount": amount, "currency": "EUR"}


def hold(choose: random.Random) -> Content:
    """The same, reserved; now and then until a time that is near."""
    content = {"kind": "hold", **movement(choose)}
    if choose.randrange(100) < EXPIRING:
        soon = dt.timedelta(seconds=choose.randint(1, EXPIRES_WITHIN_S))
        content["expires_at"] = (dt.datetime.now(dt.UTC) + soon).isoformat()
    return content


def decision(choose: random.Random, kind: str, target: str) -> Content:
    """All of what is left of the target, or a part: perhaps more than there is."""
    content: Content = {"kind": kind, "target": target}
    if kind != "release" and choose.randrange(100) < IN_PART:
        content["amount"] = choose.randint(1, AMOUNT_MAX)
        if kind == "capture" and choose.randrange(100) < FINAL:
            content["final"] = True
    return content


def altered(choose: random.Random, content: Content) -> Content:
    """Another content for the same key."""
    match choose.randrange(3):
        case 0 if "amount" in content:
            return {**content, "amount": content["amount"] % AMOUNT_MAX + 1}
        case 1 if "source" in content:
            swapped = {"source": content["destination"], "destination": content["source"]}
            return {**content, **swapped}
        case _:
            return {**content, "description": "altered"}
