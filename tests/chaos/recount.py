"""What operations ask for, counted anew from their contents: without the core that carried it out.

A leg is what one account pays (-) or gets (+) in a currency, posted or reserved.
"""

from collections import Counter
from fractions import Fraction
from functools import lru_cache
from typing import Any, NamedTuple

from models.operation import Address, address_of, parse_id
from pipeline.ledger import Decision, Posting
from tests.chaos.evidence import Evidence, Stored

Content = dict[str, Any]  # with its kind
PLAIN = ("transfer", "hold", "journal", "exchange")
# The currencies of these tests, and what one of them has of its minor unit.
MINOR = {"EUR": 100, "USD": 100}


class Leg(NamedTuple):
    """One account's part."""

    account: str
    currency: str
    amount: int
    pending: bool = False


class Applied(NamedTuple):
    """An operation that took effect: at which position, and in whose name (a principal)."""

    position: int
    content: Content
    principal: str


def legs_of(content: Content) -> list[Leg]:
    """What a plain operation, or all that a group holds of them, moves and reserves."""
    match content["kind"]:
        case "transfer" | "hold" as kind:
            moved = _between(content, content["amount"], pending=kind == "hold")
            return [*moved, *_fees(content)]
        case "journal":
            return _divided(content)
        case "exchange":
            return _exchanged(content)
        case "group":
            return [leg for member in content["operations"] for leg in legs_of(member)]
        case _:
            return []


def amounts_of(content: Content) -> Counter[str]:
    """What moves, by currency: with the fees that the source pays on top."""
    sums: Counter[str] = Counter()
    if content["kind"] == "group":
        for member in content["operations"]:
            sums += amounts_of(member)
    elif content["kind"] == "exchange":
        entered, left, *_ = (leg for leg in legs_of(content) if leg.account.startswith("exchange:"))
        sums[entered.currency] += entered.amount
        sums[left.currency] -= left.amount
    elif content["kind"] in PLAIN:
        side = -1 if content["kind"] == "transfer" else 1
        payer = content.get("source")
        for leg in legs_of(content):
            if leg.amount * side > 0 and (side > 0 or leg.account == payer):
                sums[leg.currency] += abs(leg.amount)
    return sums


def _between(content: Content, amount: int, *, pending: bool = False) -> list[Leg]:
    currency = content["currency"]
    return [
        Leg(content["source"], currency, -amount, pending),
        Leg(content["destination"], currency, amount, pending),
    ]


def _fees(content: Content) -> list[Leg]:
    legs = []
    payer = content[content.get("fees_from", "source")]
    for fee in content.get("fees", ()):
        size = fee.get("amount")
        if size is None:
            size = max(_percent(content["amount"], fee["share"]), fee.get("min", 0))
            size = min(size, fee.get("max", size))
        if size:
            legs.append(Leg(payer, content["currency"], -size))
            legs.append(Leg(fee["account"], content["currency"], size))
    return legs


def _percent(amount: int, share: str) -> int:
    """Rounded half to even, which is how Python rounds fractions."""
    return round(amount * Fraction(share) / 100)


def _exchanged(content: Content) -> list[Leg]:
    currency, to = content["currency"], content["to_currency"]
    per_minor = Fraction(MINOR[to], MINOR[currency])
    comes = round(content["amount"] * Fraction(content["rate"]) * per_minor)
    spread = content.get("spread")
    taken = _percent(comes, spread["share"]) if spread else 0
    legs = [
        Leg(content["source"], currency, -content["amount"]),
        Leg(f"exchange:{currency}", currency, content["amount"]),
        Leg(f"exchange:{to}", to, -comes),
        Leg(content["destination"], to, comes - taken),
    ]
    return [*legs, Leg(spread["account"], to, taken)] if spread and taken else legs


def _divided(content: Content) -> list[Leg]:
    """A journal's legs; those that share the total by the largest remainder."""
    legs, total = content["legs"], content.get("total", {})
    sizes = [leg.get("amount", 0) for leg in legs]
    for side in ("debit", "credit"):
        at = [n for n, leg in enumerate(legs) if leg["direction"] == side and "amount" not in leg]
        if not at:
            continue
        shares = [Fraction(legs[n].get("share", "0")) / 100 for n in at]
        left = 1 - sum(shares, Fraction())
        shares = [
            left if "remainder" in legs[n] else share for n, share in zip(at, shares, strict=True)
        ]
        exact = [total["amount"] * share for share in shares]
        parts = [int(part) for part in exact]
        order = sorted(range(len(at)), key=lambda n: (parts[n] - exact[n], n))
        for n in order[: total["amount"] - sum(parts)]:
            parts[n] += 1
        for n, part in zip(at, parts, strict=True):
            sizes[n] = part
    sign = {"debit": -1, "credit": 1}
    return [
        Leg(leg["account"], leg.get("currency") or total["currency"], sign[side] * size)
        for leg, size in zip(legs, sizes, strict=True)
        if (side := leg["direction"])
    ]


@lru_cache(maxsize=10_000)  # Many invariants look at the same ids.
def place_of(shown: str) -> Address | None:
    """Where the operation with this id stands; None where it is no id."""
    id_ = parse_id(shown)
    return None if id_ is None else address_of(id_)


def position_of(shown: str) -> int:
    """Where the operation with this id stands in its ledger."""
    place = place_of(shown)
    return 0 if place is None else place.position


def waits(one: Evidence, position: int) -> bool:
    """Whether the operation waits for approvals, or did: then nothing came of it at its place."""
    for decision in one.decisions.get(position, ()):
        if decision.target == position and decision.effect == "wait":
            return True
    return False


def gave_the_last_approval(decision: Decision) -> bool:
    """Whether what was approved takes effect here."""
    return decision.effect == "approve" and not decision.remaining


def applied(one: Evidence, row: Stored) -> list[Applied]:
    """What took effect at the place of this operation: itself, or what it lets happen."""
    position = row.operation.position
    if position in one.rejections:
        return []
    if position not in one.decisions:
        return [Applied(position, row.content, row.operation.principal)]
    found = []
    if not waits(one, position):
        found.append(Applied(position, row.content, row.operation.principal))
    for decision in one.decisions[position]:
        target = one.at(decision.target)
        if gave_the_last_approval(decision):
            found.append(Applied(position, target.content, target.operation.principal))
        elif decision.effect == "occur" and "operation" in target.content:
            held = target.content["operation"]
            found.append(Applied(position, held, target.operation.principal))
    return found


def decided_legs(one: Evidence, decision: Decision) -> list[Leg]:
    """What a decision moves of its target, and gives back of what that reserved."""
    content, amount = one.at(decision.target).content, decision.amount
    if decision.effect == "reverse":
        codes = {account.number: code for code, account in one.accounts.items()}
        posted = [leg for leg in one.postings.get(decision.target, []) if not leg.pending]
        return [_back(codes, leg, amount) for leg in posted[: None if amount is None else 2]]
    if decision.effect not in ("capture", "release", "expire") or "source" not in content:
        return []
    assert amount is not None, "of a hold an amount is taken or given back"
    freed = _between(content, -amount, pending=True)
    return [*_between(content, amount), *freed] if decision.effect == "capture" else freed


def _back(codes: dict[int, str], leg: Posting, amount: int | None) -> Leg:
    size = abs(leg.amount) if amount is None else amount
    return Leg(codes[leg.account], leg.currency, -size if leg.amount > 0 else size)
