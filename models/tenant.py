"""A tenant: whose rows they are. The application's role sees one tenant at a time, by number."""

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.db import owner_engine
from models.settings import settings
from models.tenant_settings import Document, Settings, in_force

# The tenant that the first migration makes.
DEFAULT_NAME = "default"
DEFAULT_ID = 1


class UnknownTenantError(LookupError):
    """No tenant of that name is known here; the message says how to name one."""


def tenant_id_of(name: str) -> int:
    """The number of the tenant: `default`, a number itself, or a name.

    Row-level security hides other tenants' names from the application's role, so names take the
    owner's address (TRIDENT_OWNER_DATABASE_URL). Raises UnknownTenantError.
    """
    if name == DEFAULT_NAME:
        return DEFAULT_ID
    if name.isascii() and name.isdecimal():
        return int(name)
    found = _ask_owner(name)
    if found is None:
        raise UnknownTenantError(
            f"No tenant {name!r} is known. Give its number, or set TRIDENT_OWNER_DATABASE_URL:"
            " only the database's owner sees the names of all tenants."
        )
    return found


class TenantState(NamedTuple):
    """A tenant as it is now. `own` is what it has settled, `allowed` how far it may go."""

    tenant_id: int
    name: str
    created_at: dt.datetime
    deleted_at: dt.datetime | None
    own: Document
    allowed: Document
    settings: Settings  # what is in force: the narrower of both

    @property
    def deleted(self) -> bool:
        """Nobody may ask in its name any more, until it is restored."""
        return self.deleted_at is not None


COLUMNS = "tenant_id, name, created_at, deleted_at, settings::text, allowed::text"


def tenant_state(
    connection: Connection, tenant_id: int, *, lock: bool = False
) -> TenantState | None:
    """The tenant as it is now, or None; `lock`: nobody changes it until the transaction ends."""
    statement = f"SELECT {COLUMNS} FROM tenants WHERE tenant_id = :tenant"  # noqa: S608 - ours
    if lock:
        statement += " FOR UPDATE"
    row = connection.execute(text(statement), {"tenant": tenant_id}).one_or_none()
    return None if row is None else _state(*row)


def all_tenants(connection: Connection) -> list[TenantState]:
    """Those that the connection's role sees, by name: its owner sees all."""
    statement = f"SELECT {COLUMNS} FROM tenants ORDER BY name"  # noqa: S608 - ours
    return [_state(*row) for row in connection.execute(text(statement))]


@contextmanager
def owner_writing() -> Iterator[Connection]:
    """One transaction of the database's owner, committed at the end; raises SettingsError."""
    with owner_engine() as engine, engine.begin() as connection:
        yield connection


def _state(
    tenant_id: int,
    name: str,
    created_at: dt.datetime,
    deleted_at: dt.datetime | None,
    own_text: str,
    allowed_text: str,
) -> TenantState:
    own, allowed = json.loads(own_text), json.loads(allowed_text)
    in_force_now = in_force(own, allowed)
    return TenantState(tenant_id, name, created_at, deleted_at, own, allowed, in_force_now)


def _ask_owner(name: str) -> int | None:
    if settings().owner_database_url is None:
        return None
    with owner_writing() as connection:
        found: int | None = connection.execute(
            text("SELECT tenant_id FROM tenants WHERE name = :name"), {"name": name}
        ).scalar()
        return found
