"""The personal data of accounts: that of the last posted operation that opened or changed one."""

from collections.abc import Collection
from typing import NamedTuple

import orjson
from sqlalchemy import Connection, text

from models.ledger import LedgerRef
from pipeline.privacy.personal import Place, places

NAMED = text("""
    SELECT m.account, o.kind, o.body::text AS body, o.idempotency_key
      FROM (SELECT DISTINCT account, key_hash FROM subject_mentions
             WHERE tenant_id = :tenant AND ledger_id = :ledger AND account = ANY(:codes)
               AND account <> '') m
     CROSS JOIN LATERAL (
           SELECT position FROM idempotency_keys k
            WHERE k.tenant_id = :tenant AND k.ledger_id = :ledger AND k.key_hash = m.key_hash
            LIMIT 1) k
     CROSS JOIN LATERAL (
           SELECT * FROM operations o
            WHERE o.tenant_id = :tenant AND o.ledger_id = :ledger AND o.position = k.position
            LIMIT 1) o
     WHERE o.position <= last_position(:tenant, :ledger, 'post')
       AND NOT EXISTS (
           SELECT FROM rejections r
            WHERE r.tenant_id = :tenant AND r.ledger_id = :ledger AND r.position = k.position)
     ORDER BY o.position
""")


class Carried(NamedTuple):
    """Where the personal data of an account stands: under which key, and the place there."""

    key: str
    place: Place


def carried(
    connection: Connection, ledger: LedgerRef, codes: Collection[str]
) -> dict[str, Carried]:
    """By code, for the accounts that have personal data."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "codes": list(codes)}
    found: dict[str, Carried] = {}
    for row in connection.execute(NAMED, scope):
        for place in places(row.kind, orjson.loads(row.body)):
            if place.account == row.account:
                found[row.account] = Carried(row.idempotency_key, place)
    return found
