"""What the clients of the jack hammer ask for: payments, holds, decisions, and all other kinds.

A decision names an operation by an id that some client was told. All clients draw from the same few
ids, so that several decide about the same operation at once.
"""

import datetime as dt
import random
import threading
from collections import defaultdict
from collections.abc import Callable

from tests.chaos import contents_rules, personal
from tests.chaos.contents_rules import AMOUNT_MAX, Content
from tests.chaos.history import Attempt

# Out of a hundred operations so many are of each sort; the rest are transfers. `misfit` decides
# what does not wait for it, `foreign` names an operation of the other tenant.
MIX = {
    "hold": 10,
    "capture": 9,
    "release": 6,
    "reversal": 8,
    "misfit": 2,
    "foreign": 2,
    "group": 6,
    "exchange": 4,
    "fee": 3,
    "condition": 3,
    "large": 6,
    "approve": 8,
    "refuse": 3,
    "limit": 4,
    "schedule": 2,
}
SORTS = [sort for sort, share in MIX.items() for _ in range(share)]
# Out of a hundred: holds that expire; captures that give back the rest; decisions about a part.
EXPIRING, FINAL, IN_PART = 25, 30, 60
# So soon that all have expired before the run is looked at (jackhammer.STRAGGLERS_S).
EXPIRES_WITHIN_S = 5
# Ids that are decided about at a time: fewer than there are clients.
CONTESTED = 6
TO_REVERSE = ("transfer", "capture", "exchange", "group")
# With more than so many holds of a tenant its money would all be held: one is released instead.
HELD_MAX = 14

FRESH: dict[str, Callable[[random.Random], Content]] = {
    "exchange": contents_rules.exchange,
    "fee": contents_rules.fee,
    "condition": contents_rules.condition,
    "large": contents_rules.large,
    "limit": contents_rules.limit,
    "schedule": contents_rules.schedule,
}


class Told:
    """The ids that clients were told, by tenant: what is held, what waits, what may be reversed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, list[str]] = defaultdict(list)
        self._paid: dict[str, list[str]] = defaultdict(list)
        self._waiting: dict[str, list[str]] = defaultdict(list)

    def take(self, attempt: Attempt) -> None:
        """What an answer tells: one more to decide about, or one that is decided."""
        if attempt.result != "ok":
            return
        content, kind = attempt.content, attempt.content["kind"]
        held, paid = self._held[attempt.tenant], self._paid[attempt.tenant]
        waiting = self._waiting[attempt.tenant]
        large = kind == "transfer" and content["amount"] > AMOUNT_MAX
        with self._lock:
            if large and attempt.id not in waiting:
                waiting.append(attempt.id)
                del waiting[:-CONTESTED]
            if kind == "hold" and attempt.id not in held:
                held.append(attempt.id)
            if kind in TO_REVERSE and not large and attempt.id not in paid:
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

    def waiting(self, tenant: str) -> list[str]:
        """The newest that wait for approvals, or have waited: several people decide about each."""
        with self._lock:
            return list(self._waiting[tenant])


def ends(content: Content) -> bool:
    """Whether nothing is left of a hold after this."""
    if content["kind"] == "capture":
        return "amount" not in content or bool(content.get("final"))
    return bool(content["kind"] == "release")


def draw(choose: random.Random, told: Told, tenant: str, other: str) -> Content:
    """The next operation of the tenant; now and then about somebody."""
    return personal.about(choose, _drawn(choose, told, tenant, other))


def _drawn(choose: random.Random, told: Told, tenant: str, other: str) -> Content:
    """A transfer while there is nothing to decide about."""
    at = choose.randrange(100)
    sort = SORTS[at] if at < len(SORTS) else "transfer"
    held = told.held(tenant)
    if sort == "hold" and len(held) >= HELD_MAX:
        sort = "release"
    if sort == "hold":
        return hold(choose)
    if sort in FRESH:
        return FRESH[sort](choose)
    if sort == "group":
        return contents_rules.group(choose, held[:CONTESTED])
    return _deciding(choose, sort, told, tenant, other) or contents_rules.payment(choose)


def _deciding(
    choose: random.Random, sort: str, told: Told, tenant: str, other: str
) -> Content | None:
    """An operation about another one, if there is one."""
    held, paid = told.held(tenant), told.paid(tenant)
    kind, targets = sort, list[str]()
    match sort:
        case "capture" | "release":
            targets = held[:CONTESTED]
        case "reversal":
            targets = paid
        case "approve" | "refuse":
            targets = told.waiting(tenant)
        case "misfit" if held and paid:
            kind, named = choose.choice((("capture", paid), ("release", paid), ("reversal", held)))
            targets = named[-1:]
        case "foreign":
            kind = choose.choice(("capture", "release", "reversal"))
            targets = told.held(other) + told.paid(other)
    return decision(choose, kind, choose.choice(targets)) if targets else None


def hold(choose: random.Random) -> Content:
    """The same, reserved; now and then until a time that is near."""
    content = {**contents_rules.payment(choose), "kind": "hold"}
    if choose.randrange(100) < EXPIRING:
        soon = dt.timedelta(seconds=choose.randint(1, EXPIRES_WITHIN_S))
        content["expires_at"] = (dt.datetime.now(dt.UTC) + soon).isoformat()
    return content


def decision(choose: random.Random, kind: str, target: str) -> Content:
    """All of what is left of the target, or a part: perhaps more than there is."""
    content: Content = {"kind": kind, "target": target}
    if kind in ("capture", "reversal") and choose.randrange(100) < IN_PART:
        content["amount"] = choose.randint(1, AMOUNT_MAX)
        if kind == "capture" and choose.randrange(100) < FINAL:
            content["final"] = True
    return content


def altered(choose: random.Random, content: Content) -> Content:
    """Another content for the same key."""
    match choose.randrange(4):
        case 3 if "personal" in content:
            return {**content, "personal": personal.other(choose, content["personal"])}
        case 0 if content.get("amount", AMOUNT_MAX + 1) <= AMOUNT_MAX:
            return {**content, "amount": content["amount"] % AMOUNT_MAX + 1}
        case 1 if content["kind"] in ("transfer", "hold"):
            swapped = {"source": content["destination"], "destination": content["source"]}
            return {**content, **swapped}
        case _:
            return {**content, "description": "altered"}
