"""What was promised to people and programs: an end is an end, one successor each, all is told."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import text

from models.api_key import show_id
from models.db import tenant_reading
from tests.chaos.evidence import Evidence
from tests.chaos.finding import Finding, merged
from tests.chaos.history import Act, Attempt, History
from tests.chaos.people import REUSED

# In every process what was ended counts for at most so long after its end was acknowledged.
COUNTS_ON_S = 2.0
# What the answer shows to whoever asks with something that counts.
LET_IN = ("ok", "reused")

# What is told of the end of a session, by why it ended.
ENDS = {
    "signed_out": "person.signed_out",
    "revoked": "session.revoked",
    "reused": "session.reused",
}
SESSIONS = text("SELECT session_id, why FROM sessions WHERE tenant_id = :tenant")
KEYS = text("SELECT key_id, revoked_at IS NOT NULL FROM api_keys WHERE tenant_id = :tenant")
ERASED = text("""
    SELECT subject FROM data_keys WHERE tenant_id = :tenant AND erased_at IS NOT NULL
""")
# What these events are about stands in the tables; of the others nothing does.
ABOUT = ("session:", "api_key:", "subject:")
# Of a key nobody counts how often it was rotated.
ROTATED = "api_key.rotated"

# The event of an acknowledged act, and what its target begins with.
PROMISED = {
    "sign in": ("person.signed_in", "session:"),
    "end": ("person.signed_out", "session:"),
    "make key": ("api_key.created", "api_key:"),
    "rotate key": (ROTATED, "api_key:"),
    "revoke key": ("api_key.revoked", "api_key:"),
    "erase": ("subject.erased", "subject:"),
}

Told = Counter[tuple[str, str]]  # action and target


class Used(NamedTuple):
    """One use of what may have been ended before: when it began, and what it was."""

    tenant: str
    holder: str
    at: float
    what: str


def check_identity(history: History, events: dict[str, Evidence]) -> list[Finding]:
    """Every invariant about people, programs and their events. `events`: by tenant."""
    return [
        ended(history.acts, history.attempts),
        refreshed_once(history.acts),
        merged(told(history.acts, name, one) for name, one in events.items()),
    ]


def ended(acts: Iterable[Act], attempts: Iterable[Attempt]) -> Finding:
    """Whatever was ended, and was acknowledged to be, lets nobody in two seconds later.

    A refresh token is looked up each time: with it nothing is let in at once.
    """
    finding = Finding("what was ended or revoked lets nobody in any more", of="uses")
    acts = list(acts)
    ends: dict[tuple[str, str], float] = {}
    for act in acts:
        if (holder := _ended(act)) is not None:
            before = ends.get((act.tenant, holder), act.answered_at)
            ends[act.tenant, holder] = min(before, act.answered_at)
    uses = [
        *(
            Used(a.tenant, a.target, a.invoked_at, a.verb)
            for a in acts
            if a.verb == "use" and a.done
        ),
        *(
            Used(a.tenant, a.holder, a.invoked_at, f"{a.tenant}/{a.key}")
            for a in attempts
            if a.holder and a.result in LET_IN
        ),
    ]
    for use in uses:
        at = ends.get((use.tenant, use.holder))
        late = 0.0 if at is None else use.at - at
        said = f"{use.holder} of {use.tenant} was let in {late:.1f} s after its end: {use.what}"
        finding.look(late <= COUNTS_ON_S, said)
    for act in acts:
        if act.verb == "refresh" and act.done:
            at = ends.get((act.tenant, act.target))
            said = f"{act.target} of {act.tenant} was refreshed after its end was acknowledged"
            finding.look(at is None or act.invoked_at <= at, said)
    return finding


def _ended(act: Act) -> str | None:
    """What counts no more because of this act."""
    if act.verb == "end" and act.done:
        return act.target
    if act.verb == "refresh" and act.code == REUSED:
        return act.target
    if act.verb in ("rotate key", "revoke key") and act.done:
        return act.token
    return None


def refreshed_once(acts: Iterable[Act]) -> Finding:
    """Each refresh token was good for one pair of tokens, or for none."""
    finding = Finding("a refresh token works at most once", of="tokens")
    brought = Counter(a.token for a in acts if a.verb == "refresh" and a.done)
    for token, times in brought.items():
        finding.look(times == 1, f"the refresh token …{token[-8:]} worked {times} times")
    return finding


def told(acts: Iterable[Act], tenant: str, events: Evidence) -> Finding:
    """Each sign-in, end, key and erasure that stands in the tables is an event once; no other is.

    And what was acknowledged stands in both.
    """
    finding = Finding("what was done and its event are both there, once, or neither", of="events")
    done = _stands(events.ledger.tenant_id)
    said = Counter(_event(row.content) for row in events.log)
    about = {key for key in said if key[1].startswith(ABOUT) and key[0] != ROTATED}
    for action, target in done.keys() | about:
        found, owed = said[action, target], done[action, target]
        finding.look(found == owed, f"{found} events {action} of {target}, and it was {owed} times")
    promised = Counter(_promised(act) for act in acts if act.tenant == tenant and act.done)
    for (action, target), times in promised.items():
        if action:
            complete = said[action, target] >= times
            finding.look(complete, f"{action} of {target} was acknowledged, and no event tells so")
    return finding


def _stands(tenant_id: int) -> Told:
    """What the tables say has happened."""
    stands: Told = Counter()
    with tenant_reading(tenant_id) as connection:
        for session, why in connection.execute(SESSIONS, {"tenant": tenant_id}):
            stands["person.signed_in", f"session:{session}"] += 1
            if why in ENDS:
                stands[ENDS[why], f"session:{session}"] += 1
        for key, revoked in connection.execute(KEYS, {"tenant": tenant_id}):
            stands["api_key.created", f"api_key:{show_id(key)}"] += 1
            if revoked:
                stands["api_key.revoked", f"api_key:{show_id(key)}"] += 1
        for subject in connection.execute(ERASED, {"tenant": tenant_id}).scalars():
            stands["subject.erased", subject] += 1
    return stands


def _event(body: dict[str, Any]) -> tuple[str, str]:
    return str(body.get("action")), str(body.get("target"))


def _promised(act: Act) -> tuple[str, str]:
    """The event that an acknowledged act must have; without an action where there is none."""
    action, prefix = PROMISED.get(act.verb, ("", ""))
    return action, f"{prefix}{act.target}"


# What a run must have seen.
SEEN = (
    "signed in",
    "sessions refreshed",
    "refresh tokens brought again",
    "signed out",
    "API keys rotated",
    "API keys revoked",
)


def tally(acts: Iterable[Act]) -> dict[str, int]:
    """How often each thing was done, and how often nobody knows whether it was."""
    acts = list(acts)
    done = Counter(act.verb for act in acts if act.done)
    return {
        "signed in": done["sign in"],
        "sessions refreshed": done["refresh"],
        "refresh tokens brought again": sum(act.code == REUSED for act in acts),
        "signed out": done["end"],
        "API keys made": done["make key"],
        "API keys rotated": done["rotate key"],
        "API keys revoked": done["revoke key"],
        "acts whose answer was lost": sum(act.status == 0 for act in acts),
    }
