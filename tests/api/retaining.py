"""What retention is tried with: people, sessions and mails, and time that has gone by."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import text

from models.db import owner_engine, set_tenant, tenant_writing
from models.key_ring import key_ring
from models.tenant import TenantState
from pipeline.identity import people, sessions, tickets
from pipeline.identity.people import Actor
from tests.api.caller import Caller

ROOT = Actor("cli:test", frozenset({"owner"}))
# So long ago everything was that is made older.
OLD_DAYS = 40
MOMENTS = {
    "data_keys": ("created_at",),
    "subject_mentions": ("mentioned_at",),
    "people": ("status_since",),
    "tickets": ("expires_at", "used_at"),
    "sessions": ("expires_at", "revoked_at", "created_at"),
    "mails": ("made_at", "until_at", "ended_at"),
}

Rows = Callable[[str], list[Any]]


def age(tenant: TenantState, days: int = OLD_DAYS) -> None:
    """All that is there becomes older by so many days; no guard lets anybody do so."""
    with owner_engine() as engine, engine.begin() as connection:
        set_tenant(connection, tenant.tenant_id)
        for table, columns in MOMENTS.items():
            moved = ", ".join(f"{one} = {one} - interval '{days} days'" for one in columns)
            connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
            where = f"WHERE tenant_id = {tenant.tenant_id}"
            connection.execute(text(f"UPDATE {table} SET {moved} {where}"))
        for table in MOMENTS:
            guards = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = "
            for guard in connection.execute(text(f"{guards}'{table}'::regclass")).scalars().all():
                connection.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {guard}"))


def erased(rows: Rows) -> list[str]:
    """Whose keys are destroyed."""
    found = rows("SELECT subject FROM data_keys WHERE erased_at IS NOT NULL ORDER BY subject")
    return [one.removeprefix("subject:") for one in found]


def told(shop: Caller, action: str) -> list[dict[str, Any]]:
    """The events of one action."""
    page: Any = shop.get(f"/v1/events?action={action}").json
    return list(page["data"])


def again(tenant: TenantState) -> None:
    """It is the next night."""
    with owner_engine() as engine, engine.begin() as connection:
        set_tenant(connection, tenant.tenant_id)
        where = f"WHERE tenant_id = {tenant.tenant_id}"
        connection.execute(text(f"UPDATE retention_runs SET night = night - 1 {where}"))


def somebody(tenant: TenantState, ref: str, role: str = "operator") -> str:
    """Somebody who was invited."""
    with tenant_writing(tenant.tenant_id) as connection:
        ring, tenant_id = key_ring(), tenant.tenant_id
        made = people.invite(connection, ring, tenant_id, ROOT, f"{ref}@example.com", [role])
        tickets.offer(connection, ring, tenant_id, ROOT, made.person_id)
    return made.person_id


def begin(tenant: TenantState, person: str) -> None:
    """A session of theirs."""
    with tenant_writing(tenant.tenant_id) as connection:
        sessions.begin(connection, key_ring(), tenant.tenant_id, person, "192.0.2.1", "a browser")


def mailed(tenant: TenantState, person: str) -> None:
    """A mail to them that was sent."""
    with tenant_writing(tenant.tenant_id) as connection:
        connection.execute(
            text(
                "INSERT INTO mails (tenant_id, mail_id, person_id, purpose, until_at, next_at,"
                " outcome, ended_at) VALUES (:tenant, :mail, :person, 'reset', now(), NULL,"
                " 'sent', now())"
            ),
            {"tenant": tenant.tenant_id, "mail": people.new_id("ma"), "person": person},
        )


def status(tenant: TenantState, person: str, to: str, role: str = "operator") -> None:
    """Let somebody be that."""
    with tenant_writing(tenant.tenant_id) as connection:
        connection.execute(
            text(
                "UPDATE people SET status = :to, roles = ARRAY[:role],"
                " password_hash = '$argon2id$none' WHERE person_id = :person"
            ),
            {"to": to, "role": role, "person": person},
        )
