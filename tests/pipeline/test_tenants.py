"""Tenants are created and settled, and go no further than the installation allows them."""

from typing import Any

import pytest
from iso4217 import Currency
from marshmallow import ValidationError
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from models.db import sweeper_engine, tenant_reading, tenant_writing
from models.ledger import LedgerRef, find_ledger
from models.tenant import TenantState, owner_writing, tenant_state
from pipeline import tenants
from pipeline.events import Wanted, read_page
from tests.bank import Bank

_numbers = iter(range(1, 1000))


@pytest.fixture
def tenant(env: dict[str, str]) -> TenantState:
    """A tenant of its own."""
    with owner_writing() as connection:
        return tenants.create(connection, f"tenant-{next(_numbers)}", "cli:test")[0]


def main_of(tenant: TenantState) -> Bank:
    """Its first ledger."""
    with tenant_reading(tenant.tenant_id) as connection:
        ledger = find_ledger(connection, tenant.tenant_id, "main")
    assert isinstance(ledger, LedgerRef)
    return Bank(ledger)


def now(tenant: TenantState) -> TenantState:
    """The tenant as it is now, as it sees itself."""
    with tenant_reading(tenant.tenant_id) as connection:
        found = tenant_state(connection, tenant.tenant_id)
    assert found is not None
    return found


def allow(tenant: TenantState, changes: dict[str, Any]) -> None:
    """As the owner."""
    with owner_writing() as connection:
        tenants.change(connection, tenant.tenant_id, "allowed", changes, "cli:test")


def settle(tenant: TenantState, changes: Any) -> bool:
    """As the tenant's own role; whether anything changed."""
    with tenant_writing(tenant.tenant_id) as connection:
        made = tenants.change(connection, tenant.tenant_id, "settings", changes, "person:ada")
        return made is not None


def told(tenant: TenantState) -> list[dict[str, Any]]:
    """Its events, oldest first."""
    with tenant_reading(tenant.tenant_id) as connection:
        page = read_page(connection, tenant.tenant_id, Wanted(50))
    return [one.body for one in reversed(page.events)]


def test_a_new_tenant_has_a_ledger_and_its_event(tenant: TenantState) -> None:
    """Operations are posted in `main` at once."""
    bank = main_of(tenant)
    bank.fund("a", 100)
    assert bank.balance("a") == 100
    assert [event["action"] for event in told(tenant)] == ["tenant.created"]
    assert (tenant.deleted, tenant.own, tenant.allowed) == (False, {}, {})


@pytest.mark.parametrize("name", ["default", "7", "", "Acme", "-a", "a" * 64, "a b", "ä"])
def test_names_that_no_tenant_gets(env: dict[str, str], name: str) -> None:
    """Taken, a number, or none that the table takes: nothing is made."""
    with pytest.raises(tenants.TenantError), owner_writing() as connection:
        tenants.create(connection, name, "cli:test")


def test_settings_are_changed_member_by_member(tenant: TenantState) -> None:
    """What is not named stays, null takes away, what was so already is no event."""
    assert settle(tenant, {"currencies": ["USD", "EUR", "USD"], "retention_days": 100})
    assert now(tenant).own == {"currencies": ["EUR", "USD"], "retention_days": 100}
    assert not settle(tenant, {"currencies": ["EUR", "USD"]})
    assert settle(tenant, {"currencies": None, "cors_origins": ["https://shop.example:8443"]})
    assert now(tenant).own == {
        "cors_origins": ["https://shop.example:8443"],
        "retention_days": 100,
    }
    assert [event.get("detail") for event in told(tenant)] == [
        None,
        {"before": {}, "after": {"currencies": ["EUR", "USD"], "retention_days": 100}},
        {
            "before": {"currencies": ["EUR", "USD"]},
            "after": {"cors_origins": ["https://shop.example:8443"]},
        },
    ]


def test_the_largest_settings_are_told_of(tenant: TenantState) -> None:
    """As they were and as they are now, every member as long as it may be."""
    codes = [currency.code for currency in Currency]
    for digit in "12":
        host = digit.join(["a" * 63] * 3) + digit
        every = {
            "currencies": codes[int(digit) :],
            "limits": dict.fromkeys(codes, 10**15 - int(digit)),
            "cors_origins": [f"https://{n:02}.{host:a<238}:12345" for n in range(50)],
        }
        assert settle(tenant, every)
    assert len(told(tenant)) == 3


