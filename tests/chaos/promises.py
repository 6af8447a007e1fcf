"""What clients were told, held against what is stored."""

from collections import Counter
from typing import Any

import orjson

from pipeline.kinds import KINDS
from pipeline.kinds.personals import PERSONAL
from pipeline.privacy.personal import places
from pipeline.strict_json import canonical
from tests.chaos.evidence import Evidence, Stored, forgotten
from tests.chaos.finding import Finding
from tests.chaos.history import HEALED, Attempt, History

# What waits for a decision of somebody else has been posted as well.
FINAL = ("posted", "rejected", "pending")


# The effects of decisions, by the name of their figure.
EFFECTS = ("hold", "capture", "release", "reverse", "wait", "approve", "refuse", "occur")
DECIDED = {f"decided: {effect}": effect for effect in EFFECTS}
# What else a run must have seen: posted, or refused with a code.
POSTED = {f"posted: {kind}": kind for kind in ("group", "exchange", "schedule", "set_limit")}
CODES = ("group_failed", "limit_reached", "own_approval", "condition_failed")
SEEN = (*POSTED, *(f"refused: {code}" for code in CODES))
# What a decision comes too late for, or goes too far in.
REFUSED = ("target_decided", "amount_exceeds_held", "already_reversed", "amount_exceeds_original")


def check_promises(history: History, evidence: dict[str, Evidence]) -> list[Finding]:
    """Every invariant about answers."""
    stored = {
        (tenant, key): row for tenant, one in evidence.items() for key, row in one.by_key().items()
    }
    by_key = history.by_key()
    return [
        acknowledged(by_key, stored),
        unknown(by_key, stored, evidence),
        reused(by_key, stored),
        refused(by_key, stored),
        waited(history, evidence),
        in_order(history),
    ]


def same(stored: Stored, attempt: Attempt) -> bool:
    """Whether this very content is what is stored."""
    return not differing(stored, attempt)


def differing(stored: Stored, attempt: Attempt) -> list[str]:
    """The members in which what was sent differs from what is stored."""
    sent = {**attempt.content}
    kind = sent.pop("kind")
    body = KINDS[kind].schema.load(sent)
    if stored.opened:
        forget(kind, body, stored)
    members = stored.opened or stored.operation.body
    if kind == stored.operation.kind and canonical(body) == members.encode():
        return []
    now, before = {"kind": kind, **body}, {"kind": stored.operation.kind, **orjson.loads(members)}
    return sorted(name for name in now.keys() | before.keys() if now.get(name) != before.get(name))


def forgotten_in(stored: Stored) -> set[str]:
    """The members in which something of a subject was that is erased."""
    if not stored.opened:
        return set()
    found = places(stored.operation.kind, orjson.loads(stored.opened))
    gone = (place for place in found if place.body[PERSONAL] == forgotten(place))
    return {place.path.partition(".")[0] or PERSONAL for place in gone}


def forget(kind: str, body: dict[str, Any], stored: Stored) -> None:
    """Leave out of what was sent what nobody can know any more of what is stored."""
    left = {
        place.path: place.body[PERSONAL]
        for place in places(stored.operation.kind, orjson.loads(stored.opened))
    }
    for place in places(kind, body):
        known = left.get(place.path, {})
        if known == forgotten(place):
            place.body[PERSONAL] = known


def acknowledged(
    by_key: dict[tuple[str, str], list[Attempt]], stored: dict[tuple[str, str], Stored]
) -> Finding:
    """Promises 1 and 2: what was acknowledged is in the log, once, as it was acknowledged."""
    finding = Finding(
        "every acknowledged operation is stored, once, with its content", of="answers"
    )
    for key, attempts in by_key.items():
        for attempt in attempts:
            if attempt.result != "ok":
                continue
            row = stored.get(key)
            if row is None:
                finding.look(False, f"{attempt.id} was acknowledged and is not there", key)
                continue
            said = attempt.id, attempt.position
            found = row.id, row.operation.position
            finding.look(said == found, f"acknowledged as {said}, stored as {found}", key)
            finding.look(same(row, attempt), "another content than the stored one got a 2xx", key)
        new = [one for one in attempts if one.result == "ok" and not one.replayed]
        finding.look(len(new) < 2, f"{len(new)} answers call the operation new", key)
    return finding


def unknown(
    by_key: dict[tuple[str, str], list[Attempt]],
    stored: dict[tuple[str, str], Stored],
    evidence: dict[str, Evidence],
) -> Finding:
    """What nobody knows of is wholly there (key, operation, one outcome) or wholly absent."""
    finding = Finding("every unknown operation is wholly there or wholly absent", of="operations")
    leads = {tenant: set(one.keys) for tenant, one in evidence.items()}
    for key, attempts in by_key.items():
        results = {attempt.result for attempt in attempts}
        if "ok" in results or not results & {"unknown", "invoked"}:
            continue
        row = stored.get(key)
        if row is None:
            finding.look(True, "", key)
            continue
        one, position = evidence[key[0]], row.operation.position
        whole = position in leads[key[0]] and one.status(position) in FINAL
        finding.look(whole, f"stored at position {position}, but its key or outcome is not", key)
        meant = any(same(row, attempt) for attempt in attempts)
        finding.look(meant, "what is stored was never sent under this key", key)
    return finding


