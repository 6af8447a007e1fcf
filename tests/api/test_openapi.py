"""The OpenAPI document and the page made of it: complete, and true of real answers."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.docs import METHODS
from pipeline.kinds import OFFERED
from tests.api.caller import LIABILITY, Caller, new_key, transfer

UNDOCUMENTED = {"/docs", "/v1/openapi.json"}
TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


@pytest.fixture
def spec(api: Caller) -> Any:
    """The document."""
    answer = api.with_roles().get("/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in the document."""
    if isinstance(node, dict):
        yield node
        for below in node.values():
            yield from parts(below)
    elif isinstance(node, list):
        for below in node:
            yield from parts(below)


def resolved(spec: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind a reference."""
    if "$ref" not in schema:
        return schema
    found = spec
    for step in schema["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return dict(found)


def faults(spec: Any, schema: dict[str, Any], value: Any, where: str = "$") -> Iterator[str]:
    """Where a value is not as its schema says (what our schemas use of JSON Schema)."""
    schema = resolved(spec, schema)
    for choices in (schema.get("oneOf"), schema.get("anyOf")):
        if choices and all(list(faults(spec, one, value)) for one in choices):
            yield f"{where}: none of the choices"
    kinds = schema.get("type", list(TYPES))
    allowed = tuple(TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds))
    if not isinstance(value, allowed):
        yield f"{where}: {value!r} is no {kinds}"
    if "enum" in schema and value not in schema["enum"]:
        yield f"{where}: {value!r} is not in {schema['enum']}"
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from faults(spec, schema["items"], item, f"{where}[{index}]")
    if isinstance(value, dict) and "properties" in schema:
        for name in set(schema.get("required", ())) - set(value):
            yield f"{where}: lacks {name}"
        for name, member in value.items():
            if name in schema["properties"]:
                below = schema["properties"][name]
                yield from faults(spec, below, member, f"{where}.{name}")
            elif schema.get("additionalProperties") is not True:
                yield f"{where}: {name} is not documented"


def test_every_route_is_documented(api: Caller, spec: Any) -> None:
    """Each path and method of the app, with a summary, answers, and its problems."""
    assert spec["openapi"] == "3.1.0"
    for rule in api.app.url_map.iter_rules():
        if rule.rule in UNDOCUMENTED:
            continue
        path = re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            route = spec["paths"][path][method.lower()]
            assert route["summary"]
            assert any(status.startswith("2") for status in route["responses"])
            # Who asks for a reset is answered alike, whoever it is.
            if "/v1/" in path and path != "/v1/password-resets":
                assert "401" in route["responses"]


def test_every_route_tells_of_refusals(spec: Any) -> None:
    """Whoever asks may ask too often, with a token or without; errors are problems at each route.

    That no route answers anything else than it tells of is held wherever a test asks one
    (contract.py).
    """
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, item in spec["paths"].items():
        for method in METHODS:
            responses = item.get(method, {}).get("responses", {})
            for status in ("429", "500", "default") if responses else ():
                assert resolved(spec, responses[status])["content"] == problem, (path, status)


def test_every_reference_resolves(spec: Any) -> None:
    """And every parameter and schema is described."""
    for part in parts(spec):
        if isinstance(part.get("$ref"), str):
            assert resolved(spec, part)
        if part.get("in") in {"path", "query", "header"}:
            assert part["description"], part


def test_every_kind_is_a_body(spec: Any) -> None:
    """A component for each kind, of which its example is an instance."""
    choices = spec["components"]["schemas"]["Submission"]["oneOf"]
    assert len(choices) == len(OFFERED)
    for choice in choices:
        schema = resolved(spec, choice)
        kind = schema["properties"]["kind"]["const"]
        assert list(faults(spec, schema, OFFERED[kind].example)) == []
        assert schema["additionalProperties"] is False


def test_real_answers_are_as_documented(api: Caller, spec: Any) -> None:
    """One of each: no member is missing, none is undocumented, none of another type."""
    api.open_two()
    operation = api.posted(transfer())
    rejected = api.submit(transfer(destination="nobody"), wait=10)
    items = [{"idempotency_key": new_key(), **transfer()}, {}]
    accounts = [{"idempotency_key": new_key(), "code": "b", **LIABILITY}, {}]
    api.posted({"kind": "set_limit", "name": "a", "per": "day", "currency": "EUR", "amount": 10**9})
    api.posted({"kind": "allow_accounts", "pattern": "x:*", "type": "asset"})
    api.posted({"kind": "set_approval", "name": "a", "currency": "EUR", "above": 10**6})
    large = [(api.submit(transfer(10**6 + 1), wait=10).json or {})["id"] for _ in range(3)]
    boss = api.with_roles("approver", subject="boss")
    yes = boss.post(f"approvals/{large[0]}/approve", key=new_key())
    no = boss.post(f"approvals/{large[1]}/refuse", key=new_key())
    here, code, one = "/v1/ledgers/{ledger}", "/accounts/{code}", "/operations/{operation_id}"
    for answer, path, method in (
        (api.get("/v1/ledgers"), "/v1/ledgers", "get"),
        (api.post("/v1/ledgers", {"name": f"{api.ledger}-o"}), "/v1/ledgers", "post"),
        (api.get(""), here, "get"),
        (api.get("accounts"), f"{here}/accounts", "get"),
        (api.get("accounts/a"), f"{here}{code}", "get"),
        (api.get("accounts/a/postings"), f"{here}{code}/postings", "get"),
        (api.get("postings"), f"{here}/postings", "get"),
        (api.get("operations?text=a*"), f"{here}/operations", "get"),
        (api.post("accounts/a/freeze", key=new_key()), f"{here}{code}/freeze", "post"),
        (api.post("accounts/a/freeze", key=new_key(), wait=0), f"{here}{code}/freeze", "post"),
        (api.post("accounts/a/freeze", key=new_key()), f"{here}{code}/freeze", "post"),
        (api.post("accounts/b/freeze"), f"{here}{code}/freeze", "post"),
        (api.get("settings"), f"{here}/settings", "get"),
        (api.get("approvals"), f"{here}/approvals", "get"),
        (yes, f"{here}/approvals/{{operation_id}}/approve", "post"),
        (no, f"{here}/approvals/{{operation_id}}/refuse", "post"),
        (api.get("operations"), f"{here}/operations", "get"),
        (api.submit(transfer()), f"{here}/operations", "post"),
        (rejected, f"{here}/operations", "post"),
        (api.submit(transfer(-1, x=1)), f"{here}/operations", "post"),
        (api.get(f"operations/{operation['id']}"), f"{here}{one}", "get"),
        (api.post("operations/bulk", items), f"{here}/operations/bulk", "post"),
        (api.post("accounts", accounts), f"{here}/accounts", "post"),
        (api.get("/healthz"), "/healthz", "get"),
        (api.get("/readyz"), "/readyz", "get"),
    ):
        documented = spec["paths"][path][method]["responses"][str(answer.status_code)]
        schema = documented["content"][answer.mimetype]["schema"]
        assert list(faults(spec, schema, answer.json)) == [], (path, method)


def test_the_page_needs_no_other_host(api: Caller) -> None:
    """It is whole in itself: no script, no style sheet, no font or picture from elsewhere."""
    answer = api.with_roles().get("/docs")
    assert answer.status_code == 200
    assert answer.mimetype == "text/html"
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "<script" not in answer.text
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text)


def test_the_page_shows_every_route_and_leads_nowhere_wrong(api: Caller, spec: Any) -> None:
    """Each path with a command to try; each link within the page has its anchor."""
    page = api.get("/docs").text
    for path in spec["paths"]:
        assert f"</span>{path}</span>" in page
    assert page.count("curl -s") > len(spec["paths"])
    for anchor in set(re.findall(r'href="#([^"]+)"', page)):
        assert f'id="{anchor}"' in page, anchor
