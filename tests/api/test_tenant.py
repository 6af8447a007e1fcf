"""The tenant over HTTP: its settings, what they refuse, and the events of its people."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from api.state import NAME
from models.db import tenant_reading
from models.ledger import EVENTS, event_ledger
from models.tenant import TenantState, owner_writing
from pipeline import tenants
from pipeline.events import Wanted, read_page
from pipeline.kinds import KINDS, OFFERED
from pipeline.permissions import ROLES
from tests.api.caller import Caller, new_key, problem, token, transfer
from tests.api.conftest import Bellman, work
from tests.api.test_permissions import routes

_numbers = iter(range(1, 1000))

Look = Callable[[], None]


@pytest.fixture
def tenant(environment: dict[str, str]) -> TenantState:
    """A tenant of its own."""
    with owner_writing() as connection:
        return tenants.create(connection, f"shop-{next(_numbers)}", "cli:test")[0]


@pytest.fixture
def shop(app: Flask, bellman: Bellman, tenant: TenantState) -> Caller:
    """One of its people, with every role, at its first ledger."""
    return Caller(app, "main", token(tenant_id=tenant.tenant_id, subject="cli:ada"))


@pytest.fixture
def look_again(app: Flask) -> Look:
    """What passing time does: tenants are looked at anew."""
    return app.extensions[NAME].tenancy._known.clear


def settle(shop: Caller, settings: Any) -> Any:
    """PATCH /v1/tenant."""
    return shop.call("PATCH", "/v1/tenant", settings)


def seal(tenant: TenantState) -> None:
    """Let the stages work the tenant's events."""
    with tenant_reading(tenant.tenant_id) as connection:
        ledger = event_ledger(connection, tenant.tenant_id)
    assert ledger is not None
    work(ledger)


def test_a_tenant_shows_and_changes_its_settings(shop: Caller, tenant: TenantState) -> None:
    """The answer is the tenant as it is now, and the next request sees the same."""
    assert shop.get("/v1/tenant").json == {
        "object": "tenant",
        "name": tenant.name,
        "created_at": tenant.created_at.isoformat().replace("+00:00", "Z"),
        "settings": {},
        "allowed": {},
        "in_force": {
            "currencies": None,
            "limits": None,
            "retention_days": None,
            "retention": {},
            "cors_origins": [],
            "rate_limits": {},
        },
    }
    changed = settle(shop, {"currencies": ["EUR"], "retention_days": 30})
    assert changed.status_code == 200
    assert changed.json["settings"] == {"currencies": ["EUR"], "retention_days": 30}
    assert shop.get("/v1/tenant").json == changed.json
    assert settle(shop, {"retention_days": None}).json["settings"] == {"currencies": ["EUR"]}


def test_each_change_is_an_event_that_is_sealed(
    shop: Caller, tenant: TenantState, asleep: Bellman
) -> None:
    """Who, what, before and after; the same again is no event; the bell is rung for it."""
    settle(shop, {"retention_days": 30})
    settle(shop, {"retention_days": 30})
    rung = [ledger.name for ledger, _ in asleep.rung if ledger.tenant_id == tenant.tenant_id]
    assert rung == ["trident-events"]
    seal(tenant)
    newest, created = shop.get("/v1/events").json["data"]  # type: ignore[index]
    assert newest["id"].startswith("op_")
    assert newest["at"] > created["at"]
    assert newest["from"]["address"] == "127.0.0.1"
    assert {name: newest[name] for name in newest if name not in ("id", "at", "from")} == {
        "object": "event",
        "position": 2,
        "action": "tenant.settings_changed",
        "outcome": "done",
        "actor": "cli:ada",
        "target": f"tenant:{tenant.name}",
        "detail": {"before": {}, "after": {"retention_days": 30}},
        "sealed": True,
    }
    assert created["action"] == "tenant.created"


def test_making_a_ledger_is_an_event(shop: Caller) -> None:
    """One that was not made is none."""
    assert shop.post("/v1/ledgers", {"name": "second"}).status_code == 201
    assert shop.post("/v1/ledgers", {"name": "second"}).status_code == 409
    page: Any = shop.get("/v1/events?action=ledger.created").json
    assert [(one["actor"], one["target"]) for one in page["data"]] == [("cli:ada", "ledger:second")]


