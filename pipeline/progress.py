"""How far a ledger has come: the last position of its log and of each stage; and what was refused.

Each question is one message to the server. Several statements in one message are one transaction.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, text

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.refusal import Refusal
from pipeline.search.codes import SEGMENT


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

STANDINGS = text("""
SELECT l.ledger_id, l.name, l.accept, l.validate, l.authorize, l.post, l.audit, l.notify,
       (SELECT extract(epoch FROM clock_timestamp() - accepted_at)::float FROM operations o
         WHERE o.tenant_id = :tenant AND o.ledger_id = l.ledger_id AND o.position = l.post + 1),
       (SELECT coalesce(sum(to_position - from_position + 1), 0)::bigint
          FROM (SELECT * FROM runs r
                 WHERE r.tenant_id = :tenant AND r.ledger_id = l.ledger_id AND r.stage = 'post'
                 ORDER BY r.from_position DESC LIMIT :runs) r
         WHERE r.at > clock_timestamp() - interval '1 minute'),
       coalesce((SELECT segments FROM search_progress s
                  WHERE s.tenant_id = :tenant AND s.ledger_id = l.ledger_id), 0)::bigint
         * :segment
  FROM (SELECT ledger_id, name,
               last_position(:tenant, ledger_id, 'accept') AS accept,
               last_position(:tenant, ledger_id, 'validate') AS validate,
               last_position(:tenant, ledger_id, 'authorize') AS authorize,
               last_position(:tenant, ledger_id, 'post') AS post,
               last_position(:tenant, ledger_id, 'audit') AS audit,
               last_position(:tenant, ledger_id, 'notify') AS notify
          FROM ledgers WHERE tenant_id = :tenant) l
 ORDER BY l.name
""")
# A stage makes at most some 50 runs a second: no minute has more.
RUNS_A_MINUTE = 3_000


class Standing(NamedTuple):
    """How a ledger stands: how far it is, for how long work has waited, and how fast it goes.

    `indexed`: the last position that is in the index of the log.
    """

    ledger: LedgerRef
    progress: Progress
    oldest_unposted_s: float | None
    posted_last_minute: int
    indexed: int


def read_standings(connection: Connection, tenant_id: int) -> list[Standing]:
    """How each of the tenant's ledgers stands, by name."""
    rows = connection.execute(
        STANDINGS, {"tenant": tenant_id, "runs": RUNS_A_MINUTE, "segment": SEGMENT}
    )
    return [
        Standing(LedgerRef(tenant_id, row[0], row[1]), Progress(*row[2:8]), *row[8:])
        for row in rows
    ]


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
