"""How far a ledger has come: the last position of its log and of each stage; and what was refused.

Each question is one message to the server. Several statements in one message are one transaction.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.refusal import Refusal


class Progress(NamedTuple):
    """The last position of the log and of each stage, in the order in which operations pass."""

    accept: int
    validate: int
    authorize: int
    post: int
    audit: int
    notify: int

    @property
    def unposted(self) -> int:
        """How many operations wait to be posted."""
        return self.accept - self.post


READ = """
SELECT set_config('trident.tenant', %(tenant)s::text, true);
SELECT last_position(%(tenant)s, %(ledger)s, 'accept'),
       last_position(%(tenant)s, %(ledger)s, 'validate'),
       last_position(%(tenant)s, %(ledger)s, 'authorize'),
       last_position(%(tenant)s, %(ledger)s, 'post'),
       last_position(%(tenant)s, %(ledger)s, 'audit'),
       last_position(%(tenant)s, %(ledger)s, 'notify')
"""

REJECTIONS = """
SELECT set_config('trident.tenant', %(tenant)s::text, true);
SELECT r.position, r.code, r.detail::text
  FROM unnest(%(positions)s::bigint[]) wanted
 CROSS JOIN LATERAL (
       SELECT * FROM rejections r
        WHERE r.tenant_id = %(tenant)s AND r.ledger_id = %(ledger)s AND r.position = wanted
        LIMIT 1) r
"""


def read_progress(connection: Any, ledger: LedgerRef) -> Progress:
    """Where the ledger is now. `connection` is in autocommit mode (models.db.raw_connection)."""
    with connection.cursor() as cursor:
        cursor.execute(READ, {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id})
        return Progress(*cursor.fetchone())


def read_rejections(
    connection: Any, ledger: LedgerRef, positions: Iterable[int]
) -> dict[int, Refusal]:
    """The refusals among these positions. Ask only about what `post` has passed."""
    with connection.cursor() as cursor:
        cursor.execute(
            REJECTIONS,
            {
                "tenant": ledger.tenant_id,
                "ledger": ledger.ledger_id,
                "positions": arrays.integers(positions),
            },
        )
        return {
            position: Refusal(code, orjson.loads(detail))
            for position, code, detail in cursor.fetchall()
        }