def test_events_are_listed_page_by_page(shop: Caller) -> None:
    """Newest first; filters must all fit; a cursor of another list is refused."""
    for days in range(1, 6):
        settle(shop, {"retention_days": days})
    first: Any = shop.get("/v1/events?limit=4").json
    assert [one["position"] for one in first["data"]] == [6, 5, 4, 3]
    second: Any = shop.get(f"/v1/events?limit=4&after={first['next']}").json
    assert [one["position"] for one in second["data"]] == [2, 1]
    assert not second["has_more"]
    since = first["data"][1]["at"]
    later: Any = shop.get(f"/v1/events?actor=cli:ada&since={since}").json
    assert [one["position"] for one in later["data"]] == [6, 5]
    for bad in ("after=x", "action=none", "colour=1", "since=then", "limit=0", "actor="):
        assert shop.get(f"/v1/events?{bad}").status_code in (400, 422), bad


def test_who_may_read_events_and_settle_the_tenant(shop: Caller, tenant: TenantState) -> None:
    """Admins do both, auditors read both, the others neither."""
    for role in ("operator", "submitter", "approver", "auditor"):
        other = shop.with_roles(role, tenant_id=tenant.tenant_id)
        assert problem(settle(other, {"retention_days": 1})) == (403, "forbidden")
        for path in ("/v1/tenant", "/v1/events"):
            assert other.get(path).status_code == (200 if role == "auditor" else 403)
    nobody = Caller(shop.app, "main", "")
    for path in ("/v1/tenant", "/v1/events"):
        assert problem(nobody.get(path)) == (401, "token_missing")


def test_a_tenant_sees_neither_events_nor_settings_of_another(shop: Caller, api: Caller) -> None:
    """Each sees its own."""
    settle(shop, {"retention_days": 17})
    theirs: Any = api.get("/v1/tenant").json
    assert theirs["name"] == "default"
    assert theirs["settings"] == {}
    listed: Any = api.get("/v1/events?actor=cli:ada").json
    assert listed["data"] == []


@pytest.mark.parametrize(
    "settings", [b"", b"[]", {"colour": 1}, {"currencies": ["ZZZ"]}, {"limits": {"EUR": 1.5}}]
)
def test_settings_that_are_none(shop: Caller, settings: Any) -> None:
    """400 or 422 that says where; nothing is changed."""
    assert settle(shop, settings).status_code in (400, 422)
    assert shop.get("/v1/tenant").json["settings"] == {}  # type: ignore[index]


def test_more_than_the_installation_allows(shop: Caller, tenant: TenantState) -> None:
    """422 that says how far the tenant may go."""
    with owner_writing() as connection:
        tenants.change(connection, tenant.tenant_id, "allowed", {"limits": {"EUR": 10}}, "cli:x")
    refused = settle(shop, {"limits": {"EUR": 11}})
    assert problem(refused) == (422, "invalid_request")
    assert "EUR: 10" in refused.json["detail"]
    assert settle(shop, {"limits": {"EUR": 9}}).status_code == 200


def test_operations_in_another_currency_are_refused_at_the_door(shop: Caller) -> None:
    """Whatever names it, also within others; nothing is stored, so the key is free."""
    settle(shop, {"currencies": ["EUR"]})
    shop.open_two()
    refused = shop.submit(transfer(currency="USD"), key="k")
    assert problem(refused) == (422, "currency_not_allowed")
    account = {"code": "b", "type": "asset", "currency": "USD"}
    refused = shop.post("accounts", account, key="b")
    assert problem(refused) == (422, "currency_not_allowed")
    group = {"kind": "group", "operations": [transfer(), transfer(currency="JPY")]}
    assert problem(shop.submit(group)) == (422, "currency_not_allowed")
    rule = {"kind": "allow_accounts", "pattern": "x:*", "type": "asset", "currency": "USD"}
    assert problem(shop.submit(rule)) == (422, "currency_not_allowed")
    items = [
        {"idempotency_key": "i", **transfer(currency="USD")},
        {"idempotency_key": "j", **transfer()},
    ]
    bulk: Any = shop.post("operations/bulk", items).json
    assert [one["status"] for one in bulk["data"]] == ["invalid", "accepted"]
    assert shop.submit(transfer(), key="k", wait=10).json["status"] == "posted"  # type: ignore[index]
    settle(shop, {"currencies": None})
    assert shop.submit(transfer(currency="USD")).status_code == 202


def test_limits_of_the_tenant_bind_who_has_none(shop: Caller) -> None:
    """They are recorded with the operation, so authorize refuses what is above them."""
    shop.open_two()
    settle(shop, {"limits": {"EUR": 100}})
    assert shop.posted(transfer(100))
    above: Any = shop.submit(transfer(101), wait=10).json
    assert (above["status"], above["rejection"]["code"]) == ("rejected", "limit_exceeded")


