"""Lists of operations and postings: filters become ranges of positions, ranges become pages.

`accepted_at` never runs backwards along a log, nor do positions along an account's versions. So a
time is a position and a position is a version, each found by halving over an index.

A filter that no index knows (a kind) is applied to a bounded stretch of the log for each page. Such
a page may hold fewer than `limit`, even none, and still have a next one.
"""

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection

from api import queries
from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.ledger import Account

# How much of the log one page looks through for a filter without an index: some 10 ms.
STRETCH = 10_000
# How many postings of an account one page looks through: a journal may have 1,000 on one account.
STRETCH_POSTINGS = 2_000

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

POSITIONS = """
SELECT position FROM operations
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position BETWEEN %(low)s AND %(high)s {filters}
 ORDER BY position {direction} LIMIT %(many)s
"""
OF_KIND = "AND kind = %(kind)s"
NOT_REJECTED = """AND position NOT IN (
       SELECT position FROM rejections
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position BETWEEN %(low)s AND %(high)s)"""
NOT_PENDING = """AND position NOT IN (
       SELECT target FROM pending_operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND target BETWEEN %(low)s AND %(high)s)"""
PENDING = """
SELECT target AS position FROM pending_operations
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND target BETWEEN %(low)s AND %(high)s
 ORDER BY target {direction} LIMIT %(many)s
"""
REJECTED = """
SELECT position FROM rejections
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND position BETWEEN %(low)s AND %(high)s
 ORDER BY position {direction} LIMIT %(many)s
"""
# Statuses whose operations stand in a table of their own.
OUTSIDE_THE_LOG = {"rejected": REJECTED, "pending": PENDING}
POSTED_TO = """
SELECT position FROM postings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND account = %(account)s AND NOT pending AND version BETWEEN %(low)s AND %(high)s
 ORDER BY version {direction} LIMIT %(many)s
"""
THOSE_OF_KIND = """
SELECT wanted.position FROM unnest(%(positions)s::bigint[]) WITH ORDINALITY
       AS wanted (position, place)
 CROSS JOIN LATERAL (
       SELECT kind FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.position LIMIT 1) o
 WHERE o.kind = %(kind)s
 ORDER BY wanted.place
"""

ACCOUNT_POSTINGS = """
SELECT p.position, p.version, p.amount, p.currency, p.balance_after,
       o.id, o.kind, o.accepted_at, o.body::text AS body
  FROM (SELECT * FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
           AND account = %(account)s AND NOT pending AND version BETWEEN %(low)s AND %(high)s
         ORDER BY version {direction} LIMIT %(many)s) p
 CROSS JOIN LATERAL (
       SELECT id, kind, accepted_at, body FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = p.position LIMIT 1) o
 ORDER BY p.version {direction}
"""


class Range(NamedTuple):
    """Positions or versions, both ends included; empty when low > high."""

    low: int
    high: int

    def behind(self, place: int | None, newest: bool) -> "Range":
        """What is left of it behind a cursor."""
        if place is None:
            return self
        if newest:
            return Range(self.low, min(self.high, place - 1))
        return Range(max(self.low, place + 1), self.high)

    def beginning(self, many: int, newest: bool) -> "Range":
        """Its first so many."""
        if newest:
            return Range(max(self.low, self.high - many + 1), self.high)
        return Range(self.low, min(self.high, self.low + many - 1))


@dataclass(frozen=True)
class Wanted:
    """What a list is asked for."""

    limit: int
    newest: bool
    after: int | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    status: str | None = None
    kind: str | None = None
    account: Account | None = None


class Listed(NamedTuple):
    """One page: what it shows, and where the next one begins (None: this is the last)."""

    items: list[Any]
    following: int | None


