"""What the clients of a simulation submit beyond payments and holds: rules, and what they concern.

Each function draws the kind and the body of one operation.
"""

import datetime as dt
from typing import Any, Protocol

from tests.chaos.schedule import EPOCH_S

# Above it, an operation waits for approvals once a ledger asks for them.
ABOVE = 75
# Limits: so much leaves an account, or one operation moves.
LIMIT_MIN, LIMIT_MAX, EACH_MAX = 40, 400, 90
SHARES = ("2.9", "33.333333", "50", "100")
RATES = ("1.5", "0.5", "0.333333", "2")
# Opened when they are first used, once a rule of the ledger allows it.
FIRST_USED = tuple(f"new:{number}" for number in range(4))
ALLOWED: dict[str, Any] = {"pattern": "new:*", "type": "liability", "overdraft": 0}
# Every ledger's exchange accounts open by themselves, and so does the one for the spread.
EXCHANGES: dict[str, Any] = {"pattern": "exchange:*", "type": "asset", "overdraft": "unlimited"}
SPREAD = "exchange:spread"
MODES = (None, "both", "debits", "credits")
START = dt.datetime.fromtimestamp(EPOCH_S, dt.UTC)
# A one-off happens within so many seconds after all began, long or shortly before the last group.
AT_MAX_S = 4
# Approvals are given up after the least time that a rule may have, which is soon (statements/due).
EXPIRES_AFTER_S = 60

Drawn = tuple[str, dict[str, Any]]


class Choosing(Protocol):
    """What draws."""

    def below(self, end: int) -> int:
        """A number from 0 to end - 1."""

    def code(self) -> str:
        """One of the accounts that hold money."""


def first_rules(draw: Choosing) -> list[Drawn]:
    """What a ledger begins with."""
    rules = [("allow_accounts", EXCHANGES)]
    # The rule for approvals twice: what nothing waits for, nobody can approve.
    for one_of in (limit, approval, allow, approval):
        if draw.below(2) == 0:
            rules.append(one_of(draw))
    return rules


def limit(draw: Choosing) -> Drawn:
    """Set, with a narrower or a wider amount, or taken away."""
    name = ("daily", "each")[draw.below(2)]
    if draw.below(5) == 0:
        return "remove_limit", {"name": name}
    body: dict[str, Any] = {"name": name, "per": "operation", "currency": "EUR", "amount": EACH_MAX}
    if name == "daily":
        amount = LIMIT_MIN + draw.below(LIMIT_MAX)
        body |= {"per": ("day", "month")[draw.below(8) == 0], "amount": amount}
        if draw.below(4):
            body["account"] = ("a", "*")[draw.below(2)]
    elif draw.below(2):
        body["operation_kind"] = ("transfer", "hold")[draw.below(2)]
    return "set_limit", body


def approval(draw: Choosing) -> Drawn:
    """Set, for one or two people, or taken away; over what is large, or over limits."""
    name = ("large", "large", "caps")[draw.below(3)]
    if draw.below(5) == 0:
        return "remove_approval", {"name": name}
    body = {"name": name, "currency": "EUR", "above": ABOVE, "people": 1 + draw.below(2)}
    body["by_role"] = "approver"
    if name == "caps":
        body["operation_kind"] = "set_limit"
    if draw.below(4) == 0:
        body["expires_after_s"] = EXPIRES_AFTER_S
    return "set_approval", body


def allow(draw: Choosing) -> Drawn:
    """Accounts of a pattern open by themselves, or no longer."""
    if draw.below(4) == 0:
        return "disallow_accounts", {"pattern": ALLOWED["pattern"]}
    return "allow_accounts", ALLOWED


def movement(draw: Choosing, most: int) -> dict[str, Any]:
    """An amount that leaves an account."""
    source, destination, amount = draw.code(), draw.code(), 1 + draw.below(most)
    if destination == source:
        destination = "world"
    return {"source": source, "destination": destination, "amount": amount, "currency": "EUR"}


