"""Pages of a ledger's operations and postings, each read in one snapshot.

A page ends when it is full, or when it has looked at so much that its reader should hear of it:
then it holds fewer than `limit`, even none, and still has a next one. A cursor is a place in the
log, so whatever is accepted between two pages doubles and hides nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline.halving import Held, position_at, versions_at
from pipeline.search.check import Check
from pipeline.search.lines import LEGS_END, Lines
from pipeline.search.sources import BY_STATUS, POSTINGS, STRETCH_MIN, WORK_MAX, Sources, Stretch
from pipeline.search.wanted import Place, Range, Wanted

# The accounts of a prefix whose postings are merged; with more of them other ways are shorter.
ACCOUNTS_MAX = 200
# With so many postings or fewer, the named accounts lead to them faster than the index does.
FEW_POSTINGS = 2_000

PROGRESS = """
SELECT last_position(%(tenant)s, %(ledger)s, 'accept') AS accepted,
       last_position(%(tenant)s, %(ledger)s, 'validate') AS validated,
       last_position(%(tenant)s, %(ledger)s, 'authorize') AS authorized,
       last_position(%(tenant)s, %(ledger)s, 'post') AS posted,
       coalesce((SELECT segments FROM search_progress
                  WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s), 0) AS segments
"""
ACCOUNT = """
SELECT number, version FROM accounts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND code = %(code)s
"""
# `~` is greater than every character that a code may hold.
ACCOUNTS_OF_PREFIX = """
SELECT number, version FROM accounts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND code COLLATE "C" >= %(prefix)s AND code COLLATE "C" < %(prefix)s || '~'
 ORDER BY code COLLATE "C" LIMIT %(many)s
