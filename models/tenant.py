"""A tenant: whose rows they are. The application's role sees one tenant at a time, by number."""

from sqlalchemy import text

from models.db import STAGE_TIMEOUT_MS, make_engine
from models.settings import settings

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


def _ask_owner(name: str) -> int | None:
    url = settings().owner_database_url
    if url is None:
        return None
    engine = make_engine(url, statement_timeout_ms=STAGE_TIMEOUT_MS, trusted=True)
    try:
        with engine.connect() as connection:
            found: int | None = connection.execute(
                text("SELECT tenant_id FROM tenants WHERE name = :name"), {"name": name}
            ).scalar()
            return found
    finally:
        engine.dispose()