def test_limits_of_the_installation_bind_everybody(
    shop: Caller, tenant: TenantState, look_again: Look
) -> None:
    """Limits of a token's own, or of a key's, that go further than it allows the tenant do not."""
    shop.open_two()
    with owner_writing() as connection:
        tenants.change(connection, tenant.tenant_id, "allowed", {"limits": {"EUR": 10}}, "cli:x")
    look_again()
    for own, most in (({"EUR": 50, "USD": 50}, 10), ({"EUR": 5}, 5)):
        shop.bearer = token(tenant_id=tenant.tenant_id, limits=own)
        assert shop.posted(transfer(most))
        above: Any = shop.submit(transfer(most + 1), wait=10).json
        assert (above["status"], above["rejection"]["code"]) == ("rejected", "limit_exceeded")


def test_a_deleted_tenant_is_refused_whatever_its_token_says(
    app: Flask, shop: Caller, tenant: TenantState
) -> None:
    """The log takes nothing, one by one or in bulk, nor is a ledger made or anything shown, once
    the token is looked at again; restored, it does."""
    shop.open_two()
    assert shop.get("").status_code == 200
    with owner_writing() as connection:
        tenants.delete(connection, tenant.tenant_id, "cli:test")
    assert problem(shop.submit(transfer(), key="late")) == (401, "token_invalid")
    bulk = shop.post("operations/bulk", [{"idempotency_key": "i", **transfer()}])
    assert bulk.status_code == 401 or bulk.json["data"][0]["error"]["status"] == 401  # type: ignore[index]
    assert problem(shop.post("/v1/ledgers", {"name": "third"})) == (401, "token_invalid")
    assert problem(settle(shop, {"retention_days": 3})) == (401, "token_invalid")
    app.extensions[NAME].tokens.look_again("cli:ada")
    assert problem(shop.get("")) == (401, "token_invalid")
    with owner_writing() as connection:
        tenants.restore(connection, tenant.tenant_id, "cli:test")
    assert shop.submit(transfer(), key="late", wait=10).json["status"] == "posted"  # type: ignore[index]


def test_what_others_changed_holds_within_two_seconds(
    shop: Caller, tenant: TenantState, look_again: Look
) -> None:
    """Another process settles something: this one sees it when it looks again."""
    shop.open_two()
    with owner_writing() as connection:
        tenants.change(connection, tenant.tenant_id, "settings", {"currencies": ["USD"]}, "cli:x")
    look_again()
    assert problem(shop.submit(transfer())) == (422, "currency_not_allowed")


@pytest.mark.parametrize("name", ["trident-events", "trident-", "trident-other"])
def test_clients_neither_make_nor_name_ledgers_of_tridents_own(api: Caller, name: str) -> None:
    """422 to make one, and none is listed."""
    assert problem(api.post("/v1/ledgers", {"name": name})) == (422, "invalid_request")
    listed: Any = api.get("/v1/ledgers?limit=200").json
    assert name not in [one["name"] for one in listed["data"]]


def test_no_route_finds_a_ledger_of_tridents_own(api: Caller, tenant: TenantState) -> None:
    """Everything below its name is 404, as if it were not there, for whoever may do everything."""
    everything = token(ROLES, tenant_id=tenant.tenant_id)
    there = Caller(api.app, EVENTS, everything)
    below = [route for route in routes(api.app, EVENTS) if EVENTS in route.path]
    assert len(below) > 40
    for route in below:
        body = None if route.method == "GET" else KINDS["transfer"].example
        answer: Any = there.call(route.method, route.path, body, key=new_key())
        assert answer.status_code in (404, 422), f"{route.method} {route.path}: {answer.text}"
        assert answer.status_code == 422 or answer.json["code"] == "unknown_ledger", route.path
    (told,) = there.get("/v1/events").json["data"]  # type: ignore[index]
    assert there.get(f"/v1/ledgers/main/operations/{told['id']}").status_code == 404
    with tenant_reading(tenant.tenant_id) as connection:
        assert len(read_page(connection, tenant.tenant_id, Wanted(50)).events) == 1


def test_clients_submit_no_events(api: Caller) -> None:
    """The kind is Trident's own, as a role cannot change."""
    assert "event" not in OFFERED
    assert problem(api.submit({**KINDS["event"].example})) == (422, "unknown_kind")
