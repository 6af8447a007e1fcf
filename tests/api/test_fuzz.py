"""Requests made of the OpenAPI document: no server error, and no answer that it does not describe.

schemathesis makes requests that fit the document, and some that do not, from a fixed seed. Half of
them name what there is (fuzzing.py); the rest name what nobody has. Before these each route is
asked with the document's own example, and with what that needs: it must do what it is there for.
`make fuzz` tries many more.
"""

import os
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

import hypothesis
import pytest
import schemathesis
from flask import Flask, request, request_finished
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
)
from werkzeug.routing import Rule

from api.identity import sessions, tickets
from api.intake import JSON
from cli.stack.ports import HOST
from models.mail import LINK_URL, MAIL_FROM, SMTP_URL
from models.settings import settings
from models.tenant import owner_writing
from pipeline import tenants
from pipeline.identity import passwords
from pipeline.permissions import ROLES
from tests.api.caller import new_key, token
from tests.api.conftest import Bellman
from tests.api.contract import Answer, hold
from tests.api.fuzzing import EVERY, Needed, World
from tests.identity.conftest import CHEAP, House

# Requests per route and way: six of each take some 20 s for all routes; `make fuzz` tells more.
EXAMPLES = int(os.environ.get("TRIDENT_FUZZ_EXAMPLES", "6"))
SEED = int(os.environ.get("TRIDENT_FUZZ_SEED", "5"))
CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# All roles together come to the code behind permissions; each by itself comes to permissions.
CALLERS = [EVERY, *((role,) for role in ROLES)]
# With these nothing was done: what was named is there for another try.
UNTOUCHED = {400, 403, 404, 413, 415, 422}
# Where whoever asks is sent a mail.
FORGOTTEN = "POST /v1/password-resets"
# Changes what all others may do, so it comes last.
LAST = "PATCH /v1/tenant"
# Headers in which an address may come.
ADDRESSED = ("Origin", "Referer", "Forwarded", "X-Forwarded-Host", "X-Original-URL", "From")
MAIL = {
    SMTP_URL: "smtp://127.0.0.1:9",
    MAIL_FROM: "Trident <no-reply@mail.example>",
    LINK_URL: "https://front.example/welcome",
}


class Asking:
    """Requests of one tenant, each of which must be answered as the document says."""

    def __init__(self, app: Flask, world: World) -> None:
        self.app = app
        self.rules: list[Rule | None] = []
        request_finished.connect(self._note, app)
        self.world = world
        self.bearers = {roles: token(roles, world.house.tenant_id) for roles in CALLERS}
        self.answered: dict[str, Counter[int]] = {}

    def example(self, route: Any) -> None:
        """The document's own example, with what it needs, does what the route is there for."""
        needed = self.world.of(route.label)
        answer = self.ask(self.case(route, needed), EVERY, needed)
        assert answer.status_code < HTTPStatus.BAD_REQUEST, f"{route.label}: {answer.text}"

    def address(self, route: Any, address: str) -> None:
        """The example once for each text in it, with the address in its place, in the parameters of
        the query, and in headers."""
        needed = self.world.of(route.label)
        url = route.path.format(**needed.members)
        headers = dict.fromkeys(ADDRESSED, address) | {"Idempotency-Key": new_key()}
        headers["Authorization"] = f"Bearer {needed.bearer or self.bearers[EVERY]}"
        query = {one.name: address for one in route.query}
        bodies = with_addresses(self.case(route, needed).body, address)
        for sent in ({"query_string": query}, *({"json": body} for body in bodies)):
            with self.app.test_client() as client:
                # An export holds a connection of the pool until it is read or closed.
                client.open(url, method=route.method, headers=headers, **sent).close()
        self.world.used(needed)

    def case(self, route: Any, needed: Needed) -> Any:
        """The document's own example, with the members that it needs."""
        content: Any = route.definition.raw.get("requestBody", {"content": {}})["content"]
        sent: dict[str, Any] = {"query": needed.query}
        sent["path_parameters"] = {one.name: "" for one in route.path_parameters}
        sent["headers"] = {one.name: "" for one in route.headers}
        if needed.raw is not None:
            sent["media_type"], sent["body"] = needed.raw
        elif JSON in content:
            many = [one["value"] for one in content[JSON].get("examples", {}).values()]
            shown = content[JSON].get("example") or many[0]
            sent |= {"media_type": JSON, "body": with_members(shown, needed.members)}
        return route.Case(**sent)

    def ask(self, case: Any, roles: tuple[str, ...], needed: Needed | None) -> Any:
        """Somebody of these roles asks; with what there is in the path, if that is needed."""
        route, bearer = case.operation, None
        if needed is not None:
            bearer = needed.bearer
            for name in set(case.path_parameters) & set(needed.members):
                case.path_parameters[name] = needed.members[name]
        headers = {"Authorization": f"Bearer {bearer or self.bearers[roles]}"}
        if "Idempotency-Key" in (case.headers or {}):
            headers["Idempotency-Key"] = new_key()
        headers["Prefer"] = "wait=0"  # whatever it drew: a fuzzer does not wait
        self.rules.clear()
        answer = case.call_and_validate(headers=headers, checks=CHECKS)
        mimetype = answer.headers.get("content-type", [""])[0].partition(";")[0]
        # What was drawn may make another address of it, or one that there is not.
        method, (rule,) = route.method.upper(), self.rules
        hold(self.app, Answer(rule, method, answer.status_code, mimetype, answer.content))
        self.answered.setdefault(route.label, Counter())[answer.status_code] += 1
        if needed is not None and route.method != "GET" and answer.status_code not in UNTOUCHED:
            self.world.used(needed)
        return answer

    def _note(self, _app: Flask, **_response: Any) -> None:
        """Which route answers."""
        self.rules.append(request.url_rule)


