"""Requests made of the OpenAPI document: no server error, and no answer that it does not describe.

schemathesis makes requests that fit the document, and some that do not, from a fixed seed. Half of
them name what there is; the rest name what nobody has. `make fuzz` tries many more.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from pipeline.permissions import ROLES
from tests.api.caller import WORLD, Caller, new_key, token, transfer
from tests.api.conftest import Bellman, _new_tenant

# Requests per route and way: six of each take some 20 s for all routes; `make fuzz` tells more.
EXAMPLES = int(os.environ.get("TRIDENT_FUZZ_EXAMPLES", "6"))
SEED = int(os.environ.get("TRIDENT_FUZZ_SEED", "5"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# All roles together come to the code behind permissions; each by itself comes to permissions.
CALLERS = [tuple(ROLES), *((role,) for role in ROLES)]


@pytest.fixture(scope="module")
def busy(app: Flask, environment: dict[str, str]) -> tuple[Caller, int]:
    """A tenant of its own, since its settings will be changed, and a ledger that is not empty."""
    tenant = _new_tenant(environment, "fuzzed")
    caller = Caller(app, "main", token(ROLES, tenant_id=tenant))
    assert caller.post("/v1/ledgers", {"name": "main"}).status_code == 201
    caller.open("world", **WORLD)
    caller.open("a")
    caller.posted(transfer())
    return caller, tenant


def test_no_route_fails_or_answers_what_is_not_documented(
    app: Flask, busy: tuple[Caller, int], bellman: Bellman
) -> None:
    """Every route, with every role, with what fits the document and with what does not."""
    caller, tenant = busy
    bearers = {roles: token(roles, tenant_id=tenant) for roles in CALLERS}
    known: Any = caller.get("operations").json
    there = {"ledger": "main", "code": "a", "number": "1", "name": "our-bank"}
    there |= dict.fromkeys(("operation_id", "schedule_id"), known["data"][0]["id"])
    tried = 0

    def ask(case: Any, roles: tuple[str, ...], named: bool) -> None:
        nonlocal tried
        if named:
            for name in set(case.path_parameters or ()) & set(there):
                case.path_parameters[name] = there[name]
        headers = {"Authorization": f"Bearer {bearers[roles]}"}
        if "Idempotency-Key" in (case.headers or {}):
            headers["Idempotency-Key"] = new_key()
        headers["Prefer"] = "wait=0"  # whatever it drew: a fuzzer does not wait
        case.call_and_validate(headers=headers, checks=CHECKS)
        tried += 1

    document = schemathesis.openapi.from_wsgi("/v1/openapi.json", app)
    routes: list[Any] = [found.ok() for found in document.get_all_operations()]  # type: ignore[union-attr]
    for route in routes:
        for mode in GenerationMode:
            _try(route, mode, ask)
    assert len(routes) > 40
    assert tried > len(routes) * EXAMPLES


def _try(route: Any, mode: GenerationMode, ask: Callable[..., None]) -> None:
    """Ask one route for a number of times, if anything can be wrong with a request of it."""
    asking = seed(SEED)(
        settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )(
            given(
                case=route.as_strategy(generation_mode=mode),
                roles=st.sampled_from(CALLERS),
                named=st.booleans(),
            )(ask)
        )
    )
    try:
        asking()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, route.label
