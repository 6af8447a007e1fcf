"""Postings as a list shows them: those at given positions, or all of one account."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.halving import Held
from pipeline.ledger import AMOUNT_MAX
from pipeline.search.wanted import Range, Wanted

# The legs of an operation are numbered below this (smallint).
LEGS_END = 2**15

FROM_RANGE = """postings p
         WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s
           AND p.position BETWEEN %(low)s AND %(high)s"""
# OFFSET 0 keeps the planner from joining a whole table where index ranges are meant.
FROM_LIST = """unnest(%(positions)s::bigint[]) AS wanted (at)
         CROSS JOIN LATERAL (
               SELECT * FROM postings
                WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                  AND position = wanted.at OFFSET 0) p
         WHERE true"""
OF_ACCOUNT = """postings p
         WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s
           AND p.account = %(account)s AND p.version BETWEEN %(low)s AND %(high)s"""

LINES = """
SELECT p.position, p.leg, p.version, p.amount, p.currency, p.balance_after, a.code, a.type,
       o.id, o.kind, o.accepted_at, o.body::text AS body
  FROM (SELECT p.* FROM {source} AND NOT p.pending {filters}
         ORDER BY {order} LIMIT %(many)s) p
 CROSS JOIN LATERAL (
       SELECT code, type FROM accounts
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND number = p.account
        LIMIT 1) a
 CROSS JOIN LATERAL (
       SELECT id, kind, accepted_at, body FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = p.position LIMIT 1) o
 ORDER BY {order}
"""

BEHIND = "AND (p.position, p.leg) {sign} (%(after)s, %(after_leg)s)"
OF_ACCOUNTS = "AND p.account = ANY(%(accounts)s::integer[])"
OF_PREFIX = """AND (SELECT starts_with(a.code, %(prefix)s) FROM accounts a
                 WHERE a.tenant_id = %(tenant)s AND a.ledger_id = %(ledger)s
                   AND a.number = p.account LIMIT 1)"""
OF_CURRENCY = "AND p.currency = %(currency)s"
# Two ranges of integers: abs() would do, but comparisons of integers are all that row-level
# security lets an index or an early filter see.
CREDITS = "p.amount BETWEEN %(least)s AND %(most)s"
DEBITS = "p.amount BETWEEN -%(most)s AND -%(least)s"


class Lines:
    """The postings of one list. `accounts`: those that the account or prefix names, if few."""

    def __init__(
        self,
        connection: Connection,
        ledger: LedgerRef,
        wanted: Wanted,
        accounts: Sequence[Held] | None = None,
    ) -> None:
        self._connection = connection
        self._wanted = wanted
        self._accounts = accounts
        least, most = wanted.amounts or (1, AMOUNT_MAX)
        self._scope = {
            "tenant": ledger.tenant_id,
            "ledger": ledger.ledger_id,
            "after": wanted.after,
            "after_leg": wanted.after_leg,
            "prefix": wanted.prefix,
            "currency": wanted.currency,
            "least": least,
            "most": most,
            "accounts": arrays.integers(account.number for account in accounts or ()),
        }

    @property
    def takes_all(self) -> bool:
        """Whether every posting of the accounts is wanted."""
        wanted = self._wanted
        return wanted.amounts is None and wanted.currency is None and wanted.direction is None

    def at(self, positions: Sequence[int], many: int) -> list[Any]:
        """The first so many of the postings that the operations at the positions have."""
        if not positions:
            return []
        filters = self._filters()
        order = "p.position {0}, p.leg {0}"
        if isinstance(positions, range):
            within = {"low": min(positions), "high": max(positions)}
            return self._ask(FROM_RANGE, filters, order, many=many, **within)
        return self._ask(FROM_LIST, filters, order, many=many, positions=arrays.integers(positions))

    def of_account(self, account: int, versions: Range, many: int) -> list[Any]:
        """The first so many of the account's postings among these versions."""
        named = {"account": account, **versions._asdict()}
        return self._ask(OF_ACCOUNT, self._filters(), "p.version {0}", many=many, **named)

    def _filters(self) -> list[str]:
        wanted = self._wanted
        found = []
        if wanted.after is not None:
            found.append(BEHIND.format(sign="<" if wanted.newest else ">"))
        if self._accounts is not None:
            found.append(OF_ACCOUNTS)
        elif wanted.prefix is not None:
            found.append(OF_PREFIX)
        if wanted.currency is not None:
            found.append(OF_CURRENCY)
        if wanted.direction is not None or wanted.amounts is not None:
            sides = {"credit": CREDITS, "debit": DEBITS}
            side = sides.get(wanted.direction or "", f"({CREDITS} OR {DEBITS})")
            found.append(f"AND {side}")
        return found

    def _ask(self, source: str, filters: list[str], order: str, **more: Any) -> list[Any]:
        direction = "DESC" if self._wanted.newest else "ASC"
        sql = LINES.format(source=source, filters=" ".join(filters), order=order.format(direction))
        return list(self._connection.exec_driver_sql(sql, self._scope | more))