def with_members(body: Any, members: dict[str, Any]) -> Any:
    """A body with those members that there is something for."""
    if not isinstance(body, dict):
        return body
    return {name: members.get(name, value) for name, value in body.items()}


@pytest.fixture(scope="module")
def asking(app: Flask, environment: dict[str, str]) -> Iterator[Asking]:
    """A tenant of its own, since its settings will be changed; passwords cost little."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(passwords, "_hasher", CHEAP)
        for routes in (sessions, tickets):
            monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
        with owner_writing() as connection:
            made = tenants.create(connection, "fuzzed", "cli:test")[0]
        yield Asking(app, World(app, House(app, made.tenant_id, made.name)))


@pytest.fixture(scope="module")
def routes(app: Flask) -> list[Any]:
    """Those of the document."""
    schema = schemathesis.openapi.from_wsgi("/v1/openapi.json", app)
    found: list[Any] = [one.ok() for one in schema.get_all_operations()]  # type: ignore[union-attr]
    return sorted(found, key=lambda route: route.label == LAST)


def with_addresses(body: Any, address: str) -> Iterator[Any]:
    """The body once for each text in it, which is the address in its place."""
    if isinstance(body, str):
        yield address
    if not isinstance(body, dict | list):
        return
    for name, below in body.items() if isinstance(body, dict) else enumerate(body):
        for changed in with_addresses(below, address):
            copy: Any = body.copy()
            copy[name] = changed
            yield copy


def test_no_route_asks_an_address_that_it_is_given(
    asking: Asking, routes: list[Any], bellman: Bellman
) -> None:
    """In each text of each body, in each parameter and in headers; not then, and not later."""
    with socket.create_server((HOST, 0)) as listening:
        listening.setblocking(False)
        address = f"http://{HOST}:{listening.getsockname()[1]}/"
        for route in routes:
            asking.address(route, address)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_no_route_fails_or_answers_what_is_not_documented(
    asking: Asking, routes: list[Any], bellman: Bellman
) -> None:
    """Every route, with every role, with what fits the document and with what does not."""
    for route in routes:
        with mail_is_set(route.label):
            asking.example(route)
            for mode in GenerationMode:
                _try(route, mode, asking)
    assert len(routes) > 80
    reached = {label for label, found in asking.answered.items() if min(found) < 400}
    assert {route.label for route in routes} - reached == set()
    assert sum(map(Counter.total, asking.answered.values())) > len(routes) * EXAMPLES


@contextmanager
def mail_is_set(label: str) -> Iterator[None]:
    """For whoever forgets a password; other tickets are handed over."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        if label == FORGOTTEN:
            for name, value in MAIL.items():
                monkeypatch.setenv(name, value)
            settings.cache_clear()
        yield
    if label == FORGOTTEN:
        settings.cache_clear()


def _try(route: Any, mode: GenerationMode, asking: Asking) -> None:
    """Ask one route for a number of times, if anything can be wrong with a request of it."""

    def ask(case: Any, roles: tuple[str, ...], named: bool) -> None:
        needed = asking.world.of(route.label, roles) if named else None
        if needed is not None and mode is GenerationMode.POSITIVE:
            case.body = with_members(case.body, needed.members)
        asking.ask(case, roles, needed)

    often = seed(SEED)(
        hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(
            given(
                case=route.as_strategy(generation_mode=mode),
                roles=st.just(EVERY) | st.sampled_from(CALLERS),
                named=st.booleans(),
            )(ask)
        )
    )
    try:
        often()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, route.label
