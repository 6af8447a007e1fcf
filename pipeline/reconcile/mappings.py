"""CSV mappings, stored under a name for the next time; a change is a new version."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline.reconcile.errors import ReconcileError
from pipeline.strict_json import canonical

INSERT = """
INSERT INTO csv_mappings (tenant_id, ledger_id, name, version, mapping, made_by)
SELECT %(tenant)s, %(ledger)s, %(name)s, coalesce(max(version), 0) + 1, %(mapping)s, %(by)s
  FROM csv_mappings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND name = %(name)s
RETURNING version
"""
NEWEST = """
SELECT DISTINCT ON (name) name, version, mapping, made_at, made_by FROM csv_mappings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND (name = %(name)s OR %(name)s IS NULL)
 ORDER BY name, version DESC
"""


def store(
    connection: Connection, ledger: LedgerRef, name: str, mapping: dict[str, Any], by: str
) -> int:
    """Store a mapping that `readers.mapping.load` has checked; its version."""
    parameters = {"name": name, "mapping": canonical(mapping).decode(), "by": by}
    found = connection.exec_driver_sql(INSERT, {**_scope(ledger), **parameters})
    return int(found.scalar_one())


def find(connection: Connection, ledger: LedgerRef, name: str) -> Any:
    """The newest version of the mapping, as a row; raises ReconcileError."""
    row = connection.exec_driver_sql(NEWEST, {**_scope(ledger), "name": name}).one_or_none()
    if row is None:
        there = ", ".join(one.name for one in every(connection, ledger)) or "none"
        raise ReconcileError(
            "unknown_mapping", f"There is no mapping {name!r}; there are: {there}."
        )
    return row


def every(connection: Connection, ledger: LedgerRef) -> Sequence[Any]:
    """The newest version of every mapping of the ledger, by name."""
    return connection.exec_driver_sql(NEWEST, {**_scope(ledger), "name": None}).all()


def _scope(ledger: LedgerRef) -> dict[str, Any]:
    return {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
