"""What is due becomes operations at the end of the log: holds expire, schedules occur.

A due time is a row of pending_operations. It stays due until the operation that was made of it has
been posted, so it may be met again and again, by several at once: its key, of the operation that
waits and of how often that has changed, lets it into the log once. The database's clock says what
is due; no clock decides what comes of it.
"""

import datetime as dt
from typing import Any, NamedTuple
from uuid import UUID

from models.db import app_engine, raw_connection
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.accept import accept, rollback
from pipeline.idempotency import DUE
from pipeline.principal import SCHEDULER
from pipeline.receipt import Receipt, Submission
from pipeline.stage import RUN_BYTES
from pipeline.strict_json import canonical

# As an import's: a request that comes in between waits for no more than these.
DUE_MAX = 1_000
# What waits to occur; everything else waits to expire.
SCHEDULED = ("schedule", "end")
PRINCIPAL = canonical({"roles": [SCHEDULER], "sub": "trident:scheduler"})

READ = """
BEGIN READ ONLY;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
SELECT id, effect, due_at, number
  FROM (SELECT o.id::text, p.effect, p.due_at, p.number, p.target,
               sum(octet_length(o.body::text)) OVER (ORDER BY p.due_at, p.target) AS bytes,
               row_number() OVER (ORDER BY p.due_at, p.target) AS place
          FROM (SELECT target, effect, due_at, number FROM pending_operations
                 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                   AND due_at <= now()
                 ORDER BY due_at, target LIMIT %(most)s) p
         CROSS JOIN LATERAL (
               SELECT id, body FROM operations
                WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                  AND position = p.target LIMIT 1) o) due
 WHERE bytes <= %(bytes)s OR place = 1
 ORDER BY due_at, target
"""


class Due(NamedTuple):
    """An operation whose time has come, by what it did last."""

    id: UUID
    effect: str
    due_at: dt.datetime
    number: int


def submit_due(ledger: LedgerRef, max_lag: int, most: int = DUE_MAX) -> list[Receipt]:
    """Accept what is due in the ledger, oldest first; the receipts as accept gives them.

    Raises psycopg2 errors: the next look finds it again.
    """
    with raw_connection(app_engine()) as connection:
        found = read_due(connection, ledger, most)
        return accept(connection, ledger, list(map(submission, found)), max_lag) if found else []


def read_due(connection: Any, ledger: LedgerRef, most: int) -> list[Due]:
    """What is due in the ledger, oldest first, and no more of it than a run takes.

    An occurrence is short, but what it does stands in its schedule: that is what counts.
    """
    cursor = connection.cursor()
    try:
        scope = {
            "tenant": ledger.tenant_id,
            "ledger": ledger.ledger_id,
            "most": most,
            "bytes": RUN_BYTES,
        }
        cursor.execute(READ, scope)
        return [Due(UUID(id_), *row) for id_, *row in cursor.fetchall()]
    finally:
        rollback(connection)


def submission(due: Due) -> Submission:
    """The operation that is made of it."""
    target = show_id(due.id)
    key = DUE.format(target, due.number)
    body: dict[str, Any] = {"target": target, "number": due.number}
    if due.effect in SCHEDULED:
        moment = due.due_at.isoformat().replace("+00:00", "Z")
        return Submission(key, "occur", canonical({**body, "due": moment}), PRINCIPAL)
    return Submission(key, "expire", canonical(body), PRINCIPAL)