def fee(draw: Choosing, most: int) -> Drawn:
    """A transfer with a fee that is fixed, or a share."""
    fee: dict[str, Any] = {"account": draw.code()}
    fee |= {"share": SHARES[draw.below(3)]} if draw.below(3) else {"amount": 1 + draw.below(5)}
    if "share" in fee and draw.below(2):
        fee["max"] = 10
    payer = ("source", "destination")[draw.below(2)]
    return "transfer", {**movement(draw, most), "fees": [fee], "fees_from": payer}


def conditional(draw: Choosing, most: int) -> Drawn:
    """A transfer that asks for a version or a balance, which may or may not be met."""
    wanted: tuple[dict[str, Any], ...] = (
        {"version": draw.below(8)},
        {"balance": {"gte": draw.below(most)}},
        {"available": {"gte": draw.below(most)}},
    )
    side = ("source", "destination")[draw.below(2)]
    return "transfer", {**movement(draw, most), "require": {side: wanted[draw.below(3)]}}


def exchange(draw: Choosing, most: int) -> Drawn:
    """Euros become dollars or the other way round, at a rate that does not divide evenly."""
    sides, currencies = [draw.code(), "usd"], ["EUR", "USD"]
    if draw.below(3) == 0:
        sides.reverse()
        currencies.reverse()
    body: dict[str, Any] = dict(zip(("source", "destination"), sides, strict=True))
    body |= dict(zip(("currency", "to_currency"), currencies, strict=True))
    body |= {"amount": 1 + draw.below(most), "rate": RATES[draw.below(len(RATES))]}
    if draw.below(2) and currencies[1] == "USD":
        body["spread"] = {"account": SPREAD, "share": SHARES[draw.below(2)]}
    return "exchange", body


def shared(draw: Choosing, most: int) -> Drawn:
    """A journal whose legs divide a total."""
    share = SHARES[draw.below(3)]
    legs = [
        {"account": "world", "direction": "debit", "share": "100"},
        {"account": draw.code(), "direction": "credit", "share": share},
        {"account": draw.code(), "direction": "credit", "remainder": True},
    ]
    total = {"amount": 2 + draw.below(most), "currency": "EUR"}
    return "journal", {"total": total, "legs": legs}


def group(draw: Choosing, most: int, targets: list[str]) -> Drawn:
    """Up to five operations, of which one may fail: by what it names, or for want of money."""
    members: list[dict[str, Any]] = []
    for _ in range(1 + draw.below(4)):
        kind, body = (fee, conditional, exchange, shared)[draw.below(4)](draw, most)
        if draw.below(4):
            kind, body = "transfer", {**movement(draw, most), "destination": draw.code()}
            body["source"] = "world"
        members.append({"kind": kind, **body})
    if draw.below(4) == 0:
        failing = {"kind": "transfer", **movement(draw, most), "destination": "nobody"}
        members.insert(draw.below(len(members) + 1), failing)
    if targets and draw.below(2):
        kind = ("capture", "release", "reversal")[draw.below(3)]
        members.append({"kind": kind, "target": targets[draw.below(len(targets))]})
    return "group", {"operations": members}


def schedule(draw: Choosing, most: int) -> Drawn:
    """A payment once, or a minute apart: three times, or as long as nobody ends it."""
    body: dict[str, Any] = {"operation": {"kind": "transfer", **movement(draw, most)}}
    if draw.below(2):
        soon = dt.timedelta(milliseconds=draw.below(1_000 * AT_MAX_S))
        return "schedule", {**body, "at": iso(START + soon)}
    starts = START + dt.timedelta(seconds=draw.below(AT_MAX_S))
    rule = "FREQ=MINUTELY" + ("", ";COUNT=3", ";INTERVAL=2")[draw.below(3)]
    return "schedule", {**body, "rule": rule, "starts_at": iso(starts)}


def iso(moment: dt.datetime) -> str:
    """As an API writes it."""
    return moment.isoformat().replace("+00:00", "Z")