@pytest.mark.parametrize(
    "changes",
    [
        [],
        "x",
        None,
        {"colour": 1},
        {"currencies": []},
        {"currencies": ["eur"]},
        {"currencies": ["EUR\n"]},
        {"currencies": ["ZZZ"]},
        {"currencies": "EUR"},
        {"limits": {}},
        {"limits": {"EUR": -1}},
        {"limits": {"EUR": 1.5}},
        {"limits": {"EUR": "1"}},
        {"limits": {"EUR": True}},
        {"limits": {"EUR": 10**15 + 1}},
        {"limits": {"ZZZ": 1}},
        {"retention_days": 0},
        {"retention_days": "30"},
        {"retention_days": True},
        {"retention_days": 10**9},
        {"cors_origins": ["*"]},
        {"rate_limits": {"person": 1}},
        {"rate_limits": {"key": 0}},
    ],
)
def test_settings_that_are_none(tenant: TenantState, changes: Any) -> None:
    """Each is refused, and nothing is changed or told."""
    with pytest.raises(ValidationError):
        settle(tenant, changes)
    assert now(tenant).own == {}
    assert len(told(tenant)) == 1


@pytest.mark.parametrize(
    ("allowed", "fine", "refused"),
    [
        ({"currencies": ["EUR", "USD"]}, {"currencies": ["EUR"]}, {"currencies": ["EUR", "JPY"]}),
        ({"limits": {"EUR": 10}}, {"limits": {"EUR": 9}}, {"limits": {"EUR": 11}}),
        ({"limits": {"EUR": 10}}, {"limits": {"EUR": 10}}, {"limits": {"EUR": 1, "USD": 1}}),
        ({"retention_days": 10}, {"retention_days": 11}, {"retention_days": 9}),
        (
            {"cors_origins": ["https://a.example"]},
            {"cors_origins": ["https://a.example"]},
            {"cors_origins": ["https://b.example"]},
        ),
        (
            {"rate_limits": {"key": 10}},
            {"rate_limits": {"tenant": 99}},
            {"rate_limits": {"key": 11}},
        ),
    ],
)
def test_a_tenant_goes_no_further_than_it_is_allowed(
    tenant: TenantState, allowed: dict[str, Any], fine: dict[str, Any], refused: dict[str, Any]
) -> None:
    """More is refused and says what is allowed; the owner alone widens that."""
    allow(tenant, allowed)
    assert settle(tenant, fine)
    with pytest.raises(ValidationError, match="The installation allows"):
        settle(tenant, refused)
    assert now(tenant).own == fine
    allow(tenant, dict.fromkeys(allowed))
    assert settle(tenant, refused)


def test_what_is_allowed_holds_for_what_was_settled_before(tenant: TenantState) -> None:
    """In force is the narrower of both, and what is allowed where the tenant has settled nothing.

    Other members can still be changed meanwhile.
    """
    settle(tenant, {"currencies": ["EUR", "USD"], "limits": {"EUR": 50, "USD": 50}})
    settle(tenant, {"rate_limits": {"tenant": 50}})
    allow(tenant, {"currencies": ["EUR", "JPY"], "limits": {"EUR": 10}, "retention_days": 30})
    allow(tenant, {"rate_limits": {"tenant": 20, "key": 5}})
    assert settle(tenant, {"cors_origins": ["https://a.example"]})
    settings = now(tenant).settings
    assert settings.currencies == {"EUR"}
    assert settings.limits == {"EUR": 10}
    assert settings.retention_days == 30
    assert settings.cors_origins == ("https://a.example",)
    assert settings.rate_limits == {"tenant": 20, "key": 5}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tenants SET deleted_at = NULL",
        "UPDATE tenants SET allowed = '{}'",
        "UPDATE tenants SET name = 'mine'",
        "DELETE FROM tenants",
        "INSERT INTO tenants (name) VALUES ('mine')",
    ],
)
def test_the_application_changes_nothing_but_settings(tenant: TenantState, statement: str) -> None:
    """The rest is the owner's."""
    with (
        pytest.raises(ProgrammingError, match="permission denied"),
        tenant_writing(tenant.tenant_id) as connection,
    ):
        connection.execute(text(statement))


def test_a_tenant_changes_no_settings_of_another(tenant: TenantState) -> None:
    """Another's row is not there for it."""
    with tenant_writing(1) as connection:
        update = "UPDATE tenants SET settings = '{}' WHERE tenant_id = :tenant"
        assert connection.execute(text(update), {"tenant": tenant.tenant_id}).rowcount == 0
        assert tenant_state(connection, tenant.tenant_id) is None


def test_the_sweeper_sees_of_tenants_only_whether_they_are_deleted(tenant: TenantState) -> None:
    """Neither names nor settings."""
    with sweeper_engine().connect() as connection:
        assert connection.execute(text("SELECT tenant_id, deleted_at FROM tenants")).all()
        with pytest.raises(DBAPIError, match="permission denied"):
            connection.execute(text("SELECT name FROM tenants"))
