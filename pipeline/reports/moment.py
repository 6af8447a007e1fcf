"""A moment of a ledger: which operations count, by time of acceptance or by effective date."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline.halving import position_at
from pipeline.search.wanted import Range

LAST_POSITIONS = """
SELECT last_position(%(tenant)s, %(ledger)s, 'accept'),
       last_position(%(tenant)s, %(ledger)s, 'post')
"""

# 2026-11-22, 20261122, 2026-W47-7: no ISO 8601 date is longer, and no time is as short.
DATE_LENGTH_MAX = len("2026-11-22")


@dataclass(frozen=True)
class Moment:
    """The operations up to `last` count; with `effective`, those that are dated up to that day.

    `last` None: all that are posted. `at` is the time that was asked for. `position` is the last
    operation that counts by its time of acceptance; `complete` says whether all of the log that
    belongs to the moment is posted already.
    """

    position: int
    complete: bool
    last: int | None = None
    at: dt.datetime | None = None
    effective: dt.date | None = None


def now(connection: Connection, ledger: LedgerRef) -> Moment:
    """Everything that is posted."""
    accepted, posted = _reached(connection, ledger)
    return Moment(posted, accepted == posted)


def at_time(connection: Connection, ledger: LedgerRef, at: dt.datetime) -> Moment:
    """What was accepted by this time, itself included."""
    accepted, posted = _reached(connection, ledger)
    last = accepted
    if at < dt.datetime.max.replace(tzinfo=dt.UTC):
        behind = at + dt.timedelta.resolution
        last = position_at(connection, ledger, Range(1, accepted), behind) - 1
    return Moment(min(last, posted), last <= posted, last, at=at)


def before_time(connection: Connection, ledger: LedgerRef, until: dt.datetime) -> Moment:
    """What was accepted before this time."""
    accepted, posted = _reached(connection, ledger)
    last = position_at(connection, ledger, Range(1, accepted), until) - 1
    return Moment(min(last, posted), last <= posted, last, at=until)


def by_date(connection: Connection, ledger: LedgerRef, date: dt.date) -> Moment:
    """What is dated to this day or an earlier one, whenever it was accepted."""
    accepted, posted = _reached(connection, ledger)
    day = at_time(connection, ledger, end_of(date))
    return Moment(posted, accepted == posted, day.last, effective=date)


def before_date(connection: Connection, ledger: LedgerRef, until: dt.date) -> Moment:
    """What is dated to an earlier day than this one."""
    if until == dt.date.min:
        accepted, posted = _reached(connection, ledger)
        return Moment(posted, accepted == posted, 0, effective=until)
    return by_date(connection, ledger, until - dt.timedelta(days=1))


def start_of(date: dt.date) -> dt.datetime:
    """The first moment of a day in UTC."""
    return dt.datetime.combine(date, dt.time.min, dt.UTC)


def end_of(date: dt.date) -> dt.datetime:
    """The last moment of a day in UTC, to the microsecond, as the log keeps times."""
    return dt.datetime.combine(date, dt.time.max, dt.UTC)


def read_time(text: str, *, end: bool = False) -> dt.datetime:
    """An ISO 8601 time, in UTC; without an offset it is UTC. A date is its beginning, or its end.

    Raises ValueError.
    """
    time = dt.datetime.fromisoformat(text)
    if end and len(text) <= DATE_LENGTH_MAX:
        return end_of(time.date())
    try:
        return time.astimezone(dt.UTC) if time.tzinfo else time.replace(tzinfo=dt.UTC)
    except OverflowError:
        raise ValueError(f"{text} is before the year 1 or after the year 9999 in UTC") from None


def _reached(connection: Connection, ledger: LedgerRef) -> Any:
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    return connection.exec_driver_sql(LAST_POSITIONS, scope).one()
