"""Every route of the document, asked by a second tenant: the first one's things are not there.

What it asks for by an id of the first tenant's is answered just as by an id that nobody has: the
same status, the same words, so that nobody learns what others have. Nothing that the first tenant
wrote stands in any answer.
"""

import datetime as dt
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from api.docs import METHODS
from models.db import app_engine, raw_connection
from pipeline.kinds import OFFERED
from pipeline.notify import CHANNEL
from pipeline.permissions import ROLES
from tests.api.caller import WORLD, Caller, new_key, problem, token, transfer
from tests.api.conftest import Bellman
from tests.api.contract import document
from tests.bank import new_ledger

# Stands in all that the first tenant writes, but for what the second one has to name.
CANARY = "canary-8f3a"
BANK = "ours:bank"
MAPPING = {"columns": {"booking_date": "Date", "amount": "Amount", "description": "Text"}}
TYPE_ID = re.compile(r"\b([a-z_]{2,8}_[0-7][0-9a-hjkmnp-tv-z]{25})\b")


# What people see of themselves; programs, who ask here, have nothing of their own
# (tests/identity/test_sessions.py asks as people).
OF_PEOPLE = ("/v1/sessions", "/v1/people/me")

# There is none of who lives; tests/privacy asks for one.
CERTIFICATE = "/v1/subjects/{ref}/certificate"


class First(NamedTuple):
    """The first tenant's caller, and what of its own stands in addresses, by the name there."""

    caller: Caller
    mine: dict[str, str]
    ids: frozenset[str]


class Route(NamedTuple):
    """A method and a path with its parameters."""

    method: str
    template: str
    path: tuple[str, ...]
    query: tuple[str, ...]

    def filled(self, values: dict[str, str]) -> str:
        """The address with these values."""
        return re.sub(r"\{(\w+)\}", lambda name: values[name[1]], self.template)


def routes(app: Flask) -> Iterator[Route]:
    """All that take a token."""
    for template, item in document(app)["paths"].items():
        for method in METHODS:
            if method not in item or item[method].get("security") == []:
                continue
            every = [*item.get("parameters", ()), *item[method].get("parameters", ())]
            yield Route(
                method.upper(),
                template,
                tuple(one["name"] for one in every if one["in"] == "path"),
                tuple(one["name"] for one in every if one["in"] == "query"),
            )


@pytest.fixture(scope="module")
def first(app: Flask) -> First:
    """A tenant that has something of everything; its ledger, its accounts and its ids."""
    caller = Caller(app, new_ledger().name, token(ROLES))
    caller.open("world", **WORLD)
    named = {"name": CANARY, "metadata": {"note": CANARY}}
    caller.open(BANK, type="asset", overdraft="unlimited", **named)
    caller.open("a", **named)
    said = {"description": CANARY, "metadata": {"note": CANARY}}
    personal = {"subject": "customer-canary", "name": CANARY}
    paid = caller.posted(transfer(source=BANK, personal=personal, **said))
    held = caller.submit({**transfer(50), "kind": "hold", **said}, wait=10).json or {}
    caller.submit(transfer(source="a", destination="world", amount=10**9, **said), wait=10)
    caller.posted(
        {"kind": "set_limit", "name": CANARY, "per": "day", "currency": "EUR", "amount": 10**9}
    )
    caller.posted({"kind": "set_approval", "name": CANARY, "currency": "EUR", "above": 10**6})
    waiting = caller.submit(transfer(10**6 + 1, **said), wait=10).json or {}
    today = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT00:00:00Z")
    rule = {"rule": "FREQ=MONTHLY", "starts_at": today, "time_zone": "UTC"}
    schedule = caller.post(
        "schedules", {"operation": transfer(**said), **rule, **said}, key=new_key()
    )
    assert schedule.status_code == 201, schedule.text
    assert caller.call("PUT", f"csv-mappings/{CANARY}", MAPPING).status_code == 200
    lines = f"Date,Amount,Text\n2026-10-06,1.00,{CANARY}\n2026-10-07,2.00,{CANARY}\n".encode()
    where = f"reconciliations/{BANK}"
    file = f"{where}/statements?mapping={CANARY}&file_name={CANARY}"
    taken = caller.post(file, lines, mimetype="text/csv")
    assert taken.status_code == 201, taken.text
    left_out = caller.post(f"{where}/exclusions", {"lines": [1], "reason": CANARY})
    assert left_out.status_code == 201, left_out.text
    schedule_id = (schedule.json or {})["id"]
    mine = {
        "ledger": caller.ledger,
        "code": BANK,
        "operation_id": waiting["id"],
        "schedule_id": schedule_id,
        "number": "1",
        "name": "our-bank",
        "ref": "customer-canary",
        "session_id": signed_in(caller),
    }
    mine |= made_by_example(app, caller, mine)
    ids = {paid["id"], held["id"], waiting["id"], schedule_id}
    return First(caller, mine, frozenset(ids))


