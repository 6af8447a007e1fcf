"""Times are positions and positions are versions, each found by halving over an index.

`accepted_at` never runs backwards along a log, nor do positions along an account's versions. So
what was accepted by a time is a range from the beginning, and so is what it left on an account.
"""

from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef

# The first position (or version) in [low, high] where the column reaches `value`; high + 1 if none.
_HALVING = """
WITH RECURSIVE halving (low, high) AS (
    SELECT %(low)s::bigint, %(high)s::bigint + 1
    UNION ALL
    SELECT CASE WHEN probe.value >= %(value)s THEN half.low ELSE half.middle + 1 END,
           CASE WHEN probe.value >= %(value)s THEN half.middle ELSE half.high END
      FROM (SELECT low, high, (low + high) / 2 AS middle FROM halving WHERE low < high) half
     CROSS JOIN LATERAL ({probe} LIMIT 1) probe
)
SELECT low FROM halving WHERE low >= high
"""
POSITION_AT = _HALVING.format(
    probe="""SELECT accepted_at AS value FROM operations
              WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = half.middle"""
)
VERSION_AT = _HALVING.format(
    probe="""SELECT position AS value FROM postings
              WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                AND account = %(account)s AND NOT pending AND version = half.middle"""
)


def first(
    connection: Connection,
    ledger: LedgerRef,
    statement: str,
    low: int,
    high: int,
    value: Any,
    **more: Any,
) -> int:
    """The first place in [low, high] at which the statement's column reaches `value`."""
    parameters = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "low": low,
        "high": high,
        "value": value,
        **more,
    }
    found = connection.exec_driver_sql(statement, parameters).scalar()
    assert found is not None
    return int(found)
