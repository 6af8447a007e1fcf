"""What was found, as a line of a list: an operation and what became of it."""

import datetime as dt
from collections.abc import Iterable, Iterator
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays

STATUSES = ("accepted", "validated", "authorized", "pending", "posted", "rejected")

READ = """
SELECT o.position, o.id, o.accepted_at, o.kind, o.idempotency_key, o.body::text AS body,
       coalesce(r.code, CASE u.effect WHEN 'refuse' THEN 'approval_refused'
                                      WHEN 'lapse' THEN 'approval_expired' END) AS rejection,
       CASE WHEN r.code IS NOT NULL OR u.effect IS NOT NULL THEN 'rejected'
            WHEN p.target IS NOT NULL THEN 'pending'
            WHEN o.position <= reached.posted THEN 'posted'
            WHEN o.position <= reached.authorized THEN 'authorized'
            WHEN o.position <= reached.validated THEN 'validated'
            ELSE 'accepted' END AS status,
       o.principal->>'sub' AS submitted_by
  FROM (SELECT last_position(%(tenant)s, %(ledger)s, 'validate') AS validated,
               last_position(%(tenant)s, %(ledger)s, 'authorize') AS authorized,
               last_position(%(tenant)s, %(ledger)s, 'post') AS posted) reached
 CROSS JOIN unnest(%(positions)s::bigint[]) WITH ORDINALITY AS wanted (position, place)
 CROSS JOIN LATERAL (
       SELECT * FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.position LIMIT 1) o
  LEFT JOIN LATERAL (
       SELECT code FROM rejections
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.position LIMIT 1) r ON true
  LEFT JOIN LATERAL (
       SELECT target FROM pending_operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND target = wanted.position LIMIT 1) p ON true
  LEFT JOIN LATERAL (
       SELECT effect FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND target = wanted.position AND terminal AND effect IN ('refuse', 'lapse')
        LIMIT 1) u ON true
 ORDER BY wanted.place
"""


class Found(NamedTuple):
    """An operation of the log. `rejection`: the code with which it was refused."""

    position: int
    id: UUID
    accepted_at: dt.datetime
    kind: str
    idempotency_key: str
    body: str
    rejection: str | None
    status: str
    submitted_by: str | None


def read_found(
    connection: Connection, ledger: LedgerRef, positions: Iterable[int]
) -> Iterator[Found]:
    """The operations at these positions, in this order."""
    wanted = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "positions": arrays.integers(positions),
    }
    for row in connection.exec_driver_sql(READ, wanted):
        yield Found(*row)
