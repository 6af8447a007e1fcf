"""Times are positions and positions are versions: each is found by halving over an index.

`accepted_at` never runs backwards along a log, nor do positions along an account's versions.
"""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.search.wanted import Range

# The first number in [low, high] at which the probe reaches the value; high + 1 if none does.
_HALVING = """
(WITH RECURSIVE halving (low, high) AS (
    SELECT {low}::bigint, {high}::bigint + 1
    UNION ALL
    SELECT CASE WHEN probe.value >= {value} THEN half.low ELSE half.middle + 1 END,
           CASE WHEN probe.value >= {value} THEN half.middle ELSE half.high END
      FROM (SELECT low, high, (low + high) / 2 AS middle FROM halving WHERE low < high) half
     CROSS JOIN LATERAL ({probe} LIMIT 1) probe
)
SELECT low FROM halving WHERE low >= high)
"""
_ACCEPTED_AT = """SELECT accepted_at AS value FROM operations
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = half.middle"""
_POSTED_AT = """SELECT position AS value FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
           AND account = a.number AND NOT pending AND version = half.middle"""

POSITION_AT = "SELECT " + _HALVING.format(
    low="%(low)s", high="%(high)s", value="%(value)s", probe=_ACCEPTED_AT
)
VERSIONS_AT = (
    "SELECT a.number, "  # noqa: S608 - put together from constants
    + _HALVING.format(low="1", high="a.version", value="%(low)s", probe=_POSTED_AT)
    + " AS low, "
    + _HALVING.format(low="1", high="a.version", value="%(high)s + 1", probe=_POSTED_AT)
    + """ - 1 AS high
  FROM unnest(%(numbers)s::integer[], %(versions)s::bigint[]) AS a (number, version)"""
)


class Held(NamedTuple):
    """An account: its number, and how many postings it has."""

    number: int
    version: int


def position_at(
    connection: Connection, ledger: LedgerRef, within: Range, moment: dt.datetime
) -> int:
    """The first of these positions that was accepted at the moment or later, or the one behind."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    wanted = {**scope, **within._asdict(), "value": moment}
    found = connection.exec_driver_sql(POSITION_AT, wanted).scalar()
    assert found is not None
    return int(found)


def versions_at(
    connection: Connection, ledger: LedgerRef, accounts: Sequence[Held], positions: Range
) -> dict[int, Range]:
    """By account's number, its versions that were posted by these positions."""
    wanted = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "numbers": arrays.integers(account.number for account in accounts),
        "versions": arrays.integers(account.version for account in accounts),
        **positions._asdict(),
    }
    rows = connection.exec_driver_sql(VERSIONS_AT, wanted)
    return {row.number: Range(row.low, row.high) for row in rows}
