"""A ledger: one set of books of one tenant, with a log of its own."""

from typing import NamedTuple

from sqlalchemy import Connection, text


class LedgerRef(NamedTuple):
    """What finds a ledger: whose it is, its number, and the name that people know it by."""

    tenant_id: int
    ledger_id: int
    name: str


def find_ledger(connection: Connection, tenant_id: int, name: str) -> LedgerRef | None:
    """The tenant's ledger of that name, or None."""
    ledger_id = connection.execute(
        text("SELECT ledger_id FROM ledgers WHERE tenant_id = :tenant AND name = :name"),
        {"tenant": tenant_id, "name": name},
    ).scalar()
    return None if ledger_id is None else LedgerRef(tenant_id, ledger_id, name)


def ledgers_of(connection: Connection, tenant_id: int) -> list[LedgerRef]:
    """All ledgers of the tenant, by name."""
    rows = connection.execute(
        text("SELECT ledger_id, name FROM ledgers WHERE tenant_id = :tenant ORDER BY name"),
        {"tenant": tenant_id},
    )
    return [LedgerRef(tenant_id, ledger_id, name) for ledger_id, name in rows]
