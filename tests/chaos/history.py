"""What happened, in order: every attempt and act with its result, and every fault.

invoked ──┬── ok        it is stored; the answer says where and what became of it
          ├── reused    it is not: the key belongs to other content, and the answer says which
          ├── failed    a clear answer that nothing was stored
          └── unknown   anything else: it may have been stored, or not
"""

import http.client
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

# A fault so short before the first event may have to do with it.
NEAR_S = 2.0
# Events of one violation that are shown; a person reads no more.
EVENTS_MAX = 60

# The kind of the strike that is none: the last fault has been lifted.
HEALED = "healed"

Result = Literal["invoked", "ok", "reused", "failed", "unknown"]
Verb = Literal[
    "invite", "sign in", "refresh", "end", "use", "make key", "rotate key", "revoke key", "erase"
]


@dataclass(slots=True)
class Attempt:
    """One sending of one operation. Times are seconds since the epoch, by the true clock."""

    tenant: str
    key: str
    content: dict[str, Any]  # with its kind, as it is sent
    client: str
    how: str  # alone, wait, bulk
    invoked_at: float
    holder: str = ""  # the session or the secret that it was asked with
    answered_at: float = 0.0
    result: Result = "invoked"
    note: str = ""  # the answer's code, or what broke
    id: str = ""
    position: int = 0
    status: str = ""  # as the answer said
    rejection: str = ""  # the code
    replayed: bool = False
    differs: list[str] = field(default_factory=list)

    def end(self, result: Result, note: str = "") -> None:
        """The answer is there, or will never be."""
        self.result, self.note, self.answered_at = result, note, time.time()

    def lines(self) -> list[tuple[float, str]]:
        """The attempt as events for people."""
        what = ", ".join(f"{k}={v}" for k, v in self.content.items() if k != "kind")
        whom = f"{self.client:10} {self.tenant}/{self.key}"
        sent = f"{whom} invoked ({self.how}) {self.content['kind']} {what}"
        if self.result == "invoked":
            return [(self.invoked_at, sent)]
        said = " ".join(filter(None, (self.note, self.id, self.status, self.rejection)))
        at = f" at position {self.position}" if self.position else ""
        again = " replayed" if self.replayed else ""
        return [
            (self.invoked_at, sent),
            (self.answered_at, f"{whom} {self.result} {said}{at}{again} {self.differs or ''}"),
        ]


@dataclass(slots=True)
class Act:
    """One request. Times are seconds since the epoch, by the true clock.

    `target` is the session, key or subject that it is about; `token` tells refresh tokens apart.
    """

    tenant: str
    verb: Verb
    target: str
    token: str = ""
    invoked_at: float = 0.0
    answered_at: float = 0.0
    status: int = 0  # 0: nobody knows what came of it
    code: str = ""

    @property
    def done(self) -> bool:
        """It was acknowledged."""
        return self.status in (http.client.OK, http.client.CREATED)


class Strike(NamedTuple):
    """One fault, or its end."""

    at: float
    kind: str
    note: str


class History:
    """All of it. Safe for threads: each thread appends, and reading happens afterwards."""

    def __init__(self) -> None:
        self.began = time.time()
        self.attempts: list[Attempt] = []
        self.strikes: list[Strike] = []
        self.acts: list[Act] = []
        self._lock = threading.Lock()

    def invoke(
        self,
        tenant: str,
        key: str,
        content: dict[str, Any],
        client: str,
        how: str,
        holder: str = "",
    ) -> Attempt:
        """A client begins an attempt."""
        attempt = Attempt(tenant, key, content, client, how, time.time(), holder)
        with self._lock:
            self.attempts.append(attempt)
        return attempt

    def act(self, act: Act) -> None:
        """Somebody has acted beside the books."""
        with self._lock:
            self.acts.append(act)

    def strike(self, kind: str, note: str) -> None:
        """A fault strikes, or ends."""
        with self._lock:
            self.strikes.append(Strike(time.time(), kind, note))

    def seen(self) -> tuple[int, int]:
        """How many operations are acknowledged so far, and how many attempts unknown."""
        with self._lock:
            attempts = list(self.attempts)
        acknowledged = {(one.tenant, one.key) for one in attempts if one.result == "ok"}
        return len(acknowledged), sum(one.result == "unknown" for one in attempts)

    def by_key(self) -> dict[tuple[str, str], list[Attempt]]:
        """The attempts of each operation, by tenant and key."""
        found: dict[tuple[str, str], list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            found[attempt.tenant, attempt.key].append(attempt)
        return found

    def excerpt(self, keys: Iterable[tuple[str, str]], most: int = EVENTS_MAX) -> list[str]:
        """The attempts of these operations and the faults between them, in order of time."""
        wanted = set(keys)
        events = [
            event
            for attempt in self.attempts
            if (attempt.tenant, attempt.key) in wanted
            for event in attempt.lines()
        ]
        if events:
            first, last = min(events)[0], max(events)[0]
            events += [
                (strike.at, f"** {strike.kind}: {strike.note}")
                for strike in self.strikes
                if first - NEAR_S <= strike.at <= last
            ]
        shown = [f"{at - self.began:8.3f} s  {text}" for at, text in sorted(events)]
        if len(shown) > most:
            shown[most:] = [f"... and {len(shown) - most} more events"]
        return shown