"""


class UnknownAccountError(LookupError):
    """The ledger has no account with the code that a list asks for."""


class Listed(NamedTuple):
    """One page: what it shows, and behind which place the next one begins (None: the last)."""

    items: list[Any]
    following: Any


class Listing:
    """One page of one ledger's list. Raises UnservedError, UnknownAccountError."""

    def __init__(self, connection: Connection, ledger: LedgerRef, wanted: Wanted) -> None:
        wanted.check_served()
        self._connection = connection
        self._ledger = ledger
        self._wanted = wanted
        self._scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
        self._reached = connection.exec_driver_sql(PROGRESS, self._scope).one()
        self._accounts = self._named_accounts()
        self._sources = Sources(connection, ledger, newest=wanted.newest, least=wanted.limit + 1)
        self._led_by_accounts = self._accounts_lead()

    def operations(self) -> Listed:
        """The positions of the operations that the list shows."""
        wanted = self._wanted
        named = wanted.account is not None or wanted.prefix is not None
        if named and wanted.status == "rejected":
            return Listed([], None)  # what was rejected was posted nowhere
        check = Check(self._connection, self._ledger, wanted, self._accounts, self._led_by_accounts)
        within = self._within_times(self._of_status()).behind(wanted.after, wanted.newest)
        return self._page(
            within,
            check.passed,
            place_of=lambda position: position,
            edge_of=lambda edge: edge,
        )

    def postings(self) -> Listed:
        """The postings that the list shows, as rows of lines.LINES; its cursor is a Place."""
        wanted = self._wanted
        within = self._within_times(Range(1, self._reached.posted))
        if wanted.after is not None:  # the position of the cursor may have legs behind it
            begun = wanted.after + 1 if wanted.newest else wanted.after - 1
            within = within.behind(begun, wanted.newest)
        lines = Lines(self._connection, self._ledger, wanted, self._accounts)
        if wanted.account is not None and lines.takes_all:
            return self._of_one_account(lines, within)
        last_leg = 0 if wanted.newest else LEGS_END
        return self._page(
            within,
            lambda positions: lines.at(positions, wanted.limit + 1),
            place_of=lambda row: Place(row.position, row.leg),
            edge_of=lambda edge: Place(edge, last_leg),
        )

    def _of_one_account(self, lines: Lines, within: Range) -> Listed:
        """Straight from the account's own postings, all of which are wanted."""
        assert self._accounts is not None
        (account,) = self._accounts
        limit = self._wanted.limit
        versions = Range(1, account.version)
        if not self._is_all(within):
            found = versions_at(self._connection, self._ledger, self._accounts, within)
            versions = found[account.number]
        rows = lines.of_account(account.number, versions, limit + 1)
        last = rows[limit - 1] if len(rows) > limit else None
        return Listed(rows[:limit], last and Place(last.position, last.leg))

    def _page(
        self,
        within: Range,
        look: Callable[[Sequence[int]], list[Any]],
        place_of: Callable[[Any], Any],
        edge_of: Callable[[int], Any],
    ) -> Listed:
        limit = self._wanted.limit
        found: list[Any] = []
        work = 0
        for stretch in self._stretches(within):
            for positions in self._slices(stretch.positions):
                found += look(positions)
                if len(found) > limit:
                    return Listed(found[:limit], place_of(found[limit - 1]))
            work += stretch.work
            if work >= WORK_MAX:
                return Listed(found, edge_of(stretch.edge))
        return Listed(found, None)

    def _slices(self, positions: Sequence[int]) -> Iterator[Sequence[int]]:
        """Few at a time: the first of them often fill the page."""
        many = max(self._wanted.limit + 1, STRETCH_MIN)
        for start in range(0, len(positions), many):
            yield positions[start : start + many]

    def _stretches(self, within: Range) -> Iterator[Stretch]:
        """From the source that has the fewest positions to offer."""
        wanted = self._wanted
        sources = self._sources
        if self._led_by_accounts:
            assert self._accounts is not None
            if not self._accounts:
                return iter(())
            few = self._posted_to <= FEW_POSTINGS
            share = FEW_POSTINGS + 1 if few else POSTINGS // len(self._accounts)
            many = max(wanted.limit + 1, share)
            where = None if self._is_all(within) else within
            return sources.by_accounts(self._accounts, where, many)
        if wanted.status in BY_STATUS and not wanted.has_own_terms:
            many = POSTINGS if wanted.kind else wanted.limit + 1
            return sources.by_status(wanted.status, within, many)
        if codes := wanted.in_index:
            return sources.by_index(codes, within, self._reached.segments)
        return sources.by_log(within)

    def _named_accounts(self) -> list[Held] | None:
        """The account, or those of the prefix; None where none are named, or too many."""
        wanted = self._wanted
        if wanted.account is not None:
            named = {"code": wanted.account}
            found = self._connection.exec_driver_sql(ACCOUNT, self._scope | named).all()
            if not found:
                raise UnknownAccountError(wanted.account)
        elif wanted.prefix is not None:
            begins = {"prefix": wanted.prefix, "many": ACCOUNTS_MAX + 1}
            found = self._connection.exec_driver_sql(ACCOUNTS_OF_PREFIX, self._scope | begins).all()
            if len(found) > ACCOUNTS_MAX:
                return None
        else:
            return None
        return [Held(*row) for row in found]

    def _accounts_lead(self) -> bool:
        """Whether the named accounts lead to what is wanted, or the index, which has less."""
        if self._accounts is None:
            return False
        if not self._wanted.has_own_terms or self._posted_to <= FEW_POSTINGS:
            return True
        density = self._sources.density(self._wanted.in_index, self._reached.segments)
        return self._posted_to <= density * self._reached.posted

    @property
    def _posted_to(self) -> int:
        """How many postings the named accounts have."""
        return sum(account.version for account in self._accounts or ())

    def _is_all(self, within: Range) -> bool:
        """Whether everything that is posted lies in the range."""
        return within.low <= 1 and within.high >= self._reached.posted

    def _of_status(self) -> Range:
        reached = self._reached
        ranges = {
            "accepted": Range(reached.validated + 1, reached.accepted),
            "validated": Range(reached.authorized + 1, reached.validated),
            "authorized": Range(reached.posted + 1, reached.authorized),
            "posted": Range(1, reached.posted),
        }
        return ranges.get(self._wanted.status or "", Range(1, reached.accepted))

    def _within_times(self, positions: Range) -> Range:
        low, high = positions
        if self._wanted.since is not None:
            low = max(low, self._position_at(positions, self._wanted.since))
        if self._wanted.until is not None:
            high = min(high, self._position_at(positions, self._wanted.until) - 1)
        return Range(low, high)

    def _position_at(self, within: Range, moment: Any) -> int:
        return position_at(self._connection, self._ledger, within, moment)
