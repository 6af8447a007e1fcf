"""The statement of an account for a period: what it began with, each line, what it ended with.

By time of acceptance the lines are a range of the account's versions, however many, and their
balances are the stored ones. By effective date they are sorted anew: those accepted within the
period, and those of the days on which anything was accepted that is dated elsewhere (pipeline/
dated.py knows these days). How many of them may be looked at is bounded.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.ledger import Account
from pipeline.reports.balances import at_moment
from pipeline.reports.moment import Moment, before_date, before_time, now, start_of
from pipeline.reports.too_large import TooLargeError
from pipeline.statement import Line, Part, lines

# Lines that a statement by effective date looks at and sorts: about a second, and 50 MB.
SORTED_MAX = 50_000
# Days on which something was accepted that is dated elsewhere: ten years of them are looked up
# within 100 ms.
DAYS_MAX = 4_000

# The first version of the account that was accepted at each of the times, all halved together.
VERSIONS_SINCE = """
WITH RECURSIVE halving (n, at, low, high) AS (
    SELECT n, at, 1::bigint, %(version)s::bigint + 1
      FROM unnest(%(times)s::timestamptz[]) WITH ORDINALITY AS wanted (at, n)
    UNION ALL
    SELECT half.n, half.at,
           CASE WHEN probe.accepted_at >= half.at THEN half.low ELSE half.middle + 1 END,
           CASE WHEN probe.accepted_at >= half.at THEN half.middle ELSE half.high END
      FROM (SELECT n, at, low, high, (low + high) / 2 AS middle
              FROM halving WHERE low < high) half
     CROSS JOIN LATERAL (
           SELECT position FROM postings
            WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
              AND NOT pending AND version = half.middle LIMIT 1) posting
     CROSS JOIN LATERAL (
           SELECT accepted_at FROM operations
            WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
              AND position = posting.position LIMIT 1) probe
)
SELECT low FROM halving WHERE low >= high ORDER BY n
"""

SHIFTED_DAYS = """
SELECT date FROM date_shifts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
 ORDER BY date LIMIT %(many)s
"""


@dataclass
class Statement:
    """What an account did in [since, until); None is without a bound. Balances: normal side.

    `debits` and `credits` are the totals of the lines that were read so far.
    """

    ledger: LedgerRef
    account: Account
    basis: str
    since: dt.datetime | dt.date | None
    until: dt.datetime | dt.date | None
    complete: bool
    opening: int
    closing: int
    _lines: Callable[[], Iterator[Line]] = field(repr=False)
    count: int = 0
    debits: int = 0
    credits: int = 0

    def lines(self) -> Iterator[Line]:
        """The lines in order, each with the balance behind it; to be read once."""
        balance = self.opening
        for line in self._lines():
            self.count += 1
            balance += line.amount
            if line.credit:
                self.credits += abs(line.amount)
            else:
                self.debits += abs(line.amount)
            yield line._replace(balance=balance)
        assert balance == self.closing, "a statement does not end at its closing balance"


def by_acceptance(
    connection: Connection,
    ledger: LedgerRef,
    account: Account,
    since: dt.datetime | None,
    until: dt.datetime | None,
) -> Statement:
    """The statement of what was accepted in [since, until)."""
    upto = now(connection, ledger) if until is None else before_time(connection, ledger, until)
    first, end = _versions(connection, ledger, account, [since, until])
    parts = [Part(account, first, end - 1)]
    begin = before_time(connection, ledger, since) if since else None
    return Statement(
        ledger,
        account,
        "posting",
        since,
        until,
        upto.complete,
        _balance(connection, ledger, account, begin),
        _balance(connection, ledger, account, upto),
        lambda: lines(connection, ledger, parts),
    )


def by_effective_date(
    connection: Connection,
    ledger: LedgerRef,
    account: Account,
    since: dt.date | None,
    until: dt.date | None,
) -> Statement:
    """The statement of what is dated in [since, until); raises TooLargeError."""
    upto = now(connection, ledger) if until is None else before_date(connection, ledger, until)
    parts, sorted_anew = _candidates(connection, ledger, account, since, until)
    begin = before_date(connection, ledger, since) if since else None

    def dated() -> Iterator[Line]:
        found = lines(connection, ledger, parts)
        return iter(_in_order(found, since, until)) if sorted_anew else found

    return Statement(
        ledger,
        account,
        "effective",
        since,
        until,
        upto.complete,
        _balance(connection, ledger, account, begin),
        _balance(connection, ledger, account, upto),
        dated,
    )


def _balance(
    connection: Connection, ledger: LedgerRef, account: Account, moment: Moment | None
) -> int:
    if moment is None:
        return 0
    (held,) = at_moment(connection, ledger, moment, [account])
    return held.balance


def _candidates(
    connection: Connection,
    ledger: LedgerRef,
    account: Account,
    since: dt.date | None,
    until: dt.date | None,
) -> tuple[list[Part], bool]:
    """The versions among which the lines are, and whether they must be sorted and sifted."""
    within = [start_of(day) if day else None for day in (since, until)]
    first, end = _versions(connection, ledger, account, within)
    parts = [Part(account, first, end - 1)]
    days = _shifted_days(connection, ledger, account)
    if not days:
        return parts, False
    outside = [day for day in days if (since and day < since) or (until and day >= until)]
    bounds: list[dt.datetime | None] = []
    for day in outside:
        bounds += [start_of(day), start_of(day + dt.timedelta(days=1))]
    edges = _versions(connection, ledger, account, bounds) if bounds else []
    parts += [Part(account, *pair) for pair in _ranges(edges)]
    if len(days) > DAYS_MAX or sum(part.last - part.first + 1 for part in parts) > SORTED_MAX:
        raise TooLargeError(
            f"By effective date this would sort more than {SORTED_MAX:,} lines. Take a shorter"
            " period, or basis=posting, which has no limit."
        )
    return parts, True


def _ranges(edges: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Version ranges from pairs of where each begins and where the next would."""
    for number, (begin, behind) in enumerate(pairwise(edges)):
        if number % 2 == 0 and begin < behind:
            yield begin, behind - 1


def _in_order(found: Iterable[Line], since: dt.date | None, until: dt.date | None) -> list[Line]:
    """Those that are dated within the period, by date and then as they were posted."""
    low = since.isoformat() if since else ""
    high = until.isoformat() if until else "~"
    within = (line for line in found if low <= line.effective_date < high)
    return sorted(within, key=lambda line: (line.effective_date, line.position))


def _versions(
    connection: Connection,
    ledger: LedgerRef,
    account: Account,
    times: Sequence[dt.datetime | None],
) -> list[int]:
    """The first version accepted at each of the times. None: the first of all, or behind the last.

    A None that stands first is the beginning, any other one the end.
    """
    given = [time for time in times if time is not None]
    parameters = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "account": account.number,
        "version": account.version,
        "times": arrays.texts(time.isoformat() for time in given),
    }
    rows: Any = connection.exec_driver_sql(VERSIONS_SINCE, parameters) if given else ()
    found = (low for (low,) in rows)
    return [
        next(found) if time is not None else 1 if number == 0 else account.version + 1
        for number, time in enumerate(times)
    ]


def _shifted_days(connection: Connection, ledger: LedgerRef, account: Account) -> list[dt.date]:
    parameters = {
        "tenant": ledger.tenant_id,
        "ledger": ledger.ledger_id,
        "account": account.number,
        "many": DAYS_MAX + 1,
    }
    return [date for (date,) in connection.exec_driver_sql(SHIFTED_DAYS, parameters)]
