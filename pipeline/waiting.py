"""The operations of a ledger that wait for approvals, for those who look at them."""

import datetime as dt
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline.kinds.approvals import may_approve, refuse_amounts, rule_over
from pipeline.kinds.kind import Body
from pipeline.permissions import action_of, permits
from pipeline.principal import actor_of, person_of, persons_of
from pipeline.rules import read_rules
from pipeline.settings import Approval

WAITING = """
SELECT o.id, o.position, o.kind, o.body::text AS body, o.accepted_at,
       o.principal::text AS principal, p.due_at, d.remaining, approved.by
  FROM (SELECT target, due_at FROM pending_operations
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND effect = 'wait'
           AND target > %(after)s
         ORDER BY target LIMIT %(many)s) p
 CROSS JOIN LATERAL (
       SELECT * FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = p.target
        LIMIT 1) o
 CROSS JOIN LATERAL (
       SELECT remaining FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND target = p.target
        ORDER BY number DESC LIMIT 1) d
 CROSS JOIN LATERAL (
       SELECT coalesce(array_agg(actor ORDER BY number), '{}') AS by FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND target = p.target
          AND effect = 'approve') approved
 ORDER BY p.target
"""


class Waiting(NamedTuple):
    """One of them. `rule` is the one that it would be under now; None if there is none any more."""

    id: UUID
    position: int
    kind: str
    body: Body
    accepted_at: dt.datetime
    principal: str
    rule: Approval | None
    due_at: dt.datetime | None
    remaining: int
    approved_by: list[str]

    @property
    def submitted_by(self) -> str:
        """Who cannot approve it."""
        return actor_of(self.principal)

    def awaits(self, principal: str) -> bool:
        """Whether an approval of this principal would count."""
        ruled_out = persons_of(self.principal) | set(map(person_of, self.approved_by))
        return (
            permits(principal, action_of("approve"))
            and person_of(actor_of(principal)) not in ruled_out
            and may_approve(self.rule, principal)
            and refuse_amounts(principal, self.kind, self.body) is None
        )


def waiting(connection: Connection, ledger: LedgerRef, after: int, many: int) -> list[Waiting]:
    """Those behind a position, in the order of the log."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "after": after, "many": many}
    settings = read_rules(connection, ledger)
    found = []
    for row in connection.exec_driver_sql(WAITING, scope):
        body = orjson.loads(row.body)
        found.append(
            Waiting(
                id=row.id if isinstance(row.id, UUID) else UUID(row.id),
                position=row.position,
                kind=row.kind,
                body=body,
                accepted_at=row.accepted_at,
                principal=row.principal,
                rule=rule_over(settings, row.kind, body, row.principal),
                due_at=row.due_at,
                remaining=row.remaining,
                approved_by=list(row.by),
            )
        )
    return found
