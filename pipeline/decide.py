"""How one operation decides another: what is pending is captured, released, approved, undone.

Each decision is a row of its own, numbered along its target, with what remains afterwards. A
terminal one is the last. The database holds the same chain (docs/database.md).
"""

import datetime as dt
from uuid import UUID

from models.operation import address_of, parse_id
from pipeline.ledger import Begun, Books, Decision, Entry, Pending, Target, inner
from pipeline.principal import actor_of
from pipeline.refusal import Refusal, refuse


def position_of(id_: UUID | None, ledger_id: int) -> int | None:
    """Where the operation with this id would stand in the ledger."""
    if id_ is None:
        return None
    address = address_of(id_)
    return address.position if address.ledger_id == ledger_id else None


def find_target(books: Books, entry: Entry, shown: str) -> Target | Refusal:
    """The operation that the entry names; refused where there is none, or it was rejected."""
    id_ = parse_id(shown)
    position = position_of(id_, entry.ledger_id)
    target = None if position is None else books.targets.get(position)
    if target is None or target.id != id_ or target.entry.position >= entry.position:
        return refuse("unknown_target", target=shown)
    if target.rejected:
        return refuse("target_rejected", target=shown)
    return target


def find_pending(books: Books, entry: Entry, kinds: tuple[str, ...]) -> Target | Refusal:
    """The operation of these kinds that the entry's `target` names, if it is still pending.

    What an occurrence begins is pending under the occurrence's own id.
    """
    shown = entry.body["target"]
    target = find_target(books, entry, shown)
    if isinstance(target, Refusal):
        return target
    if target.last is None or itself(books, target).kind not in kinds:
        return refuse("target_not_pending", target=shown, kind=target.entry.kind)
    if target.last.terminal:
        return refuse("target_decided", target=shown, decision=target.last.effect)
    if is_waiting(target):
        return refuse("target_not_pending", target=shown, kind=target.entry.kind)
    return target


def is_waiting(target: Target) -> bool:
    """Whether it waits for approvals: nothing else can be done to it."""
    last = target.last
    return last is not None and not last.terminal and last.effect in ("wait", "approve")


def find_waiting(books: Books, entry: Entry) -> Target | Refusal:
    """The operation that the entry's `target` names, if it still waits for approvals."""
    shown = entry.body["target"]
    target = find_target(books, entry, shown)
    if isinstance(target, Refusal) or is_waiting(target):
        return target
    if target.last is not None and target.last.terminal:
        return refuse("target_decided", target=shown, decision=target.last.effect)
    return refuse("target_not_pending", target=shown, kind=target.entry.kind)


def posted_as(books: Books, target: Target) -> Target:
    """Where the target was posted: an approved operation is, by its last approval."""
    last = target.last
    if last is None or last.effect != "approve" or not last.terminal:
        return target
    return books.targets[last.position]


def itself(books: Books, target: Target) -> Entry:
    """The operation whose effect the target has: of an approval, the approved one.

    Of an occurrence it is what the schedule holds, at the place of the occurrence.
    """
    entry = target.entry
    if entry.kind == "occur":
        schedule = _named_by(books, entry)
        kind, body = inner(schedule.body["operation"])
        return entry._replace(kind=kind, body=body, principal=schedule.principal)
    if entry.kind == "approve" and target.legs:
        return _named_by(books, entry)
    return entry


def _named_by(books: Books, entry: Entry) -> Entry:
    """What an operation that was not refused names as its target."""
    position = position_of(parse_id(entry.body["target"]), entry.ledger_id)
    assert position is not None, "it was found before"
    return books.targets[position].entry


def begin(
    books: Books, entry: Entry, effect: str, amount: int | None, due: dt.datetime | None = None
) -> None:
    """The entry itself is pending from now on: the first line of its fate.

    Of what an approval applies this is not the first one: see go_on.
    """
    if books.begun is not None:
        books.begun.append(Begun(effect, amount, due))
        return
    actor = actor_of(entry.principal)
    first = Decision(entry.position, 0, entry.position, effect, amount, amount, False, actor)
    books.decisions.append(first)
    waits = books.pending[entry.position] = Pending(effect, due)
    own = books.targets.get(entry.position)
    if own is not None:
        own.last, own.pending = first, waits


def go_on(books: Books, entry: Entry, target: Target, begun: Begun) -> None:
    """The last approval of what is pending by itself from now on: its fate has not ended."""
    assert target.last is not None, "what is approved has waited"
    position, number = target.entry.position, target.last.number
    actor, own = actor_of(entry.principal), actor_of(target.entry.principal)
    effect, amount, due_at = begun
    target.last = Decision(position, number + 2, entry.position, effect, amount, amount, False, own)
    approval = Decision(position, number + 1, entry.position, "approve", None, None, False, actor)
    books.decisions += [approval, target.last]
    wait(books, target, effect, due_at)


def decide(
    books: Books,
    entry: Entry,
    target: Target,
    effect: str,
    amount: int | None,
    *,
    whole: int | None = None,
    terminal: bool = False,
) -> Decision:
    """The entry takes `amount` of what remains of the target (of `whole`, the first time)."""
    last = target.last
    number = 1 if last is None else last.number + 1
    before = whole if last is None else last.remaining
    remaining = None if before is None or amount is None else before - amount
    ends = terminal or remaining == 0
    actor = actor_of(entry.principal)
    position = target.entry.position
    target.last = Decision(position, number, entry.position, effect, amount, remaining, ends, actor)
    books.decisions.append(target.last)
    if ends:
        books.pending[position] = target.pending = None
    return target.last


def wait(books: Books, target: Target, effect: str, due: dt.datetime | None) -> None:
    """The target goes on waiting, after `effect`, until another time.

    It may do so whatever came of the operation that made it: what waits is no evidence.
    """
    assert target.pending is not None, "what does not wait cannot go on waiting"
    waits = Pending(effect, due, target.pending.number + 1)
    books.pending[target.entry.position] = target.pending = waits
