"""Which positions may be what a list is asked for, in the list's order, stretch by stretch.

    by_accounts     the accounts' own postings, merged by position
    by_status       what was rejected, or is pending
    by_index        what the index leads to; where the index has not come yet, the log itself
    by_log          every position

A stretch says how far was looked, so that a page which ends there knows where the next one begins;
and what it cost, so that a page looks at a bounded number of rows.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.halving import Held, versions_at
from pipeline.search.codes import (
    EVERY_SEARCH,
    EVERYWHERE,
    SEGMENT,
    Codes,
    Row,
    offsets_in,
    segment_of,
)
from pipeline.search.wanted import Range

# What one page looks at, at the most, in rows of the log or of the index: some 30 ms.
WORK_MAX = 10_000
# The first stretch is small, because most pages are full soon; then they grow.
STRETCH_MIN = 200
STRETCH_MAX = 4_000
GROWTH = 4
# Segments whose rows are read at a time; the last is as many as one statement should bring.
SEGMENTS_MIN = 4
SEGMENTS_MAX = 1_024
# A statement that brought more rows is not followed by a larger one.
ROWS_FEW = 2_000
# How many postings are read, over all accounts, for a page that is filtered further.
POSTINGS = 2_000

# What was not approved counts among the rejected ones.
REJECTED = """
SELECT position FROM (
       SELECT position FROM rejections
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position BETWEEN %(low)s AND %(high)s
        UNION ALL
       SELECT target FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND target BETWEEN %(low)s AND %(high)s
          AND terminal AND effect IN ('refuse', 'lapse')) rejected
 ORDER BY position {direction} LIMIT %(many)s
"""
PENDING = """
SELECT target AS position FROM pending_operations
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND target BETWEEN %(low)s AND %(high)s
 ORDER BY target {direction} LIMIT %(many)s
"""
# Statuses whose operations stand in a table of their own.
BY_STATUS = {"rejected": REJECTED, "pending": PENDING}
POSTED_TO = """
SELECT a.number, p.position
  FROM unnest(%(numbers)s::integer[], %(lows)s::bigint[], %(highs)s::bigint[])
       AS a (number, low, high)
 CROSS JOIN LATERAL (
       SELECT position FROM postings
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND account = a.number AND NOT pending AND version BETWEEN a.low AND a.high
        ORDER BY version {direction} LIMIT %(many)s) p
"""
INDEX = """
SELECT s.segment, s.bucket, s.places, s.dense
  FROM unnest(%(buckets)s::smallint[]) AS wanted (bucket)
 CROSS JOIN LATERAL (
       SELECT segment, bucket, places, dense FROM search_index
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND bucket = wanted.bucket AND segment BETWEEN %(low)s AND %(high)s
       OFFSET 0) s
