"""A tenant of its own for each test, with subjects of its own."""

import time
from itertools import count
from typing import Any

import pytest
from flask import Flask

from models.db import tenant_reading
from models.ledger import LedgerRef, event_ledger, find_ledger
from models.tenant import TenantState, owner_writing
from pipeline import tenants
from tests.api.caller import Caller, token, transfer
from tests.api.conftest import Bellman, work
from tests.api.test_personal import about

_numbers = count(1)
# Another worker may be at it: it needs some 20 ms.
LOOKS, LOOK_S = 100, 0.05
OWNER = ("owner", "admin", "operator", "submitter", "auditor")


@pytest.fixture
def tenant(environment: dict[str, str]) -> TenantState:
    """A tenant of its own."""
    with owner_writing() as connection:
        return tenants.create(connection, f"erased-{next(_numbers)}", "cli:test")[0]


@pytest.fixture
def shop(app: Flask, bellman: Bellman, tenant: TenantState) -> Caller:
    """Its owner, at its first ledger, with two accounts."""
    caller = Caller(app, "main", token(OWNER, tenant_id=tenant.tenant_id, subject="cli:ada"))
    caller.open_two()
    return caller


@pytest.fixture
def book(tenant: TenantState) -> LedgerRef:
    """Its first ledger."""
    with tenant_reading(tenant.tenant_id) as connection:
        found = find_ledger(connection, tenant.tenant_id, "main")
    assert found is not None
    return found


@pytest.fixture
def events(tenant: TenantState) -> LedgerRef:
    """Its ledger of events."""
    with tenant_reading(tenant.tenant_id) as connection:
        found = event_ledger(connection, tenant.tenant_id)
    assert found is not None
    return found


def do(shop: Caller, act: str, ref: str = "customer-42") -> Any:
    """POST /v1/subjects/{ref}/{act}."""
    return shop.call("POST", f"/v1/subjects/{ref}/{act}")


def told(shop: Caller) -> list[tuple[str, str, str]]:
    """What the events say of subjects, oldest first."""
    page: Any = shop.get("/v1/events").json
    found = [(one["action"], one["actor"], one["target"]) for one in page["data"]]
    return [one for one in reversed(found) if one[0].startswith("subject.")]


def certificate(shop: Caller, events: LedgerRef) -> dict[str, Any]:
    """That of the erasure, once its event is sealed."""
    for _ in range(LOOKS):
        work(events)
        found: Any = shop.get("/v1/subjects/customer-42/certificate").json
        if found["block"] is not None:
            return dict(found)
        time.sleep(LOOK_S)
    raise AssertionError("the event was not sealed")


def name(shop: Caller, ref: str = "customer-42", key: str | None = None) -> dict[str, Any]:
    """Post an operation that names the subject."""
    found: Any = shop.submit(transfer(personal=about(ref)), key, wait=5).json
    assert found["status"] == "posted", found
    return dict(found)
