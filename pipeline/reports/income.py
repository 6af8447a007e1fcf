"""What income and expense accounts did in a period: their balances at its end less its beginning.

Entries that close them into equity are postings like any others: a period that holds them shows
what they left.
"""

import datetime as dt
from typing import NamedTuple

from sqlalchemy import Connection

from models.ledger import LedgerRef
from pipeline.accounts import accounts
from pipeline.reports.balances import Held, at_moment
from pipeline.reports.moment import Moment, before_date, before_time, now

TYPES = ("income", "expense")


class Change(NamedTuple):
    """What the accounts gained between two moments, and whether all of it is posted."""

    held: list[Held]
    complete: bool


def by_acceptance(
    connection: Connection, ledger: LedgerRef, since: dt.datetime | None, until: dt.datetime | None
) -> Change:
    """What was accepted in [since, until)."""
    return _change(
        connection,
        ledger,
        None if since is None else before_time(connection, ledger, since),
        now(connection, ledger) if until is None else before_time(connection, ledger, until),
    )


def by_effective_date(
    connection: Connection, ledger: LedgerRef, since: dt.date | None, until: dt.date | None
) -> Change:
    """What is dated in [since, until)."""
    return _change(
        connection,
        ledger,
        None if since is None else before_date(connection, ledger, since),
        now(connection, ledger) if until is None else before_date(connection, ledger, until),
    )


def _change(
    connection: Connection, ledger: LedgerRef, before: Moment | None, after: Moment
) -> Change:
    wanted = [one for one in accounts(connection, ledger) if one.type in TYPES]
    end = at_moment(connection, ledger, after, wanted)
    if before is None:
        return Change(list(end), after.complete)
    begin = at_moment(connection, ledger, before, wanted)
    gained = [
        Held(late.account, late.net - early.net, late.used)
        for early, late in zip(begin, end, strict=True)
    ]
    return Change(gained, after.complete)
