"""Schedules occur: each time once, in order, as often as they say; read off log and decisions."""

import datetime as dt
from itertools import pairwise

from tests.chaos.evidence import Evidence, Stored
from tests.chaos.fates import fates, keys_of
from tests.chaos.finding import Finding
from tests.chaos.recount import Content, position_of

MINUTE_S = 60


def occurrences_of(one: Evidence) -> dict[int, list[Stored]]:
    """The operations that were made of each schedule's times, in the order of the log."""
    found: dict[int, list[Stored]] = {}
    for row in one.log:
        if row.operation.kind == "occur":
            found.setdefault(position_of(row.content["target"]), []).append(row)
    return found


def once_each(one: Evidence) -> Finding:
    """No time is in the log twice; what happened, did so in order; and it is a time of the rule.

    Who resumes a schedule goes on with the first time after that.
    """
    finding = Finding("each time of a schedule comes once, and in order", of="occurrences")
    decided = dict(fates(one))
    for target, rows in occurrences_of(one).items():
        schedule = one.at(target).content
        numbers = [row.content["number"] for row in rows]
        times = [
            (row.operation.position, moment(row.content["due"]))
            for row in rows
            if any(d.effect == "occur" for d in one.decisions.get(row.operation.position, []))
        ]
        said = f"the schedule at {target} came as {numbers}, and happened at {times}: {schedule}"
        keys = keys_of(one, target)
        finding.look(len(set(numbers)) == len(numbers), said, *keys)
        resumed = [d.position for d in decided[target] if d.effect == "resume"]
        in_order = all(
            due < next_due or any(position < at < next_position for at in resumed)
            for (position, due), (next_position, next_due) in pairwise(times)
        )
        finding.look(in_order, said, *keys)
        finding.look(fits(schedule, {due for _, due in times}), said, *keys)
    return finding


def fits(schedule: Content, dues: set[dt.datetime]) -> bool:
    """Whether these are times of the schedule, and not more than it has."""
    if "at" in schedule or "rule" not in schedule:
        return dues <= {moment(schedule["at"])} if "at" in schedule else not dues
    parts = dict(part.split("=") for part in schedule["rule"].split(";"))
    step = dt.timedelta(seconds=MINUTE_S * int(parts.get("INTERVAL", "1")))
    last = step * int(parts.get("COUNT", 0))
    starts = moment(schedule["starts_at"])
    apart = all((due - starts) % step == dt.timedelta() and due >= starts for due in dues)
    return apart and ("COUNT" not in parts or max(dues, default=starts) < starts + last)


def moment(text: str) -> dt.datetime:
    """The moment that is written."""
    return dt.datetime.fromisoformat(text)


def ended_once(one: Evidence) -> Finding:
    """Nothing comes of a schedule that was cancelled, has ended, or is paused."""
    finding = Finding("nothing comes of a schedule that is paused or has ended", of="schedules")
    for target, decisions in fates(one):
        effects = [decision.effect for decision in decisions]
        if "schedule" not in effects:
            continue
        going, sound = True, True
        for decision in decisions[effects.index("schedule") + 1 :]:
            match decision.effect:
                case "occur" | "pause":
                    sound &= going
                    going &= decision.effect == "occur"
                case "resume":
                    sound &= not going
                    going = True
        last = [decision.terminal for decision in decisions]
        sound &= not any(last[:-1]) and last[-1] == (effects[-1] in ("end", "cancel"))
        finding.look(sound, f"{target} has {decisions}", *keys_of(one, target, decisions))
    return finding


OCCURRENCES = once_each, ended_once