def signed_in(caller: Caller) -> str:
    """A session of a person of the tenant; its id."""
    address, password = "canary@example.com", "marmot trellis 58 quench"
    invited = caller.post("/v1/people", {"email": address, "roles": ["auditor"], "name": CANARY})
    token = (invited.json or {})["invitation_token"]
    caller.post("/v1/invitations/accept", {"invitation_token": token, "password": password})
    asked = {"tenant": "default", "email": address, "password": password}
    return str((caller.post("/v1/sessions", asked).json or {})["session"])


def made_by_example(app: Flask, caller: Caller, mine: dict[str, str]) -> dict[str, str]:
    """What other things there are, made by the document's own example: the id of each, by name."""
    made: dict[str, str] = {}
    paths = document(app)["paths"]
    for route in routes(app):
        for name in set(route.path) - set(mine) - set(made):
            collection = route.template.partition(f"/{{{name}}}")[0]
            create = paths.get(collection, {}).get("post", {}).get("requestBody", {"content": {}})
            example = create["content"].get("application/json", {}).get("example")
            where = re.sub(r"\{(\w+)\}", lambda known: mine[known[1]], collection)
            answer = caller.post(where, example, key=new_key())
            if answer.status_code == 201:
                made[name] = (answer.json or {})["id"]
    return made


@pytest.fixture
def second(app: Flask, first: First, other_tenant: int, bellman: Bellman) -> Caller:
    """Somebody of another tenant who names the first one's ids, in a ledger of the same name."""
    return at_ledger_of_that_name(app, first, other_tenant)


@pytest.fixture
def reader(app: Flask, first: First, twin_tenant: int, bellman: Bellman) -> Caller:
    """Somebody of a third tenant who has never sent a word of the first one's, and looks."""
    return at_ledger_of_that_name(app, first, twin_tenant)


def at_ledger_of_that_name(app: Flask, first: First, tenant_id: int) -> Caller:
    """A caller with every role of the tenant, at its own ledger of the first tenant's name."""
    caller = Caller(app, first.caller.ledger, token(ROLES, tenant_id=tenant_id))
    assert caller.post("/v1/ledgers", {"name": caller.ledger}).status_code in {201, 409}
    return caller


def unlike(value: str) -> str:
    """A value of the same form that nobody has."""
    if TYPE_ID.fullmatch(value):
        return value[:-4] + ("0000" if value[-4:] != "0000" else "1111")
    return "99" if value.isdecimal() else f"{value}-none"


def told(answer: TestResponse, *sent: str) -> tuple[int, str]:
    """The status and the words, less what the request itself named."""
    words = answer.text
    for one in sent:
        words = words.replace(one, "…")
    return answer.status_code, re.sub(r'"request_id":"[^"]*"', "", words)


def leaks(first: First, answer: TestResponse, *sent: str) -> list[str]:
    """What of the first tenant's stands in the body or the headers."""
    whole = f"{answer.headers}\n{answer.text}"
    for one in sent:
        whole = whole.replace(one, "…")
    return [one for one in (CANARY, BANK, *first.ids) if one in whole]


def test_the_first_tenant_has_something_at_every_route(app: Flask, first: First) -> None:
    """A route whose address names a thing that is not made above is not tried: make one."""
    named = {name for route in routes(app) for name in route.path}
    assert named - set(first.mine) == set(), "let `first` make one of these, and name it in `mine`"
    for route in routes(app):
        if route.method == "GET" and route.template not in (*OF_PEOPLE, CERTIFICATE):
            answer = first.caller.get(route.filled(first.mine))
            if "operation_id" not in route.path or answer.status_code != 405:
                assert answer.status_code == 200, (route, answer.text)


def test_the_first_tenants_own_answers_hold_the_canary(app: Flask, first: First) -> None:
    """Most of them do: so the search below would find it."""
    asked = [route for route in routes(app) if route.method == "GET" and "ledger" in route.path]
    found = [route for route in asked if leaks(first, first.caller.get(route.filled(first.mine)))]
    assert len(found) > len(asked) / 2


def test_a_ledger_of_anothers_is_not_there(app: Flask, first: First, other_tenant: int) -> None:
    """404 at every route, never 403, in the words for a ledger that nobody has."""
    stranger = Caller(app, "", token(ROLES, tenant_id=other_tenant))
    theirs = {**first.mine, "ledger": new_ledger().name}
    nobodys = {**theirs, "ledger": f"{theirs['ledger']}-none"}
    for route in routes(app):
        if "ledger" in route.path:
            keyed = {"Idempotency-Key": new_key()}
            one = stranger.call(route.method, route.filled(theirs), headers=keyed)
            other = stranger.call(route.method, route.filled(nobodys), headers=keyed)
            assert problem(one) == (404, "unknown_ledger"), (route, one.text)
            assert told(one, theirs["ledger"]) == told(other, nobodys["ledger"])


