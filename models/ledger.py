"""A ledger: one set of books of one tenant, with a log of its own.

Names that begin with `trident-` are Trident's own: clients neither make nor name such ledgers, and
lists leave them out. Each tenant has one, of events (pipeline/events.py).
"""

from typing import NamedTuple

from sqlalchemy import Connection, text

RESERVED = "trident-"
EVENTS = "trident-events"


class LedgerRef(NamedTuple):
    """What finds a ledger: whose it is, its number, and the name that people know it by."""

    tenant_id: int
    ledger_id: int
    name: str


def find_ledger(connection: Connection, tenant_id: int, name: str) -> LedgerRef | None:
    """The tenant's ledger of that name, or None; Trident's own have no name for clients."""
    return None if name.startswith(RESERVED) else _find(connection, tenant_id, name)


def event_ledger(connection: Connection, tenant_id: int) -> LedgerRef | None:
    """Where the tenant's events are; None where there is no such tenant."""
    return _find(connection, tenant_id, EVENTS)


def ledgers_of(connection: Connection, tenant_id: int) -> list[LedgerRef]:
    """The tenant's ledgers, by name, without Trident's own."""
    every = every_ledger_of(connection, tenant_id)
    return [ledger for ledger in every if not ledger.name.startswith(RESERVED)]


def every_ledger_of(connection: Connection, tenant_id: int) -> list[LedgerRef]:
    """All of the tenant's ledgers, by name, Trident's own among them."""
    rows = connection.execute(
        text("SELECT ledger_id, name FROM ledgers WHERE tenant_id = :tenant ORDER BY name"),
        {"tenant": tenant_id},
    )
    return [LedgerRef(tenant_id, ledger_id, name) for ledger_id, name in rows]


def _find(connection: Connection, tenant_id: int, name: str) -> LedgerRef | None:
    ledger_id = connection.execute(
        text("SELECT ledger_id FROM ledgers WHERE tenant_id = :tenant AND name = :name"),
        {"tenant": tenant_id, "name": name},
    ).scalar()
    return None if ledger_id is None else LedgerRef(tenant_id, ledger_id, name)
