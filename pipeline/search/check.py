"""Whether operations are what was asked for, read from the log and what became of them.

Positions come as a range, read as one, or as a list, looked up one by one.
"""

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.halving import Held
from pipeline.search.contents import contents
from pipeline.search.wanted import Wanted

FROM_RANGE = """
  FROM operations o
 WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s
   AND o.position BETWEEN %(low)s AND %(high)s {filters}
 ORDER BY o.position {direction}
"""
# LATERAL ... LIMIT 1 is an index look-up per row, whatever the planner believes.
FROM_LIST = """
  FROM unnest(%(positions)s::bigint[]) WITH ORDINALITY AS wanted (at, place)
 CROSS JOIN LATERAL (
       SELECT * FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.at LIMIT 1) o
 WHERE true {filters}
 ORDER BY wanted.place
"""

# What became of the operations, in one index scan over all of these positions. IS [NOT] TRUE keeps
# the planner from turning it into a join of whole tables.
OF_KIND = "AND o.kind = %(kind)s"
REJECTED = """AND (o.position IN (
       SELECT r.position FROM rejections r
        WHERE r.tenant_id = %(tenant)s AND r.ledger_id = %(ledger)s AND r.position {here}
        UNION ALL
       SELECT d.target FROM decisions d
        WHERE d.tenant_id = %(tenant)s AND d.ledger_id = %(ledger)s AND d.target {here}
          AND d.terminal AND d.effect IN ('refuse', 'lapse')))
       IS {verdict}"""
PENDING = """AND (o.position IN (
       SELECT p.target FROM pending_operations p
        WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s AND p.target {here}))
       IS {verdict}"""
_POSTED = """(o.position IN (
       SELECT p.position FROM postings p
        WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s AND p.position {{here}}
          AND {what})) IS TRUE"""
POSTED_TO_ACCOUNT = "AND " + _POSTED.format(
    what="NOT p.pending AND p.account = ANY(%(accounts)s::integer[])"
)
POSTED_TO_PREFIX = "AND " + _POSTED.format(  # noqa: S608 - put together from constants
    what="""NOT p.pending AND (
              SELECT starts_with(a.code, %(prefix)s) FROM accounts a
               WHERE a.tenant_id = %(tenant)s AND a.ledger_id = %(ledger)s
                 AND a.number = p.account LIMIT 1)"""
)
POSTED_AMOUNT = _POSTED.format(
    what="""(p.amount BETWEEN %(least)s AND %(most)s
               OR p.amount BETWEEN -%(most)s AND -%(least)s)"""
)
IN_RANGE = "BETWEEN %(low)s AND %(high)s"
IN_LIST = "= ANY(%(positions)s::bigint[])"


class Check:
    """The filters of one list. `accounts`: those that the account or prefix names, if few."""

    def __init__(
        self,
        connection: Connection,
        ledger: LedgerRef,
        wanted: Wanted,
        accounts: Sequence[Held] | None,
        led_by_accounts: bool,
    ) -> None:
        """`led_by_accounts`: every position that comes was posted to one of them."""
        self._connection = connection
        self._wanted = wanted
        low, high = wanted.amounts or (None, None)
        self._scope = {
            "tenant": ledger.tenant_id,
            "ledger": ledger.ledger_id,
            "kind": wanted.kind,
            "prefix": wanted.prefix,
            "least": low,
            "most": high,
            "accounts": arrays.integers(account.number for account in accounts or ()),
        }
        self._filters = self._of_operation()
        if accounts is not None and not led_by_accounts:
            self._filters.append(POSTED_TO_ACCOUNT)
        elif accounts is None and wanted.prefix is not None:
            self._filters.append(POSTED_TO_PREFIX)

    @property
    def passes_all(self) -> bool:
        """Whether every position of the log is what was asked for."""
        return not self._filters and self._wanted.says_nothing

    def passed(self, positions: Sequence[int]) -> list[int]:
        """Those of the positions that are what was asked for, in their order."""
        if not positions or self.passes_all:
            return list(positions)
        columns = ["o.position"]
        if not self._wanted.says_nothing:
            columns.append("o.body::text AS body")
            columns.append(f"{POSTED_AMOUNT if self._wanted.amounts else 'false'} AS posted_amount")
        source, here = FROM_LIST, IN_LIST
        if isinstance(positions, range):
            source, here = FROM_RANGE, IN_RANGE
        statement = f"SELECT {', '.join(columns)} {source}".format(
            filters=" ".join(self._filters).format(here=here),
            direction="DESC" if self._wanted.newest else "ASC",
            here=here,
        )
        rows = self._connection.exec_driver_sql(statement, self._scope | _named(positions))
        return [row[0] for row in rows if self._wanted.says_nothing or self._is_said(*row)]

    def _is_said(self, _position: int, body: str, posted_amount: bool) -> bool:
        if self._wanted.surely_lacks(body):
            return False
        return self._wanted.is_said(contents(orjson.loads(body)), posted_amount=posted_amount)

    def _of_operation(self) -> list[str]:
        found = []
        if self._wanted.kind is not None:
            found.append(OF_KIND)
        status = self._wanted.status
        for apart, statement in (("rejected", REJECTED), ("pending", PENDING)):
            if status is not None:
                verdict = "TRUE" if status == apart else "NOT TRUE"
                found.append(statement.format(here="{here}", verdict=verdict))
        return found


def _named(positions: Sequence[int]) -> dict[str, Any]:
    if isinstance(positions, range):
        return {"low": min(positions), "high": max(positions)}
    return {"positions": arrays.integers(positions)}
