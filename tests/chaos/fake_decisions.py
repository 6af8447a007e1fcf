"""The guards of decisions, as the database has them (docs/database.md): what is wrong with a row.

Trigger by trigger, in the order in which they fire; each answers with what it would refuse.
"""

from collections.abc import Iterator

import orjson

from pipeline.ledger import Decision, Posting
from tests.chaos.fake_store import Books, Transaction

# A part is of what went from one account to one other: the first two legs.
PART = 2


def faults(tx: Transaction, books: Books, new: Decision) -> Iterator[str | None]:
    """What each of the guards says of the row."""
    known = tx.decisions_of(books, new.target)
    before = known[-1] if known else None
    if new.effect in ("wait", "approve", "refuse", "lapse"):
        yield _approvals_guard(tx, books, new, before)
    yield _decisions_guard(tx, books, new)
    if new.number == 0:
        own = new.position == new.target and new.amount == new.remaining and not new.terminal
        if not own or before is not None:
            yield f"what {new.target} begins is its own"
        return
    yield _follows(before, new)
    if new.effect in ("reverse", "capture"):
        yield _decisions_move(tx, books, new, known)


def _decisions_guard(tx: Transaction, books: Books, new: Decision) -> str | None:
    if new.position > tx.last_position(books, "authorize"):
        return f"position {new.position} is not authorized"
    if not 0 < new.target <= len(books.log) or new.position > len(books.log):
        return f"there is no operation at {new.target}"
    if new.target in tx.rejections_of(books):
        return f"the operation at {new.target} was rejected"
    if new.amount == 0 or (new.remaining or 0) < 0 or (not new.terminal and new.remaining == 0):
        return f"{new} cannot be"
    return None


def _follows(before: Decision | None, new: Decision) -> str | None:
    if (
        new.position <= new.target
        or (before is not None and before.position > new.position)
        or new.number != (before.number if before else 0) + 1
        or (before is None and new.effect != "reverse")
    ):
        return f"number {new.number} of {new.target} does not follow"
    if before is None:
        return None
    if before.terminal:
        return f"{new.target} has been decided"
    counted = before.remaining is not None and new.amount is not None
    if counted and new.remaining != (before.remaining or 0) - (new.amount or 0):
        return f"{new.target} has {before.remaining} left"
    return None


def _approvals_guard(
    tx: Transaction, books: Books, new: Decision, before: Decision | None
) -> str | None:
    moved = bool(tx.legs_of(books, new.position))
    if new.effect == "wait":
        fits = new.number == 0 and new.amount is not None and not moved
        return None if fits else f"{new.target} cannot wait for approvals"
    if before is None or before.effect not in ("wait", "approve") or before.remaining is None:
        return f"{new.target} does not wait for approvals"
    if new.effect != "approve":
        fits = new.terminal and not moved
        return None if fits else f"{new.effect} ends what {new.target} waits for"
    return _four_eyes(tx, books, new, before.remaining, moved=moved)


def _four_eyes(
    tx: Transaction, books: Books, new: Decision, missing: int, *, moved: bool
) -> str | None:
    if new.actor in _behind(books, new.target) or new.actor != _actor(books, new.position):
        return f"{new.actor} may not approve {new.target}"
    known = tx.decisions_of(books, new.target)
    if any(d.effect == "approve" and d.actor == new.actor for d in known):
        return f"{new.actor} has approved {new.target} before"
    one = new.amount == 1 or (new.amount is None and missing == 1)
    if not one or (missing > 1 and moved):
        return f"{new.target} lacks {missing} approvals, of which one is given"
    return None


def _actor(books: Books, position: int) -> str:
    return str(orjson.loads(books.log[position - 1].principal).get("sub", ""))


def _behind(books: Books, position: int) -> list[str]:
    """Who submitted it, and who has seen the secret of the key that did."""
    seen = orjson.loads(books.log[position - 1].principal).get("by", ())
    return [_actor(books, position), *seen]


def _decisions_move(
    tx: Transaction, books: Books, new: Decision, known: list[Decision]
) -> str | None:
    """What must stand in the ledger, in this order, and how often it has gone back."""
    taken = new.effect == "capture"
    begun = next((d.position for d in known if d.effect == "hold"), 0) if taken else new.target
    legs = [leg for leg in sorted(tx.legs_of(books, begun)) if leg.pending is taken]
    if new.amount is not None:
        legs = legs[:PART]
    wanted = [(leg.account, leg.currency, _moves(leg, new, taken=taken)) for leg in legs]
    posted = sorted(tx.legs_of(books, new.position))
    alone = books.log[new.position - 1].kind in ("reversal", "capture")
    moved = sum(not leg.pending for leg in posted)
    if not wanted or (alone and moved != len(wanted)) or not _stands(wanted, posted):
        return f"{new.position} does not post what it takes or gives back of {new.target}"
    back = [d for d in known if d.effect == "reverse"]
    if taken:
        return None
    if new.amount is None:
        left = new.terminal and not back
    else:
        given = new.amount + sum(d.amount or 0 for d in back) + (new.remaining or 0)
        left = given == max(leg.amount for leg in legs)
    return None if left else f"{new.position} would give back of {new.target} more than is left"


def _moves(leg: Posting, new: Decision, *, taken: bool) -> int:
    if new.amount is None:
        return -leg.amount
    return new.amount if (leg.amount > 0) is taken else -new.amount


def _stands(wanted: list[tuple[int, str, int]], posted: list[Posting]) -> bool:
    """Whether the legs stand there side by side, among those of a group."""
    found = [None if leg.pending else (leg.account, leg.currency, leg.amount) for leg in posted]
    starts = range(len(found) - len(wanted) + 1)
    return any(found[start : start + len(wanted)] == wanted for start in starts)