"""


class Stretch(NamedTuple):
    """Positions that may be wanted; `edge`, the last one that was looked at; and what it cost."""

    positions: Sequence[int]
    edge: int
    work: int


class Sources:
    """Of one ledger and one list. `newest`: the end of the log comes first."""

    def __init__(
        self, connection: Connection, ledger: LedgerRef, *, newest: bool, least: int
    ) -> None:
        """`least`: how many positions fill a page if all of them are wanted."""
        self._connection = connection
        self._ledger = ledger
        self._newest = newest
        self._least = least

    def by_log(self, within: Range) -> Iterator[Stretch]:
        """Every position."""
        many = self._least
        while within.low <= within.high:
            part = within.beginning(many, self._newest)
            edge = part.low if self._newest else part.high
            yield Stretch(self._every(part), edge, part.high - part.low + 1)
            within = within.behind(edge, self._newest)
            many = min(max(many, STRETCH_MIN) * GROWTH, STRETCH_MAX)

    def by_status(self, status: str, within: Range, many: int) -> Iterator[Stretch]:
        """What was rejected, or is pending: `many` of it."""
        rows = self._ask(BY_STATUS[status], many=many, **within._asdict())
        yield self._merged([[row.position for row in rows]], many)

    def by_accounts(
        self, accounts: Sequence[Held], within: Range | None, many: int
    ) -> Iterator[Stretch]:
        """What was posted to the accounts: `many` postings of each; everywhere if None."""
        ranges = {account.number: Range(1, account.version) for account in accounts}
        if within is not None:
            ranges = versions_at(self._connection, self._ledger, accounts, within)
        rows = self._ask(
            POSTED_TO,
            many=many,
            numbers=arrays.integers(ranges),
            lows=arrays.integers(found.low for found in ranges.values()),
            highs=arrays.integers(found.high for found in ranges.values()),
        )
        of_account: dict[int, list[int]] = {}
        for number, position in rows:
            of_account.setdefault(number, []).append(position)
        yield self._merged(list(of_account.values()), many)

    def by_index(self, wanted: Sequence[Codes], within: Range, segments: int) -> Iterator[Stretch]:
        """What the index of the first `segments` leads to, and all that lies behind them."""
        indexed = within.within(Range(1, segments * SEGMENT))
        rest = within.within(Range(segments * SEGMENT + 1, within.high))
        parts = (self._by_segments(wanted, indexed), self.by_log(rest))
        for part in reversed(parts) if self._newest else parts:
            yield from part

    def density(self, wanted: Sequence[Codes], segments: int) -> float:
        """Which share of the newest indexed positions has all of the codes; 1 without an index."""
        newest = Range(0, segments - 1).beginning(SEGMENTS_MIN, newest=True)
        if newest.low > newest.high:
            return 1.0
        rows = self._rows(wanted, newest)
        found = sum(len(offsets) for _, offsets in self._in_all(wanted, rows))
        return found / ((newest.high - newest.low + 1) * SEGMENT)

    def _by_segments(self, wanted: Sequence[Codes], within: Range) -> Iterator[Stretch]:
        if within.low > within.high:
            return
        left = Range(segment_of(within.low), segment_of(within.high))
        many = SEGMENTS_MIN
        while left.low <= left.high:
            window = left.beginning(many, self._newest)
            found: list[int] = []
            rows = self._rows(wanted, window)
            for segment, offsets in self._in_all(wanted, rows):
                first = segment * SEGMENT + 1
                if offsets is EVERYWHERE:
                    yield from self._looked(found, within)
                    found = []
                    yield from self.by_log(within.within(Range(first, first + SEGMENT - 1)))
                    continue
                found += [first + offset for offset in offsets]
                if len(found) >= STRETCH_MIN:
                    yield from self._looked(found, within)
                    found = []
            yield from self._looked(found, within)
            ends = Range(window.low * SEGMENT + 1, (window.high + 1) * SEGMENT).within(within)
            edge = ends.low if self._newest else ends.high
            yield Stretch((), edge, window.high - window.low + 1 + len(rows))
            left = left.behind(window.low if self._newest else window.high, self._newest)
            if len(rows) <= ROWS_FEW:
                many = min(many * GROWTH, SEGMENTS_MAX)

    def _rows(self, wanted: Sequence[Codes], window: Range) -> list[Any]:
        """What the index has of the codes in these segments."""
        asked = {bucket for codes in (*wanted, EVERY_SEARCH) for bucket in codes.buckets}
        buckets = arrays.integers(sorted(asked))
        return self._ask(INDEX, buckets=buckets, **window._asdict())

    def _in_all(
        self, wanted: Sequence[Codes], rows: Sequence[Any]
    ) -> Iterator[tuple[int, Sequence[int]]]:
        """Each segment where all codes are, with the offsets, in the list's order."""
        of_segment: dict[int, list[Row]] = {}
        for segment, *row in rows:
            of_segment.setdefault(segment, []).append(Row(*row))
        for segment in sorted(of_segment, reverse=self._newest):
            offsets = shared(wanted, of_segment[segment])
            if offsets is EVERYWHERE:
                yield segment, EVERYWHERE
            elif offsets:
                yield segment, sorted(offsets, reverse=self._newest)

    def _looked(self, found: list[int], within: Range) -> Iterator[Stretch]:
        """The positions that were found, if there are any in the range."""
        positions = [position for position in found if within.low <= position <= within.high]
        if positions:
            yield Stretch(positions, positions[-1], len(positions))

    def _every(self, part: Range) -> range:
        if self._newest:
            return range(part.high, part.low - 1, -1)
        return range(part.low, part.high + 1)

    def _merged(self, lists: list[list[int]], many: int) -> Stretch:
        """The lists' positions together, as far as every list goes.

        A list of `many` may go on behind its last position, the others end where they end.
        """
        cut = [found[-1] for found in lists if len(found) == many]
        positions = {position for found in lists for position in found}
        if not cut:
            return Stretch(sorted(positions, reverse=self._newest), 0, 0)
        edge = max(cut) if self._newest else min(cut)
        kept = [p for p in positions if (p >= edge if self._newest else p <= edge)]
        return Stretch(sorted(kept, reverse=self._newest), edge, WORK_MAX)

    def _ask(self, statement: str, **parameters: Any) -> list[Any]:
        scope = {"tenant": self._ledger.tenant_id, "ledger": self._ledger.ledger_id}
        sql = statement.format(direction="DESC" if self._newest else "ASC")
        return list(self._connection.exec_driver_sql(sql, scope | parameters))


def shared(wanted: Sequence[Codes], rows: Sequence[Row]) -> Collection[int]:
    """The offsets at which a segment has all of the codes."""
    found: Collection[int] = EVERYWHERE
    wide = offsets_of([EVERY_SEARCH], rows)
    for codes in wanted:
        offsets = offsets_of([codes, EVERY_SEARCH] if wide else [codes], rows)
        if not offsets:
            return ()
        if offsets is EVERYWHERE:
            continue
        found = offsets if found is EVERYWHERE else set(found).intersection(offsets)
    return found


def offsets_of(any_of: Sequence[Codes], rows: Sequence[Row]) -> Collection[int]:
    """The offsets at which a segment has one of the codes."""
    found: set[int] = set()
    for row in rows:
        for codes in any_of:
            if row.bucket in codes.buckets:
                offsets = offsets_in(row, codes)
                if offsets is EVERYWHERE:
                    return EVERYWHERE
                found.update(offsets)
    return found