def test_an_id_of_anothers_is_like_none(app: Flask, first: First, second: Caller) -> None:
    """Each part of each address but the ledger's name, which both have: as if nobody had it."""
    tried = set()
    for route in routes(app):
        for name in set(route.path) - {"ledger"}:
            theirs, nobodys = first.mine, {**first.mine, name: unlike(first.mine[name])}
            keyed = {"Idempotency-Key": new_key()}, {"Idempotency-Key": new_key()}
            one = second.call(route.method, route.filled(theirs), headers=keyed[0])
            other = second.call(route.method, route.filled(nobodys), headers=keyed[1])
            assert one.status_code != 403, (route, one.text)
            sent = set(theirs.values()) - {"1"}
            assert leaks(first, one, *sent) == [], (route, one.text)
            if route.method == "GET":
                assert one.status_code == 404, (route, one.text)
                assert told(one, theirs[name]) == told(other, nobodys[name]), route
            else:
                assert one.status_code == other.status_code, (route, one.text, other.text)
            tried.add(name)
    assert tried == set(first.mine) - {"ledger"}


def test_nothing_of_anothers_is_in_any_answer(app: Flask, first: First, reader: Caller) -> None:
    """Lists, searches, reports, exports and events of one who looks for it."""
    reader.open_two()
    reader.open(BANK, type="asset", overdraft="unlimited")
    reader.posted(transfer())
    wanted = {
        "text": CANARY[:4] + "*",
        "metadata.{name}": CANARY,
        "account": "a",
        "code": BANK,
        "prefix": "ours",
        "actor": "tests",
    }
    for route in routes(app):
        if route.method != "GET" or set(route.path) - {"ledger", "code"}:
            continue
        if route.template in OF_PEOPLE:
            continue
        asked = [""] + [
            f"?{name.format(name='note')}={wanted[name]}" for name in route.query if name in wanted
        ]
        if "format" in route.query:
            asked += ["?format=csv"]
        for query in asked:
            answer = reader.get(route.filled(first.mine) + query)
            assert answer.status_code == 200, (route, query, answer.text)
            found = leaks(first, answer, BANK)
            assert found == [], f"{route.template}{query} shows {found}"


def test_a_cursor_of_anothers_leads_to_ones_own(app: Flask, first: First, reader: Caller) -> None:
    """A list that goes on where another tenant's page ended shows nothing of that."""
    followed = 0
    for route in routes(app):
        if route.method != "GET" or "after" not in route.query:
            continue
        path = route.filled(first.mine)
        page: Any = first.caller.get(f"{path}?limit=1").json
        if page["next"] is None:
            continue
        answer = reader.get(f"{path}?after={page['next']}")
        assert answer.status_code in {200, 404}, (route, answer.text)
        assert leaks(first, answer, BANK) == [], route
        followed += 1
    assert followed > 3


@pytest.mark.parametrize("kind", [name for name, one in OFFERED.items() if "target" in one.example])
def test_an_operation_about_anothers_is_rejected_like_one_about_none(
    first: First, second: Caller, kind: str
) -> None:
    """Tried and submitted: the same code and the same words, and nothing happens to the target."""
    for target in first.ids:
        answers = []
        for named in (target, unlike(target)):
            body = {**OFFERED[kind].example, "target": named}
            tried = told(second.post("operations/dry-run", body), named)
            done: Any = second.submit(body, wait=10).json
            assert done["status"] == "rejected", done
            rejection = str(done["rejection"]).replace(named, "…")
            answers.append((re.sub(r"\d+", "#", tried[1]), rejection))
        assert answers[0] == answers[1]
        shown: Any = first.caller.get(f"operations/{target}").json
        assert kind not in str(shown.get("decisions", ""))


def test_what_is_announced_to_all_is_numbers(first: First, second: Caller) -> None:
    """Every process of the application hears of final operations: by number, in no one's words."""
    with raw_connection(app_engine()) as connection:
        connection.cursor().execute(f"LISTEN {CHANNEL}")
        for caller in (first.caller, second):
            caller.submit(transfer(description=CANARY), wait=10)
        connection.cursor().execute("SELECT 1")
        heard = [notice.payload for notice in connection.notifies]
        connection.cursor().execute("UNLISTEN *")
    assert len(heard) >= 2
    assert [word for word in heard if not re.fullmatch(r"\d+:\d+:\d+", word)] == []