def reused(
    by_key: dict[tuple[str, str], list[Attempt]], stored: dict[tuple[str, str], Stored]
) -> Finding:
    """Promise 5: 422 for other content, naming what differs; the same content never gets it."""
    finding = Finding("altered content never takes effect, and its 422 says why", of="answers")
    for key, attempts in by_key.items():
        for attempt in attempts:
            if attempt.result != "reused":
                continue
            row = stored.get(key)
            if row is None:
                finding.look(False, "422 for a key that is not stored", key)
                continue
            differs, unknowable = differing(row, attempt), forgotten_in(row)
            said = f"the 422 names {attempt.differs}, what differs is {differs}"
            finding.look(set(attempt.differs) - unknowable == set(differs) - unknowable, said, key)
    return finding


def refused(
    by_key: dict[tuple[str, str], list[Attempt]], stored: dict[tuple[str, str], Stored]
) -> Finding:
    """'Nothing was stored' is true, and nothing is in the log that nobody sent."""
    finding = Finding("what was refused is not stored, nor what nobody sent", of="operations")
    for key, attempts in by_key.items():
        if all(attempt.result == "failed" for attempt in attempts):
            notes = ", ".join(sorted({attempt.note for attempt in attempts}))
            finding.look(key not in stored, f"stored, and every attempt was refused ({notes})", key)
    for key, row in stored.items():
        sent = key in by_key or KINDS[row.operation.kind].internal
        finding.look(sent, "stored, and nobody sent it", key)
    return finding


def waited(history: History, evidence: dict[str, Evidence]) -> Finding:
    """An answer that called an operation final told its final outcome."""
    finding = Finding("every answer that said final agrees with the outcome", of="answers")
    for attempt in history.attempts:
        if attempt.status in FINAL:
            one = evidence[attempt.tenant]
            said = attempt.status, attempt.rejection
            found = one.status(attempt.position), one.code(attempt.position)
            key = attempt.tenant, attempt.key
            decided_since = said[0] == "pending" != found[0]
            finding.look(
                said == found or decided_since,
                f"the answer said {said}, the outcome is {found}",
                key,
            )
    return finding


def in_order(history: History) -> Finding:
    """Promise 3: what was acknowledged before another was sent stands before it in the log."""
    finding = Finding("what was acknowledged earlier stands earlier", of="operations")
    for tenant in {attempt.tenant for attempt in history.attempts}:
        firsts: dict[str, float] = {}
        acknowledged: dict[str, Attempt] = {}
        for attempt in history.attempts:
            if attempt.tenant == tenant:
                firsts[attempt.key] = min(
                    attempt.invoked_at, firsts.get(attempt.key, attempt.invoked_at)
                )
                if attempt.result == "ok":
                    known = acknowledged.setdefault(attempt.key, attempt)
                    if attempt.answered_at < known.answered_at:
                        acknowledged[attempt.key] = attempt
        answered = sorted(acknowledged.values(), key=lambda one: one.answered_at)
        highest: Attempt | None = None
        done = 0
        for late in sorted(acknowledged.values(), key=lambda one: firsts[one.key]):
            while done < len(answered) and answered[done].answered_at < firsts[late.key]:
                if highest is None or answered[done].position > highest.position:
                    highest = answered[done]
                done += 1
            if highest is not None:
                said = (
                    f"{late.key} at {late.position} was sent after {highest.key} was acknowledged"
                )
                keys = (tenant, highest.key), (tenant, late.key)
                finding.look(late.position > highest.position, f"{said}, and is before it", *keys)
    return finding


def tally(history: History, evidence: dict[str, Evidence]) -> dict[str, int]:
    """How many operations and answers of each sort there were."""
    by_key = history.by_key()
    results = Counter(attempt.result for attempt in history.attempts)
    found = {key for key, attempts in by_key.items() if any(a.result == "ok" for a in attempts)}
    return {
        "operations sent": len(by_key),
        "attempts": len(history.attempts),
        "acknowledged operations": len(found),
        "unknown attempts": results["unknown"] + results["invoked"],
        "failed attempts": results["failed"],
        "key reused (422)": results["reused"],
        "replayed answers": sum(attempt.replayed for attempt in history.attempts),
        "stored operations": sum(len(one.log) for one in evidence.values()),
        "rejected operations": sum(len(one.rejections) for one in evidence.values()),
        "notified under faults": sum(_notified(one, history) for one in evidence.values()),
        **decided(evidence),
    }


def _notified(one: Evidence, history: History) -> int:
    """How many operations had gone through all stages when the last fault was lifted."""
    healed = max((strike.at for strike in history.strikes if strike.kind == HEALED), default=0.0)
    return max((run.last for run in one.runs.get("notify", []) if run.at < healed), default=0)


def decided(evidence: dict[str, Evidence]) -> dict[str, int]:
    """How many decisions there were, by effect, and how many came too late or went too far."""
    every = [row for one in evidence.values() for these in one.decisions.values() for row in these]
    effects = Counter(row.effect for row in every)
    codes = Counter(row.code for one in evidence.values() for row in one.rejections.values())
    late = sum(codes[code] for code in REFUSED)
    posted = Counter(
        row.operation.kind
        for one in evidence.values()
        for row in one.log
        if row.operation.position not in one.rejections
    )
    return {
        **{name: effects[effect] for name, effect in DECIDED.items()},
        **{name: posted[kind] for name, kind in POSTED.items()},
        **{f"refused: {code}": codes[code] for code in CODES},
        "approvals given up": effects["lapse"],
        "decided too late": late,
    }
