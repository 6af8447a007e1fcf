"""Eight clients who move money over HTTP, repeat themselves, and write down what they were told."""

import http.client
import queue
import random
import threading
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import orjson

from tests.chaos.acts import PEOPLE, PERSONS, PROGRAM, Bearer, Tenant
from tests.chaos.contents import Told, altered, draw
from tests.chaos.contents_rules import ACCOUNTS, beginning
from tests.chaos.history import Attempt, History

CLIENTS = 8
# So little that money often runs out: refusals are outcomes too.
FUND = 20
SENT_MAX = 3
# Out of a hundred requests: repeated at all; a repetition with altered content; one that another
# client sends at the same time; waiting until it is final; in a bulk request.
REPEATED, ALTERED, AT_ONCE, WAITING, IN_BULK = 50, 30, 40, 8, 15
# Clients that hang up when they have asked: only they do not know what came of it.
HANGING = 3
BULK_MAX = 6
# While no worker works, every waiting client waits for so long, and asks for nothing else.
WAIT_S = 1
# The server answers a single request within three seconds, a waiting one after one more.
TIMEOUT_S = 5.0
PREPARED_WITHIN_S = 30
# The load is bounded: no client asks more often than this.
PACE_S = 0.012
DOWN_PAUSE_S = 0.1
IN_VAIN = ("connection refused", "token_invalid")  # asking at once would bring the same
# Who ask with what a person's session, and a program's key, has given last.
ASKS_AS = {1: PERSONS[0], 2: PERSONS[1], 3: PROGRAM}
NOTHING_STORED = "Nothing was stored"


class Request(NamedTuple):
    """One or more operations that are sent together, each under its key."""

    tenant: str
    items: tuple[tuple[str, dict[str, Any]], ...]
    how: str  # alone, wait, bulk
    who: str = ""  # one of PEOPLE, PERSONS, PROGRAM; or the client itself, with a token


class Client:
    """One connection to the API. Every attempt ends up in the history."""

    def __init__(self, name: str, url: str, tenants: list[Tenant], history: History) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=TIMEOUT_S)
        self._tenants = {tenant.name: tenant for tenant in tenants}
        self._name = name
        self._history = history

    def send(self, request: Request, *, hang_up: bool = False) -> list[Attempt]:
        """Send it once; what came of each item. Who hangs up hears no answer."""
        of, how = request.tenant, request.how
        bearer = self._tenants[of].bearer(request.who)
        attempts = [
            self._history.invoke(of, key, content, self._name, how, bearer.holder)
            for key, content in request.items
        ]
        try:
            status, answer = self._post(request, bearer, hang_up=hang_up)
        except ConnectionRefusedError:
            self.close()
            _all(attempts, "failed", "connection refused")
        except (OSError, http.client.HTTPException, orjson.JSONDecodeError) as error:
            self.close()
            _all(attempts, "unknown", type(error).__name__)
        else:
            if request.how == "bulk" and status < http.client.BAD_REQUEST:
                for attempt, item in zip(attempts, answer["data"], strict=True):
                    _take_item(attempt, item)
            else:
                for attempt in attempts:
                    _take(attempt, status, answer)
        return attempts

    def get(self, of: str, path: str) -> tuple[int, Any]:
        """Status and body of a GET, for the owner of the tenant `of`."""
        headers = {"Authorization": f"Bearer {self._tenants[of].owner}"}
        self._line.request("GET", path, headers=headers)
        answer = self._line.getresponse()
        return answer.status, orjson.loads(answer.read())

    def close(self) -> None:
        """Give the connection up; the next request makes a new one."""
        self._line.close()

    def _post(self, request: Request, bearer: Bearer, *, hang_up: bool) -> tuple[int, Any]:
        headers = {
            "Authorization": f"Bearer {bearer.token}",
            "Content-Type": "application/json",
        }
        path = "/v1/ledgers/main/operations"
        body: Any
        if request.how == "bulk":
            path += "/bulk"
            body = [{**content, "idempotency_key": key} for key, content in request.items]
        else:
            ((key, body),) = request.items
            headers["Idempotency-Key"] = key
        if request.how == "wait":
            headers["Prefer"] = f"wait={WAIT_S}"
        self._line.request("POST", path, orjson.dumps(body), headers)
        if hang_up:
            raise ConnectionAbortedError
        answer = self._line.getresponse()
        document = orjson.loads(answer.read())
        if answer.headers.get("Idempotent-Replayed") == "true":
            document["replayed"] = True
        return answer.status, document


def _all(attempts: list[Attempt], result: Any, note: str) -> None:
    for attempt in attempts:
        attempt.end(result, note)


def _take(attempt: Attempt, status: int, answer: dict[str, Any]) -> None:
    if status in (http.client.OK, http.client.ACCEPTED):
        attempt.id, attempt.position = answer["id"], answer["position"]
        attempt.status, attempt.replayed = answer["status"], answer.get("replayed", False)
        attempt.rejection = (answer["rejection"] or {}).get("code", "")
        attempt.end("ok", str(status))
    else:
        _take_problem(attempt, answer)


