"""Tenants: who shares the installation, made and unmade by its owner, each act with its event.

A deleted tenant keeps its books, their audit and its name: only nobody asks in its name any more,
and its logs take nothing, until it is restored.
"""

from typing import Any, Literal

import psycopg2
from marshmallow import ValidationError
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from models.db import set_tenant
from models.tenant import TenantState, tenant_state
from models.tenant_settings import Document, TenantSettingsSchema, beyond, changed
from pipeline.accept import ACCEPT_LOCK
from pipeline.events import Event, Recorded, record
from pipeline.money import currency_exponent
from pipeline.strict_json import canonical

# What a new tenant has beside its ledger of events.
FIRST_LEDGER = "main"

CREATE = text("INSERT INTO tenants (name) VALUES (:name) RETURNING tenant_id")
CREATE_LEDGER = text("INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, :name)")
DELETE = text("UPDATE tenants SET deleted_at = clock_timestamp() WHERE tenant_id = :tenant")
# One lock at a time: a tenant may have more ledgers than Postgres keeps locks.
WAIT_OUT = text("""
    SELECT pg_advisory_lock(:lock, ledger_id), pg_advisory_unlock(:lock, ledger_id)
      FROM ledgers WHERE tenant_id = :tenant
""")
RESTORE = text("UPDATE tenants SET deleted_at = NULL WHERE tenant_id = :tenant")
CHANGE = {
    "settings": text("UPDATE tenants SET settings = :document WHERE tenant_id = :tenant"),
    "allowed": text("UPDATE tenants SET allowed = :document WHERE tenant_id = :tenant"),
}

Part = Literal["settings", "allowed"]


class TenantError(Exception):
    """It cannot be done to this tenant; the message says why."""


def create(connection: Connection, name: str, actor: str) -> tuple[TenantState, Recorded]:
    """A new tenant with its ledgers, as the owner; raises TenantError."""
    if name.isdecimal():
        raise TenantError(f"{name} would be taken for a tenant's number: choose a name.")
    try:
        tenant_id = connection.execute(CREATE, {"name": name}).scalar_one()
    except IntegrityError as error:
        raise TenantError(_why_not(error, name)) from None
    set_tenant(connection, tenant_id)
    connection.execute(CREATE_LEDGER, {"tenant": tenant_id, "name": FIRST_LEDGER})
    recorded = record(connection, tenant_id, Event("tenant.created", actor, target=_target(name)))
    return found(connection, tenant_id), recorded


def delete(connection: Connection, tenant_id: int, actor: str) -> Recorded:
    """Nobody may ask in its name from now on, as the owner; raises TenantError."""
    set_tenant(connection, tenant_id)
    tenant = found(connection, tenant_id)
    if tenant.deleted:
        raise TenantError(f"Tenant {tenant.name} is deleted already.")
    # First the event: the log of a deleted tenant takes none.
    event = Event("tenant.deleted", actor, target=_target(tenant.name))
    recorded = record(connection, tenant_id, event)
    connection.execute(DELETE, {"tenant": tenant_id})
    return recorded


def wait_out(connection: Connection, tenant_id: int) -> None:
    """Wait for those who began to add to its logs before it was deleted, as the owner, behind the
    transaction of `delete`. Whoever begins later sees that it is."""
    set_tenant(connection, tenant_id)
    connection.execute(WAIT_OUT, {"lock": ACCEPT_LOCK, "tenant": tenant_id})


def restore(connection: Connection, tenant_id: int, actor: str) -> Recorded:
    """It is as it was before it was deleted, as the owner; raises TenantError."""
    set_tenant(connection, tenant_id)
    tenant = found(connection, tenant_id)
    if not tenant.deleted:
        raise TenantError(f"Tenant {tenant.name} is not deleted.")
    connection.execute(RESTORE, {"tenant": tenant_id})
    event = Event("tenant.restored", actor, target=_target(tenant.name))
    return record(connection, tenant_id, event)


def change(
    connection: Connection, tenant_id: int, part: Part, changes: Any, actor: str
) -> Recorded | None:
    """Change some of its settings, or of what it is allowed; None if they were so already.

    `changes` are as a client sends them; a member that is None is taken away. Raises TenantError,
    and ValidationError about the changes.
    """
    loaded = TenantSettingsSchema().load(changes)
    _check_currencies(loaded)
    set_tenant(connection, tenant_id)
    tenant = found(connection, tenant_id)
    before = tenant.own if part == "settings" else tenant.allowed
    after = changed(before, loaded)
    if after == before:
        return None
    if part == "settings":
        own = {name: after[name] for name in loaded if name in after}
        refused = beyond(own, tenant.allowed)
        if refused:
            raise ValidationError({name: [message] for name, message in refused.items()})
    document = canonical(after).decode()
    connection.execute(CHANGE[part], {"tenant": tenant_id, "document": document})
    detail = {"before": _of(before, loaded), "after": _of(after, loaded)}
    event = Event(f"tenant.{part}_changed", actor, target=_target(tenant.name), detail=detail)
    return record(connection, tenant_id, event)


def found(connection: Connection, tenant_id: int) -> TenantState:
    """The tenant, held until the transaction ends; raises TenantError."""
    tenant = tenant_state(connection, tenant_id, lock=True)
    if tenant is None:
        raise TenantError(f"There is no tenant {tenant_id}.")
    return tenant


def _check_currencies(changes: Document) -> None:
    """Those that the changes name are of ISO 4217."""
    for name in ("currencies", "limits"):
        unknown = [code for code in changes.get(name) or () if currency_exponent(code) is None]
        if unknown:
            raise ValidationError({name: [f"{', '.join(unknown)}: ISO 4217 knows none such."]})


def _of(document: Document, names: Document) -> Document:
    """What is changed of it."""
    return {name: document[name] for name in sorted(names) if name in document}


def _target(name: str) -> str:
    return f"tenant:{name}"


def _why_not(error: IntegrityError, name: str) -> str:
    if isinstance(error.orig, psycopg2.errors.UniqueViolation):
        return f"There is a tenant {name} already; `trident tenants list` shows all."
    return f"{name!r}: a tenant's name is 1 to 63 small letters, digits and hyphens, none first."
