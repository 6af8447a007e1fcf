"""People who sign in, go on and out, and programs whose keys are rotated and revoked, under faults.

What they present lies with their tenant, where the clients take it for operations. What was ended
lies there for a while longer: nothing may come of it any more.
"""

import hashlib
import random
import threading
import time
from typing import Any

from tests.chaos.acts import PROGRAM, Actor, Asker, Bearer, Tenant
from tests.chaos.history import Act, History

PASSWORD = "marmot trellis 58 quench"
# What the problem says when a refresh token that had been used ended its session.
REUSED_SAYS = "had been used before"
REUSED = "reused"
# Between two acts, and after an act that failed.
PAUSE_S, FAILED_PAUSE_S = (0.1, 0.4), 0.4
# For how long clients go on with what was ended: longer than it may count anywhere.
HAUNTS_S = 2.6
# What a person does next: of a hundred. The others are refreshes.
TWICE, AGAIN, OUT = 15, 30, 15
ROTATED = 50
HOLDER_LENGTH = 12


class Person(Actor):
    """Somebody with a session: refreshes, alone and twice at once; signs out; brings used tokens.

    After an answer that was lost they sign in again, as the documentation says.
    """

    def __init__(self, url: str, tenant: Tenant, name: str, history: History, seed: str) -> None:
        self._asker, self._other = Asker(url, history), Asker(url, history)
        super().__init__(f"{tenant.name}-{name}", self._asker, self._other)
        self._tenant, self._name = tenant, name
        self._choose = random.Random(seed)
        self._session, self._refresh, self._access = "", "", ""
        self._used: list[str] = []
        self._ends_at: float | None = None  # when a ghost gives up

    def _act(self) -> float:
        if self._ends_at is not None:
            return self._haunt()
        if not self._refresh:
            return self._sign_in()
        chance = self._choose.randrange(100)
        if chance < OUT:
            act = Act(self._tenant.name, "end", self._session)
            self._asker.ask(act, "DELETE", "/v1/sessions/current", token=self._access)
            return self._ended(act)
        if chance < OUT + AGAIN and len(self._used) > 1:
            # The very last one would be a race, for some seconds: it ends nothing.
            act = self._bring(self._asker, self._used[0])[0]
            return self._ended(act)
        self._go_on(twice=chance < OUT + AGAIN + TWICE)
        return self._choose.uniform(*PAUSE_S)

    def _sign_in(self) -> float:
        act = Act(self._tenant.name, "sign in", "")
        asked = {"tenant": self._tenant.name, "email": email_of(self._name), "password": PASSWORD}
        answer = self._asker.ask(act, "POST", "/v1/sessions", asked)
        if not act.done:
            return FAILED_PAUSE_S
        act.target = answer["session"]
        self._used.clear()
        self._take(answer)
        return self._choose.uniform(*PAUSE_S)

    def _take(self, answer: dict[str, Any]) -> None:
        self._session, self._refresh = answer["session"], answer["refresh_token"]
        self._access = answer["access_token"]
        self._tenant.bearers[self._name] = Bearer(self._access, self._session)

    def _go_on(self, *, twice: bool) -> None:
        """With the newest refresh token: whoever is not answered signs in again."""
        token, answers = self._refresh, list[tuple[Act, dict[str, Any]]]()
        askers = (self._asker, self._other) if twice else (self._asker,)
        tries = [
            threading.Thread(target=lambda one=one: answers.append(self._bring(one, token)))
            for one in askers
        ]
        for one in tries:
            one.start()
        for one in tries:
            one.join()
        self._used.append(token)
        won = [answer for act, answer in answers if act.done]
        if any(act.code == REUSED for act, _ in answers):
            self._ends_at = time.monotonic() + HAUNTS_S
        elif won:
            self._take(won[0])
        else:
            self._refresh = ""

    def _bring(self, asker: Asker, token: str) -> tuple[Act, dict[str, Any]]:
        act = Act(self._tenant.name, "refresh", self._session, token)
        answer = asker.ask(act, "POST", "/v1/sessions/refresh", {"refresh_token": token})
        if REUSED_SAYS in answer.get("detail", ""):
            act.code = REUSED
        return act, answer

    def _ended(self, act: Act) -> float:
        """If it ended the session, try for a while whether that counts; else sign in again."""
        if act.done or act.code == REUSED:
            self._ends_at = time.monotonic() + HAUNTS_S
        else:
            self._refresh = ""
        return self._choose.uniform(*PAUSE_S)

    def _haunt(self) -> float:
        assert self._ends_at is not None
        if time.monotonic() < self._ends_at:
            use = Act(self._tenant.name, "use", self._session)
            self._asker.ask(use, "GET", "/v1/people/me", token=self._access)
            return self._choose.uniform(*PAUSE_S)
        self._bring(self._asker, self._refresh)
        self._refresh, self._ends_at = "", None
        return 0.0


class Program(Actor):
    """A program with an API key, which its owner rotates, revokes, and makes anew."""

    def __init__(self, url: str, tenant: Tenant, history: History, seed: str) -> None:
        self._asker = Asker(url, history)
        super().__init__(f"{tenant.name}-program", self._asker)
        self._tenant = tenant
        self._choose = random.Random(seed)
        self._key, self._secret = "", ""
        self._next: Bearer | None = None  # once the ghost of the one before has gone

    def _act(self) -> float:
        if self._next is not None:
            self._tenant.bearers[PROGRAM] = self._next
            self._next = None
        elif not self._key:
            return self._make()
        elif self._choose.randrange(100) < ROTATED:
            return self._rotate()
        else:
            return self._revoke()
        return self._choose.uniform(*PAUSE_S)

    def _make(self) -> float:
        act = Act(self._tenant.name, "make key", "")
        asked = {"name": "program", "roles": ["admin"]}
        answer = self._asker.ask(act, "POST", "/v1/api-keys", asked, self._tenant.owner)
        if not act.done:
            return FAILED_PAUSE_S
        self._key = act.target = answer["id"]
        self._secret = answer["key"]
        self._tenant.bearers[PROGRAM] = Bearer(self._secret, holder_of(self._secret))
        return 2 * self._choose.uniform(*PAUSE_S)

    def _rotate(self) -> float:
        act = Act(self._tenant.name, "rotate key", self._key, holder_of(self._secret))
        path = f"/v1/api-keys/{self._key}/rotate"
        answer = self._asker.ask(act, "POST", path, {"grace_s": 0}, self._tenant.owner)
        if not act.done:  # nobody knows which secret counts now
            self._key = ""
            return FAILED_PAUSE_S
        self._secret = answer["key"]
        self._next = Bearer(self._secret, holder_of(self._secret))
        return HAUNTS_S

    def _revoke(self) -> float:
        act = Act(self._tenant.name, "revoke key", self._key, holder_of(self._secret))
        path = f"/v1/api-keys/{self._key}"
        self._asker.ask(act, "DELETE", path, token=self._tenant.owner)
        if not act.done:
            return FAILED_PAUSE_S
        self._key = ""
        return HAUNTS_S


def email_of(name: str) -> str:
    """With what a person signs in."""
    return f"{name.replace(' ', '.')}@example.com"


def holder_of(secret: str) -> str:
    """What the history calls a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()[:HOLDER_LENGTH]