def _take_item(attempt: Attempt, item: dict[str, Any]) -> None:
    if item["status"] in ("accepted", "replayed"):
        attempt.id, attempt.position = item["id"], item["position"]
        attempt.replayed = item["status"] == "replayed"
        attempt.end("ok", item["status"])
    else:
        _take_problem(attempt, item["error"])


def _take_problem(attempt: Attempt, problem: dict[str, Any]) -> None:
    code, status = problem["code"], problem["status"]
    if code == "idempotency_key_reused":
        attempt.differs = problem["differs"]
        attempt.end("reused", code)
    elif status < http.client.INTERNAL_SERVER_ERROR or NOTHING_STORED in problem["detail"]:
        attempt.end("failed", code)
    else:
        attempt.end("unknown", code)


class Crowd:
    """All clients, each in a thread, until they are told to stop."""

    def __init__(self, url: str, tenants: list[Tenant], history: History, seed: int) -> None:
        self._tenants = tenants
        self._told = Told()
        self._at_once: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(
                    Client(f"client {number}", url, tenants, history),
                    number,
                    f"{seed}/{number}",
                ),
                name=f"chaos-client-{number}",
            )
            for number in range(1, CLIENTS + 1)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each finish what it has begun."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, client: Client, number: int, seed: str) -> None:
        choose = random.Random(seed)
        count = 0
        while not self._stop.is_set():
            count += 1
            for request in self._requests(choose, f"{number}-{count}", ASKS_AS.get(number, "")):
                self._send(client, request, hang_up=choose.randrange(100) < HANGING)
        client.close()

    def _requests(self, choose: random.Random, name: str, who: str) -> list[Request]:
        """A request of somebody else to be sent at the same time, or one with its repetitions."""
        try:
            return [self._at_once.get_nowait()]
        except queue.Empty:
            pass
        first = self._new(choose, name, who)
        requests = [first]
        if choose.randrange(100) < REPEATED:
            for _ in range(choose.randrange(SENT_MAX)):
                again = _again(choose, first)
                if choose.randrange(100) < AT_ONCE:
                    self._at_once.put(again)
                else:
                    requests.append(again)
        return requests

    def _new(self, choose: random.Random, name: str, who: str) -> Request:
        how = "alone"
        many = 1
        chance = choose.randrange(100)
        if chance < WAITING:
            how = "wait"
        elif chance < WAITING + IN_BULK:
            how, many = "bulk", choose.randint(2, BULK_MAX)
        mine, other = choose.sample([tenant.name for tenant in self._tenants], 2)
        # Both tenants use the same keys: they have nothing to do with each other.
        items = tuple(
            (f"{name}-{item}", draw(choose, self._told, mine, other)) for item in range(many)
        )
        deciding = any(content["kind"] in ("approve", "refuse") for _, content in items)
        # The client itself, too, whose own it may be.
        return Request(mine, items, how, choose.choice((*PEOPLE, who)) if deciding else who)

    def _send(self, client: Client, request: Request, *, hang_up: bool) -> None:
        began = time.monotonic()
        attempts = client.send(request, hang_up=hang_up)
        for attempt in attempts:
            self._told.take(attempt)
        refused = attempts[0].note in IN_VAIN
        pause = DOWN_PAUSE_S if refused else PACE_S - (time.monotonic() - began)
        self._stop.wait(max(pause, 0))


def _again(choose: random.Random, request: Request) -> Request:
    """The same keys once more, all of their contents altered or none."""
    if choose.randrange(100) >= ALTERED:
        return request
    items = tuple((key, altered(choose, content)) for key, content in request.items)
    return request._replace(items=items)


def prepare(url: str, tenants: list[Tenant], history: History, seconds: float) -> None:
    """Open and fund the accounts of each tenant, set its rules, and wait until that is final."""
    client = Client("prepare", url, tenants, history)
    for one in tenants:
        opened = [("world", "asset", "unlimited"), *((code, "liability", 0) for code in ACCOUNTS)]
        for code, kind, overdraft in opened:
            body = {"code": code, "type": kind, "currency": "EUR", "overdraft": overdraft}
            _must(client, one.name, f"open-{code}", {"kind": "open_account", **body})
        for code in ACCOUNTS:
            body = {"source": "world", "destination": code, "amount": FUND, "currency": "EUR"}
            _must(client, one.name, f"fund-{code}", {"kind": "transfer", **body})
        *begin, last = beginning(seconds)
        items = tuple((f"begin-{number}", content) for number, content in enumerate(begin))
        client.send(Request(one.name, items, "bulk"))
        _must(client, one.name, "begin-last", last, "pending")
    client.close()


def _must(
    client: Client, of: str, key: str, content: dict[str, Any], status: str = "posted"
) -> None:
    """Send it until it is posted, or waits: the first one waits until the workers have started."""
    for _ in range(PREPARED_WITHIN_S // WAIT_S):
        (attempt,) = client.send(Request(of, ((key, content),), "wait"))
        if attempt.status == status:
            return
    raise AssertionError(f"{key} was not {status} within {PREPARED_WITHIN_S} s: {attempt.lines()}")
