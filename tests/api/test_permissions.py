"""Every route with every role: the document says what it takes, and it takes just that."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jwt
import pytest
from flask import Flask

from api.docs import METHODS
from models.ledger import LedgerRef
from pipeline.kinds import KINDS, OFFERED
from pipeline.permissions import ROLES, SUBMIT, TABLE, action_of, allowed, may_submit
from tests.api.caller import Caller, new_key, operations_of, problem, token, transfer
from tests.api.conftest import Bellman
from tests.api.contract import document
from tests.api.test_openapi import UNDOCUMENTED
from tests.bank import Bank, new_ledger

# Each role by itself, none, one that there is not, and the one that no client has.
SETS = [(role,) for role in ROLES] + [(), ("janitor",), ("scheduler",)]
# Permissions that a route or a kind asks for beside its own.
AHEAD = re.compile(r"people\.owners|(sessions|personal|subjects)\.\w+|(approvals|schedules)\.any")


class Route(NamedTuple):
    """One path and method, filled in, and what it takes."""

    method: str
    path: str
    action: str

    def permits(self, roles: tuple[str, ...], scopes: tuple[str, ...] | None = None) -> bool:
        """Whether the table lets these through."""
        if self.action == SUBMIT:
            return may_submit(frozenset(roles), scopes)
        return allowed(roles, self.action, scopes)


def routes(app: Flask, ledger: str) -> Iterator[Route]:
    """Those that are not open to all; the examples of the document stand in their paths."""
    for template, item in document(app)["paths"].items():
        for method in METHODS:
            if method not in item or item[method].get("security") == []:
                continue
            path = template.replace("{ledger}", ledger)
            for one in [*item.get("parameters", ()), *item[method].get("parameters", ())]:
                if one["in"] == "path":
                    path = path.replace(f"{{{one['name']}}}", str(one["example"]))
            assert "{" not in path, f"{template} has no example for a part of its path"
            yield Route(method.upper(), path, item[method].get("x-permission", ""))


def test_every_route_names_its_permission(app: Flask) -> None:
    """One of the table, or that it is open to all; no route is outside the document."""
    every = list(routes(app, "main"))
    assert len(every) > 30
    for route in every:
        assert route.action in TABLE or route.action == SUBMIT, route
    documented = {path for path, item in document(app)["paths"].items() if item}
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        assert path in documented or rule.rule in UNDOCUMENTED, rule


def test_every_permission_is_asked_for(app: Flask) -> None:
    """By a route or a kind, or it belongs to what is still to come."""
    asked = {route.action for route in routes(app, "main")} | set(map(action_of, KINDS))
    assert [one for one in TABLE if one not in asked and not AHEAD.fullmatch(one)] == []


@pytest.mark.parametrize("roles", SETS, ids=lambda roles: "+".join(roles) or "none")
def test_a_route_takes_just_its_permission(
    app: Flask, api: Caller, asleep: Bellman, roles: tuple[str, ...]
) -> None:
    """403 that names it for who lacks it; whatever else is wrong for who has it, never a 5xx."""
    caller = api.with_roles(*roles)
    for route in routes(app, api.ledger):
        answer = caller.call(route.method, route.path)
        if not route.permits(roles):
            assert problem(answer) == (403, "forbidden"), (route, answer.text)
            assert f"`{route.action}`" in (answer.json or {})["detail"]
        else:
            assert answer.status_code not in (401, 403), (route, answer.text)
            assert answer.status_code < 500, (route, answer.text)


def test_no_route_answers_without_a_token(app: Flask, api: Caller) -> None:
    """401 for each of them."""
    nobody = Caller(app, api.ledger, "")
    for route in routes(app, api.ledger):
        assert nobody.call(route.method, route.path).status_code == 401, route


@pytest.mark.parametrize("action", sorted(TABLE))
def test_a_scope_opens_just_its_routes(
    app: Flask, api: Caller, asleep: Bellman, action: str
) -> None:
    """A token of every role with one scope: all other routes are 403."""
    caller = api.with_roles(*ROLES, scopes=[action])
    for route in routes(app, api.ledger):
        answer = caller.call(route.method, route.path)
        forbidden = not route.permits(tuple(ROLES), (action,))
        assert (answer.status_code == 403) is forbidden, (route, answer.text)


@pytest.mark.parametrize("roles", SETS, ids=lambda roles: "+".join(roles) or "none")
def test_a_role_submits_just_its_kinds(
    api: Caller, asleep: Bellman, ledger: LedgerRef, roles: tuple[str, ...]
) -> None:
    """Alone, in bulk and as a trial; what is forbidden is not stored."""
    caller = api.with_roles(*roles)
    permitted = {name for name in OFFERED if allowed(roles, action_of(name))}
    for name, kind in OFFERED.items():
        alone = caller.submit(kind.example)
        assert alone.status_code == (202 if name in permitted else 403), (name, alone.text)
        trial = caller.post("operations/dry-run", kind.example)
        assert trial.status_code == (200 if name in permitted else 403), (name, trial.text)
    assert operations_of(ledger) == len(permitted)
    items = [{"idempotency_key": new_key(), **kind.example} for kind in OFFERED.values()]
    many = caller.post("operations/bulk", items)
    if not permitted:
        assert problem(many) == (403, "forbidden")
    else:
        found = zip(OFFERED, (many.json or {})["data"], strict=True)
        accepted = {name for name, one in found if one["status"] == "accepted"}
        assert accepted == permitted
    assert operations_of(ledger) == 2 * len(permitted)


def test_authorize_asks_again(api: Caller, ledger: LedgerRef) -> None:
    """Scopes are recorded with the operation, and hold for what a group holds as well."""
    api.open_two()
    narrow = api.with_roles("admin", scopes=["operation.transfer", "operation.group"])
    assert narrow.posted(transfer())["status"] == "posted"
    journal = OFFERED["journal"].example
    assert problem(narrow.submit(journal)) == (403, "forbidden")
    group = {"kind": "group", "operations": [OFFERED["transfer"].example, journal]}
    refused: Any = narrow.submit(group, wait=10).json
    assert refused["rejection"]["stage"] == "authorize", refused
    assert refused["rejection"]["detail"]["code"] == "not_permitted"
    stored = "SELECT principal::text FROM operations WHERE ledger_id = :ledger AND kind = 'group'"
    assert Bank(ledger).rows(stored) == [
        ('{"roles":["admin"],"scopes":["operation.group","operation.transfer"],"sub":"tests"}',)
    ]


def test_what_awaits_a_principal_is_what_its_scopes_leave(api: Caller) -> None:
    """An approver whose scopes leave out approving is not waited for."""
    api.open_two()
    api.posted({"kind": "set_approval", "name": "a", "currency": "EUR", "above": 0})
    assert api.submit(transfer(), wait=10).status_code == 200
    for scopes, awaited in (
        (None, True),
        (["approvals.read"], False),
        (["approvals.read", "operation.approve"], True),
    ):
        boss = api.with_roles("approver", subject="boss", scopes=scopes)
        listed: Any = boss.get("approvals").json
        assert [one["approval"]["awaits_you"] for one in listed["data"]] == [awaited]


def test_a_token_for_some_ledgers_sees_no_others(app: Flask, api: Caller) -> None:
    """Every route that names another one is a 404 as if there were none; lists leave it out."""
    other = new_ledger().name
    caller = api.with_roles(*ROLES, ledgers=[api.ledger])
    missing = api.get("/v1/ledgers/nowhere").json or {}
    assert api.get(f"/v1/ledgers/{other}").status_code == 200  # remembered from now on
    for route in routes(app, other):
        if f"/{other}" not in route.path:
            continue
        answer = caller.call(route.method, route.path, headers={"Idempotency-Key": new_key()})
        assert problem(answer) == (404, "unknown_ledger"), (route, answer.text)
        assert {**(answer.json or {}), "request_id": ""} == {**missing, "request_id": ""}
    listed: Any = caller.get("/v1/ledgers").json
    assert [one["name"] for one in listed["data"]] == [api.ledger]
    assert not listed["has_more"]
    assert caller.get("").status_code == 200


def test_a_token_for_some_ledgers_makes_no_others(api: Caller) -> None:
    """And is not told which there are."""
    caller = api.with_roles("admin", ledgers=[f"{api.ledger}-mine"])
    for name in (api.ledger, f"{api.ledger}-else"):
        assert problem(caller.post("/v1/ledgers", {"name": name})) == (403, "forbidden")
    assert caller.post("/v1/ledgers", {"name": f"{api.ledger}-mine"}).status_code == 201
    nothing: Any = api.with_roles("admin", ledgers=[]).get("/v1/ledgers").json
    assert nothing["data"] == []


@pytest.mark.parametrize("claim", ["scopes", "ledgers"])
@pytest.mark.parametrize(
    "value", ["main", 7, None, {"main": 1}, [7], [""], ["a\x00"], [["main"]], [None], ["n"] * 257]
)
def test_what_narrows_is_a_list_of_names(api: Caller, claim: str, value: Any) -> None:
    """Anything else is a 401: it must not be taken for no narrowing."""
    with pytest.MonkeyPatch.context() as patch:
        plain = jwt.encode
        patch.setattr(
            jwt, "encode", lambda of, *rest, **more: plain({**of, claim: value}, *rest, **more)
        )
        bearer = token()
    caller = Caller(api.app, api.ledger, bearer)
    assert problem(caller.get("operations")) == (401, "token_invalid")


def test_a_scope_for_all_kinds(api: Caller, asleep: Bellman) -> None:
    """`operation.*` is all kinds that the roles permit, and no more."""
    caller = api.with_roles("submitter", "reader", scopes=["operation.*"])
    for name, kind in OFFERED.items():
        expected = 202 if allowed(["submitter"], action_of(name)) else 403
        assert caller.submit(kind.example).status_code == expected
    assert problem(caller.get("operations")) == (403, "forbidden")
