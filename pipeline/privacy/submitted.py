"""What one of the tenant's people submitted, decided by that, and reconciled: references for their
export.

There is no index by who submitted: the logs are walked in slices, each a statement of its own that
no request's time-out ends. 1,000,000 operations take a second, a slice at most 40 ms (two cores).
"""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.identity.erasure import PERSON

# Positions that are looked at in one statement.
SLICE = 20_000
# Rows that are fetched at a time: one run of matching makes hundreds of thousands.
PAGE = 500

END = text("SELECT last_position(:tenant, :ledger, 'accept')")
SUBMITTED = text("""
    SELECT position, id::text AS id, kind, accepted_at, principal::text AS principal
      FROM (SELECT * FROM operations
             WHERE tenant_id = :tenant AND ledger_id = :ledger
               AND position > :above AND position <= :above + :many OFFSET 0) o
     WHERE principal->>'sub' = :subject
     ORDER BY position
""")
# By what they submitted; and by what somebody else did with it, as an approval which lets it go on.
DECIDED = text("""
    SELECT wanted, d.effect, d.target, t.id::text AS id
      FROM unnest(:positions) wanted
     CROSS JOIN LATERAL (
           SELECT * FROM decisions
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND actor = :subject
              AND (position = wanted OR target = wanted)) d
     CROSS JOIN LATERAL (
           SELECT principal->>'sub' AS sub FROM operations
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND position = d.position LIMIT 1) o
     CROSS JOIN LATERAL (
           SELECT id FROM operations
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND position = d.target LIMIT 1) t
     WHERE d.position = wanted OR o.sub <> :subject
     ORDER BY wanted, d.target, d.number
""")
# What they did for the reconciliation of accounts, which is no operation. Its rows are narrow: of
# these a whole table is read in the time of a slice or two.
RECONCILED = text("""
    SELECT r.what, a.code AS account, r.name, r.at, r.how, r.reason
      FROM (SELECT 'statement' AS what, account, number::text AS name, imported_at AS at,
                   format AS how, NULL AS reason, imported_by AS made_by
              FROM external_statements WHERE tenant_id = :tenant AND ledger_id = :ledger
            UNION ALL
            SELECT 'match', account, match::text, made_at, rule, reason, made_by
              FROM matches WHERE tenant_id = :tenant AND ledger_id = :ledger
            UNION ALL
            SELECT 'booking', account, booking::text, made_at, NULL, NULL, made_by
              FROM bookings WHERE tenant_id = :tenant AND ledger_id = :ledger
            UNION ALL
            SELECT 'csv_mapping', NULL, name || ' ' || version, made_at, NULL, NULL, made_by
              FROM csv_mappings WHERE tenant_id = :tenant AND ledger_id = :ledger) r
      LEFT JOIN accounts a ON a.tenant_id = :tenant AND a.ledger_id = :ledger
           AND a.number = r.account
     WHERE r.made_by = :subject
""")


def submitted(
    connection: Connection, books: Iterable[LedgerRef], subject: str
) -> Iterator[dict[str, Any]]:
    """Their operations in the order of each log; none of a subject that is no person."""
    if not subject.startswith(PERSON):
        return
    for book in books:
        scope = {"tenant": book.tenant_id, "ledger": book.ledger_id, "subject": subject}
        end = connection.execute(END, scope).scalar_one()
        for above in range(0, end, SLICE):
            asked = {**scope, "above": above, "many": SLICE}
            rows = connection.execute(SUBMITTED, asked).all()
            decided = _decided(connection, scope, [row.position for row in rows])
            for row in rows:
                yield {
                    "id": show_id(UUID(row.id)),
                    "ledger": book.name,
                    "position": row.position,
                    "kind": row.kind,
                    "accepted_at": row.accepted_at,
                    "principal": orjson.loads(row.principal),
                    "decided": decided.get(row.position, []),
                }


def reconciled(
    connection: Connection, books: Iterable[LedgerRef], subject: str
) -> Iterator[dict[str, Any]]:
    """Statements they imported, matches and bookings they made, mappings they wrote."""
    if not subject.startswith(PERSON):
        return
    for book in books:
        scope = {"tenant": book.tenant_id, "ledger": book.ledger_id, "subject": subject}
        for row in connection.execute(RECONCILED, scope, execution_options={"yield_per": PAGE}):
            yield {"ledger": book.name, **row._mapping}


def _decided(
    connection: Connection, scope: dict[str, Any], positions: list[int]
) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    rows = connection.execute(DECIDED, {**scope, "positions": positions}) if positions else ()
    for row in rows:
        one = {"effect": row.effect, "operation": show_id(UUID(row.id))}
        found.setdefault(row.wanted, []).append(one)
    return found
