"""The gate over HTTP: rates, CORS, the headers of answers, and who is in front."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from api.gateway.gate import LOG_INS, Gate
from api.gateway.rates import Rates
from api.state import NAME
from models.tenant import TenantState, owner_writing
from pipeline import tenants
from tests.api.caller import Caller, problem, token, transfer
from tests.api.test_permissions import routes

_numbers = iter(range(1, 1000))
SHOP = "https://shop.example"
OTHER = "https://other.example"
_TRANSFER = {name: value for name, value in transfer().items() if name != "kind"}
PREFLIGHT = {"Access-Control-Request-Method": "POST"}


@pytest.fixture
def gate(app: Flask) -> Gate:
    """The app's gate."""
    held: Gate = app.extensions[NAME].gate
    return held


@pytest.fixture
def tenant(environment: dict[str, str]) -> TenantState:
    """A tenant of its own."""
    with owner_writing() as connection:
        return tenants.create(connection, f"gate-{next(_numbers)}", "cli:test")[0]


@pytest.fixture
def shop(app: Flask, api: Caller, tenant: TenantState) -> Caller:
    """One of its people, with every role."""
    return Caller(app, "main", token(tenant_id=tenant.tenant_id, subject="cli:ada"))


@pytest.fixture
def most(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """What the installation allows, to be changed."""
    most = dict(gate._most)
    monkeypatch.setattr(gate, "_most", most)
    monkeypatch.setattr(gate, "_bounds", {})  # what was remembered was of other limits
    return most


@pytest.fixture
def bounds(gate: Gate, most: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The same, and nothing is counted yet; nobody answers at Valkey's address."""
    rates = Rates("redis://127.0.0.1:1/0")
    monkeypatch.setattr(gate, "_rates", rates)
    yield most
    rates.stop()


def settle(shop: Caller, **changes: Any) -> None:
    """Change the tenant's settings."""
    answer = shop.call("PATCH", "/v1/tenant", changes)
    assert answer.status_code == 200, answer.text


def statuses(caller: Caller, many: int, path: str = "operations") -> list[int]:
    """Of so many requests."""
    return [caller.get(path).status_code for _ in range(many)]


def test_a_rate_that_is_too_low_is_taken_back(
    shop: Caller, tenant: TenantState, bounds: dict[str, int]
) -> None:
    """By who may settle it, within what the installation allows; nobody else, and nothing else."""
    settle(shop, rate_limits={"tenant": 1, "key": 1, "address": 1})
    assert statuses(shop, 2) == [429, 429]
    patch = {"rate_limits": None}
    reader = shop.with_roles("reader", tenant_id=tenant.tenant_id, subject="cli:bob")
    assert problem(reader.call("PATCH", "/v1/tenant", patch)) == (429, "rate_limited")
    settle(shop, rate_limits=None)
    assert statuses(shop, 2) == [200, 200]
    bounds["tenant"] = 5
    settle(shop, rate_limits={"tenant": 2})
    assert problem(shop.call("PATCH", "/v1/tenant", patch)) == (429, "rate_limited")


def test_a_tenant_is_held_to_its_rate(
    app: Flask, shop: Caller, tenant: TenantState, bounds: dict[str, int]
) -> None:
    """Whoever asks in its name; the answer says of what there is how much, and when again."""
    settle(shop, rate_limits={"tenant": 5})
    other = shop.with_roles("reader", tenant_id=tenant.tenant_id, subject="cli:bob")
    found = statuses(shop, 2) + statuses(other, 4)
    assert sorted(found) == [200] * 4 + [429] * 2, found  # the change itself was one
    refused: Any = other.get("operations")
    assert problem(refused) == (429, "rate_limited")
    assert refused.json["limit"] == "tenant"
    assert 1 <= int(refused.headers["Retry-After"]) <= 120
    assert refused.headers["RateLimit-Policy"] == '"tenant";q=5;w=60'
    assert refused.headers["RateLimit"].startswith('"tenant";r=0;t=')
    assert Caller(app, "main").get("").status_code == 200  # another tenant


def test_a_key_is_held_to_its_rate(shop: Caller, bounds: dict[str, int]) -> None:
    """By itself: who asks with another one goes on."""
    settle(shop, rate_limits={"key": 3})
    made: Any = shop.post("/v1/api-keys", {"name": "a", "roles": ["reader"]}).json
    program = Caller(shop.app, "main", made["key"])
    assert statuses(program, 4) == [200, 200, 200, 429]
    assert program.get("").headers["RateLimit-Policy"] == '"key";q=3;w=60'
    assert statuses(shop, 1) == [200]


def test_a_tenant_does_not_raise_its_own_rate(
    shop: Caller, tenant: TenantState, bounds: dict[str, int]
) -> None:
    """What holds for the installation holds, unless its owner has allowed this tenant more."""
    bounds["key"] = 4
    settle(shop, rate_limits={"key": 1_000})
    assert statuses(shop, 4) == [200, 200, 200, 429]
    with owner_writing() as connection:
        allowed = {"rate_limits": {"key": 1_000}}
        tenants.change(connection, tenant.tenant_id, "allowed", allowed, "cli:test")
    shop.app.extensions[NAME].tenancy._known.clear()
    assert statuses(shop, 4) == [200] * 4


def test_an_address_is_held_to_its_rate(api: Caller, bounds: dict[str, int]) -> None:
    """Before anybody looks at its token: a wrong one costs as much as a right one."""
    bounds["address"] = 3
    nobody = Caller(api.app, api.ledger, "wrong")
    assert statuses(nobody, 4) == [401, 401, 401, 429]
    assert problem(api.get("")) == (429, "rate_limited")


def test_a_spoofed_address_is_no_other(api: Caller, bounds: dict[str, int]) -> None:
    """Forwarded headers of a peer that is no proxy of ours change nothing."""
    bounds["address"] = 3
    found = [
        api.get("", headers={"X-Forwarded-For": f"203.0.113.{i}", "Forwarded": f"for=192.0.2.{i}"})
        for i in range(4)
    ]
    assert [answer.status_code for answer in found] == [200, 200, 200, 429]


def test_without_valkey_the_books_go_on(api: Caller, bounds: dict[str, int]) -> None:
    """Reads and operations are answered, and still counted here; nobody logs in."""
    api.open_two()
    assert statuses(api, 3) == [200] * 3
    for path in sorted(LOG_INS):
        for _ in range(3):
            refused = api.post(path, {})
            assert problem(refused) == (503, "log_ins_uncounted"), path
            assert refused.headers["Retry-After"]
    bounds["address"] = 1
    assert problem(api.get("")) == (429, "rate_limited")


def test_log_ins_are_few(api: Caller, most: dict[str, int]) -> None:
    """By address, whatever comes of them and however they are spelled; looking is no log-in."""
    most["login"] = 3
    address = {"REMOTE_ADDR": f"198.51.100.{next(_numbers)}"}
    with api.app.test_client() as client:
        found = [
            client.post("/", json={}, environ_overrides=address | {"PATH_INFO": path}).status_code
            for path in ("/v1/sessions", "//v1/sessions", "v1/sessions", "///v1/sessions")
        ]
        assert 429 not in found[:3]
        assert found[3] == 429
        assert client.get("/docs", environ_base=address).status_code == 200


def test_every_answer_has_its_headers(app: Flask, api: Caller) -> None:
    """Of every route, with a token and without: nothing sniffs, frames, keeps or refers."""
    for caller in (api, Caller(app, api.ledger, "")):
        for route in routes(app, api.ledger):
            headers = caller.call(route.method, route.path).headers
            assert headers["X-Content-Type-Options"] == "nosniff", route
            assert headers["X-Frame-Options"] == "DENY", route
            assert headers["Referrer-Policy"] == "no-referrer", route
            assert headers["Cache-Control"] == "no-store", route
            assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], route
            assert "Strict-Transport-Security" not in headers, route
    page = api.get("/docs")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src")
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    with app.test_client() as client:
        safe = client.get("/docs", base_url="https://api.example")
    assert safe.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_page_that_the_tenant_allows_reads_answers(app: Flask, api: Caller, shop: Caller) -> None:
    """It alone, and only answers of this tenant or of none; never with cookies or from anywhere."""
    settle(shop, cors_origins=[SHOP])
    app.extensions[NAME].gate._cors._look_at = float("-inf")
    for caller, origin, allowed in (
        (shop, SHOP, SHOP),
        (shop, OTHER, None),
        (shop, "null", None),
        (shop, SHOP.upper(), None),
        (shop, f"{SHOP}.evil.example", None),
        (api, SHOP, None),  # another tenant's answer
        (Caller(app, "main", ""), SHOP, SHOP),  # nobody's: the same for everybody
        (Caller(app, "main", ""), OTHER, None),
    ):
        answer = caller.get("", headers={"Origin": origin})
        assert answer.headers.get("Access-Control-Allow-Origin") == allowed, (origin, answer.text)
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert answer.headers["Vary"] == "Origin"
    missing = shop.get("/v1/ledgers/nowhere", headers={"Origin": SHOP})
    assert missing.status_code == 404
    assert missing.headers["Access-Control-Allow-Origin"] == SHOP


def test_a_browser_asks_beforehand_without_a_token(app: Flask, shop: Caller) -> None:
    """An origin that some tenant allows is told what a request may be; others learn nothing."""
    asked = f"https://shop-{next(_numbers)}.example"
    settle(shop, cors_origins=[asked])
    app.extensions[NAME].gate._cors._look_at = float("-inf")
    nobody = Caller(app, "main", "")
    answer = nobody.call("OPTIONS", "operations", headers={"Origin": asked, **PREFLIGHT})
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == asked
    assert "Idempotency-Key" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Vary"] == "Origin"
    other = nobody.call("OPTIONS", "operations", headers={"Origin": OTHER, **PREFLIGHT})
    assert not [name for name in dict(other.headers) if name.startswith("Access-Control")]
    settle(shop, cors_origins=None)
    app.extensions[NAME].gate._cors._look_at = float("-inf")
    gone = nobody.call("OPTIONS", "operations", headers={"Origin": asked, **PREFLIGHT})
    assert "Access-Control-Allow-Origin" not in gone.headers


def test_the_host_that_was_asked_for_does_not_matter(api: Caller) -> None:
    """No answer builds an address from it, or from what a proxy would say."""
    said = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"}
    made = api.post("/v1/ledgers", {"name": f"{api.ledger}-host"}, headers=said)
    assert made.status_code == 201
    assert made.headers["Location"] == f"/v1/ledgers/{api.ledger}-host"
    for path in ("", "/docs", "/v1/openapi.json", "/v1/nowhere", "/.well-known/jwks.json"):
        answer = api.get(path, headers=said)
        assert "evil" not in answer.text + str(answer.headers), path


def test_what_is_known_is_not_sent_again(api: Caller) -> None:
    """An operation and the document: 304 by their ETag; another ETag when they have changed."""
    api.open_two()
    posted: Any = api.submit({"kind": "hold", **_TRANSFER}, wait=10).json
    where = f"operations/{posted['id']}"
    for path in (where, "/v1/openapi.json"):
        first = api.get(path)
        seen = {"If-None-Match": first.headers["ETag"]}
        again = api.get(path, headers=seen)
        assert (again.status_code, again.data) == (304, b""), path
        assert api.get(path, headers={"If-None-Match": '"else"'}).json == first.json
    held = api.get(where).headers["ETag"]
    api.posted({"kind": "release", "target": posted["id"]})
    assert api.get(where, headers={"If-None-Match": held}).status_code == 200
