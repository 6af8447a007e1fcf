"""What became of operations that others decide: nothing is taken or given back twice.

Read off the rows alone, without the core that wrote them.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from pipeline.kinds import KINDS
from pipeline.kinds.kind import no_one
from pipeline.ledger import Decision
from tests.chaos.evidence import NOTHING, Evidence, Stored
from tests.chaos.finding import Finding, Key
from tests.chaos.recount import gave_the_last_approval, place_of, position_of, waits

# A part goes back of what went from one account to one other.
PART = 2
# How somebody is told that there is no such operation: by itself, or as a group.
REFUSED = ("unknown_target", "group_failed")


def fates(one: Evidence) -> Iterator[tuple[int, list[Decision]]]:
    """Each operation that was decided, or waits for it, with its decisions in order."""
    found: dict[int, list[Decision]] = {}
    for these in one.decisions.values():
        for decision in these:
            found.setdefault(decision.target, []).append(decision)
    for target, decisions in sorted(found.items()):
        yield target, sorted(decisions)


def recorded(one: Evidence) -> Finding:
    """What was not refused has decided what it names, or has begun to wait itself."""
    finding = Finding("whoever decides is recorded with what it decided", of="decisions")
    for row in one.log:
        position, kind = row.operation.position, row.operation.kind
        if position in one.rejections:
            continue
        named = named_by(row)
        if kind in ("hold", "schedule") or waits(one, position):
            named = {position}
        these = one.decisions.get(position, ())
        for decision in these:
            if gave_the_last_approval(decision):
                named |= named_by(one.at(decision.target))
        if named:
            found = {decision.target for decision in these}
            finding.examined += 1
            if found == named:
                continue
            approved = {approved_by(one, target) for target in named}
            if len(found) != len(named) or not found <= named | approved:
                said = f"the {kind} at {position} decides {found}, and should {named} or {approved}"
                finding.violate(said, *keys_of(one, position))
    return finding


def named_by(row: Stored) -> set[int]:
    """The positions of the operations that this one names."""
    kind = KINDS.get(row.operation.kind)
    if kind is None or kind.targets is no_one:
        return set()
    return set(map(position_of, kind.targets(row.content)))


def approved_by(one: Evidence, target: int) -> int:
    """Where the target took effect: at its last approval, if it needed any."""
    for position, decisions in one.decisions.items():
        for decision in decisions:
            if decision.target == target and gave_the_last_approval(decision):
                return position
    return target


def holds(one: Evidence) -> Finding:
    """Captured and given back is what was held less what remains, in decisions and postings."""
    finding = Finding("of no hold is more taken or given back than it holds", of="holds")
    for target, decisions in fates(one):
        effects = [decision.effect for decision in decisions]
        if "hold" not in effects:
            continue
        # One that needed approvals holds from the last of them on.
        first, *later = decisions[effects.index("hold") :]
        said = f"the hold at {target} is {first}, and {later} came of it"
        taken = sum(decision.amount or 0 for decision in later)
        remaining = (later or [first])[-1].remaining
        adds_up = first.amount is not None and remaining == first.amount - taken >= 0
        ended = [decision.terminal for decision in later]
        in_order = ended == [False] * (len(later) - 1) + [remaining == 0] if later else True
        keys = keys_of(one, target, later)
        finding.look(adds_up and in_order, said, *keys)
        positions = {first.position, *(decision.position for decision in later)}
        if among_others(one, positions):
            continue
        reserved = moved(one, positions, pending=True)
        finding.look(reserved == remaining, f"{said}; reserved is {reserved}", *keys)
        captured = sum(d.amount or 0 for d in later if d.effect == "capture")
        posted = moved(one, positions, pending=False)
        finding.look(posted == captured, f"{said}; posted is {posted}", *keys)
    return finding


def among_others(one: Evidence, positions: set[int]) -> bool:
    """Whether a group has postings there: which are whose, asked.py tells."""
    for position in positions:
        row = one.at(position)
        names = [row.operation.kind]
        if names == ["approve"]:
            names += [one.at(at).operation.kind for at in named_by(row)]
        if "group" in names:
            return True
    return False


def moved(one: Evidence, positions: set[int], *, pending: bool) -> int:
    """What the operations at these positions credit together in a layer, account by account."""
    sums: Counter[int] = Counter()
    for position in positions:
        for leg in one.postings.get(position, []):
            sums[leg.account] += leg.amount if leg.pending is pending else 0
    return sum(amount for amount in sums.values() if amount > 0)


def originals(one: Evidence) -> Finding:
    """What reversals give back of an operation is never more than it has posted."""
    finding = Finding("of no operation is more given back than it posted", of="reversed operations")
    for target, decisions in fates(one):
        back = [decision for decision in decisions if decision.effect == "reverse"]
        if not back:
            continue
        legs = [leg for leg in sorted(one.postings.get(target, [])) if not leg.pending]
        whole = abs(legs[0].amount) if legs else 0
        amounts = [decision.amount for decision in back]
        every = sum(amount or 0 for amount in amounts)
        fits = every <= whole if None not in amounts else len(amounts) == 1
        ends = [False] * (len(back) - 1) + [every == whole or amounts == [None]]
        in_order = [decision.terminal for decision in back] == ends
        said = f"the operation at {target} posted {legs}, and {back} came of it"
        keys = keys_of(one, target, back)
        finding.look(fits and in_order, said, *keys)
        positions = {decision.position for decision in back}
        if len(legs) != PART or among_others(one, {target, *positions}):
            continue
        posted, given = net(one, {target}), net(one, positions)
        fits = given.keys() <= posted.keys() and all(
            0 < -amount * sign(posted[of]) <= abs(posted[of]) for of, amount in given.items()
        )
        finding.look(fits, f"{said}: {posted}, {given}", *keys)
    return finding


def net(one: Evidence, positions: set[int]) -> dict[tuple[int, str], int]:
    """What the operations at these positions have posted together, where it is not nothing."""
    sums: Counter[tuple[int, str]] = Counter()
    for position in positions:
        for leg in one.postings.get(position, []):
            sums[leg.account, leg.currency] += 0 if leg.pending else leg.amount
    return {of: amount for of, amount in sums.items() if amount}


def sign(amount: int) -> int:
    """1, 0 or -1."""
    return (amount > 0) - (amount < 0)


def waiting(one: Evidence) -> Finding:
    """What is kept as pending is what has begun to wait and has not been decided to its end."""
    finding = Finding("what is kept as pending is what nobody has decided", of="operations")
    open_ = {
        target
        for target, decisions in fates(one)
        if decisions[0].number == 0 and not decisions[-1].terminal
    }
    for target in sorted(open_ | one.pending.keys()):
        kept = target in one.pending
        said = f"the operation at {target} is kept: {kept}, undecided: {target in open_}"
        finding.look(kept and target in open_, said, *keys_of(one, target))
    return finding


def strangers(one: Evidence) -> Finding:
    """Who names an operation of another ledger is told that there is none."""
    finding = Finding("an operation of another ledger cannot be decided", of="operations")
    for row in one.log:
        position, kind = row.operation.position, KINDS[row.operation.kind]
        for shown in kind.targets(row.content) if kind.targets is not no_one else ():
            place = place_of(shown)
            if place is None or place.ledger_id != one.ledger.ledger_id:
                refusal = one.refusal(position)
                code = None if refusal is None else refusal.code
                said = f"the operation at {position} names {shown}, and came to {code}"
                told = code in REFUSED or waits(one, position)
                finding.look(told, said, *keys_of(one, position))
    return finding


FATES = recorded, holds, originals, waiting, strangers


def keys_of(one: Evidence, target: int, decisions: Iterable[Decision] = ()) -> tuple[Key, ...]:
    """Which operations the history of a fate shows: it, and who decided it."""
    positions = dict.fromkeys((target, *(decision.position for decision in decisions)))
    rows = (one.at(position) for position in positions)
    return tuple((one.tenant, row.key) for row in rows if row is not NOTHING)
