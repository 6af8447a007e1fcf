"""What people, programs and owners do beside the books: sign in and out, keys, erasures.

Every request is an act with what was said to it. What was acknowledged is a promise: whatever was
ended asks for nothing later, a refresh token has one successor, whoever is erased stays so.
"""

import datetime as dt
import http.client
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from models.token import mint
from tests.chaos.history import Act, History

# A password is looked at behind others, and a proxy delays each of a handful of statements.
TIMEOUT_S = 8.0
# Of tokens; longer than any clock is ahead.
LIFETIME = dt.timedelta(days=1)
# Two who approve what is large. Each client is one of them now and then.
PEOPLE = ("ada", "bo")
# Who sign in, and who has an API key.
PERSONS, PROGRAM = ("person 1", "person 2"), "program"


class Bearer(NamedTuple):
    """What is presented with a request, and whose it is: a session, or one secret of a key."""

    token: str
    holder: str = ""


class Tenant(NamedTuple):
    """Whom a client acts for."""

    name: str
    tenant_id: int
    owner: str  # the token of who may do anything
    bearers: dict[str, Bearer]  # by who asks; those of PERSONS and PROGRAM come and go

    def bearer(self, who: str) -> Bearer:
        """Until somebody has signed in, or has made a key, a token stands in."""
        return self.bearers.get(who, self.bearers[""])


def tenant(name: str, tenant_id: int) -> Tenant:
    """A tenant with tokens of the command line."""
    tokens = {who: mint(who, tenant_id, ["approver", "submitter"], LIFETIME) for who in PEOPLE}
    tokens[""] = mint(f"client-{name}", tenant_id, ["admin"], LIFETIME)
    bearers = {who: Bearer(token) for who, token in tokens.items()}
    return Tenant(name, tenant_id, mint("owner", tenant_id, ["owner"], LIFETIME), bearers)


class Asker:
    """A connection of somebody who acts. Each act ends up in the history."""

    def __init__(self, url: str, history: History) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._history = history

    def ask(
        self, act: Act, method: str, path: str, body: Any = None, token: str = ""
    ) -> dict[str, Any]:
        """Ask once; the answer, or nothing where none came. `act` knows how it went."""
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        act.invoked_at = time.time()
        answer: dict[str, Any] = {}
        try:
            self._line.request(method, path, None if body is None else orjson.dumps(body), headers)
            found = self._line.getresponse()
            answer = orjson.loads(found.read())
            act.status, act.code = found.status, str(answer.get("code", ""))
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError):
            self.close()
        act.answered_at = time.time()
        self._history.act(act)
        return answer

    def close(self) -> None:
        """Give the connection up; the next request makes a new one."""
        self._line.close()


class Actor:
    """A thread that acts again and again until it is told to stop."""

    def __init__(self, name: str, *askers: Asker) -> None:
        self._askers = askers
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"chaos-{name}")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let it finish what it has begun."""
        self._stopped.set()
        self._thread.join()
        for asker in self._askers:
            asker.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._stopped.wait(self._act())

    def _act(self) -> float:
        """Do the next thing; the pause behind it in seconds."""
        raise NotImplementedError