class Listing:
    """One page of one ledger's list, read in one transaction."""

    def __init__(self, connection: Connection, ledger: LedgerRef, wanted: Wanted) -> None:
        self._connection = connection
        self._ledger = ledger
        self._wanted = wanted

    def operations(self) -> Listed:
        """The positions of the operations that the list shows."""
        wanted = self._wanted
        positions = self._within_times(self._of_status()).behind(wanted.after, wanted.newest)
        if wanted.account is not None:
            return self._posted_to(wanted.account, positions)
        if wanted.status in OUTSIDE_THE_LOG:
            return self._from_outside(OUTSIDE_THE_LOG[wanted.status], positions)
        return self._from_log(positions)

    def postings(self, account: Account) -> Listed:
        """The postings of an account as rows of ACCOUNT_POSTINGS."""
        wanted = self._wanted
        positions = self._within_times(Range(1, self._progress()["accept"]))
        versions = self._versions(account, positions).behind(wanted.after, wanted.newest)
        rows = self._ask(ACCOUNT_POSTINGS, versions, wanted.limit + 1, account=account.number)
        more = len(rows) > wanted.limit
        page = rows[: wanted.limit]
        return Listed(page, page[-1].version if more else None)

    def _progress(self) -> dict[str, int]:
        reached = queries.progress(self._connection, self._ledger)
        return {stage: lag.position for stage, lag in reached.items()}

    def _of_status(self) -> Range:
        reached = self._progress()
        ranges = {
            "accepted": Range(reached["validate"] + 1, reached["accept"]),
            "validated": Range(reached["authorize"] + 1, reached["validate"]),
            "authorized": Range(reached["post"] + 1, reached["authorize"]),
            "posted": Range(1, reached["post"]),
        }
        return ranges.get(self._wanted.status or "", Range(1, reached["accept"]))

    def _within_times(self, positions: Range) -> Range:
        low, high = positions
        if self._wanted.since is not None:
            low = max(low, self._first(POSITION_AT, positions, self._wanted.since))
        if self._wanted.until is not None:
            high = min(high, self._first(POSITION_AT, positions, self._wanted.until) - 1)
        return Range(low, high)

    def _versions(self, account: Account, positions: Range) -> Range:
        """The account's versions that were posted by these positions."""
        every = Range(1, account.version)
        number = account.number
        return Range(
            self._first(VERSION_AT, every, positions.low, account=number),
            self._first(VERSION_AT, every, positions.high + 1, account=number) - 1,
        )

    def _first(self, statement: str, within: Range, value: Any, **more: Any) -> int:
        parameters = queries.scope(self._ledger, **within._asdict(), value=value, **more)
        found = self._connection.exec_driver_sql(statement, parameters).scalar()
        assert found is not None
        return int(found)

    def _from_log(self, positions: Range) -> Listed:
        wanted = self._wanted
        filters = [OF_KIND] if wanted.kind else []
        if wanted.status is not None:
            filters += [NOT_REJECTED, NOT_PENDING]
        stretch = positions.beginning(STRETCH, wanted.newest) if filters else positions
        rows = self._ask(
            POSITIONS, stretch, wanted.limit + 1, filters=" ".join(filters), kind=wanted.kind
        )
        edge = None
        if stretch != positions:
            edge = stretch.low if wanted.newest else stretch.high
        return self._page([row.position for row in rows], edge)

    def _from_outside(self, statement: str, positions: Range) -> Listed:
        many = STRETCH if self._wanted.kind else self._wanted.limit + 1
        return self._of_kind(self._ask(statement, positions, many), many)

    def _posted_to(self, account: Account, positions: Range) -> Listed:
        if self._wanted.status not in (None, "posted"):
            return Listed([], None)
        versions = self._versions(account, positions)
        rows = self._ask(POSTED_TO, versions, STRETCH_POSTINGS, account=account.number)
        return self._of_kind(rows, STRETCH_POSTINGS)

    def _of_kind(self, rows: list[Any], many: int) -> Listed:
        """Those of the wanted kind; `many` rows were asked for, so as many mean that more come."""
        positions = list(dict.fromkeys(row.position for row in rows))
        edge = positions[-1] if len(rows) == many else None
        if self._wanted.kind is not None:
            parameters = queries.scope(
                self._ledger, positions=arrays.integers(positions), kind=self._wanted.kind
            )
            found = self._connection.exec_driver_sql(THOSE_OF_KIND, parameters)
            positions = [row.position for row in found]
        return self._page(positions, edge)

    def _page(self, positions: list[int], edge: int | None) -> Listed:
        """`edge`: how far was looked, if there is more beyond."""
        limit = self._wanted.limit
        if len(positions) > limit:
            return Listed(positions[:limit], positions[limit - 1])
        return Listed(positions, edge)

    def _ask(
        self, statement: str, within: Range, many: int, *, filters: str = "", **more: Any
    ) -> list[Any]:
        direction = "DESC" if self._wanted.newest else "ASC"
        parameters = queries.scope(self._ledger, **within._asdict(), many=many, **more)
        sql = statement.format(direction=direction, filters=filters)
        return list(self._connection.exec_driver_sql(sql, parameters))
