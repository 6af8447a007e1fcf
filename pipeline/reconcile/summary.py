"""What explains the difference between the books and the statement, to the cent.

All amounts stand in the statement's sense (+: money that came in), so the balance of the books is
what was debited to the account less what was credited.

    books - statement = postings before the first statement, less its opening balance
                      + unmatched postings - unmatched lines
                      + ignored postings   - ignored lines
                      + matches of which one side lies behind the date
                      - what is missing between one statement and the next
"""

import datetime as dt
from typing import Any, NamedTuple

from sqlalchemy import Connection

from pipeline.reconcile import statements
from pipeline.reconcile.bookings import is_open, outcomes
from pipeline.reconcile.subject import Subject, take_time
from pipeline.reconcile.unmatched import LIVE, OF_LINE, OF_POSTING, OPERATION

LINES = f"""
SELECT coalesce(sum(amount), 0)::bigint AS all_amount,
       count(*) FILTER (WHERE rule IS NULL) AS unmatched,
       coalesce(sum(amount) FILTER (WHERE rule IS NULL), 0)::bigint AS unmatched_amount,
       count(*) FILTER (WHERE rule = 'ignored') AS ignored,
       coalesce(sum(amount) FILTER (WHERE rule = 'ignored'), 0)::bigint AS ignored_amount,
       coalesce(sum(amount) FILTER (WHERE rule <> 'ignored'), 0)::bigint AS matched_amount,
       coalesce(sum(amount) FILTER (WHERE booking_date > %(closed)s), 0)::bigint AS later_amount
  FROM (SELECT l.amount, l.booking_date, m.rule FROM external_lines l {OF_LINE} {LIVE}
         WHERE l.tenant_id = %(tenant)s AND l.ledger_id = %(ledger)s AND l.account = %(account)s
           AND l.booking_date <= %(until)s) l
"""  # noqa: S608 - parts of our own
POSTINGS = f"""
SELECT coalesce(sum(amount), 0)::bigint AS all_amount,
       count(*) FILTER (WHERE rule IS NULL AND day >= %(since)s) AS unmatched,
       coalesce(sum(amount) FILTER (WHERE rule IS NULL AND day >= %(since)s), 0)::bigint
           AS unmatched_amount,
       coalesce(sum(amount) FILTER (WHERE rule IS NULL AND day < %(since)s), 0)::bigint
           AS before_amount,
       count(*) FILTER (WHERE rule = 'ignored') AS ignored,
       coalesce(sum(amount) FILTER (WHERE rule = 'ignored'), 0)::bigint AS ignored_amount,
       coalesce(sum(amount) FILTER (WHERE rule <> 'ignored'), 0)::bigint AS matched_amount
  FROM (SELECT -p.amount AS amount, o.day, m.rule
          FROM (SELECT position, leg, amount FROM postings
                 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                   AND account = %(account)s AND NOT pending) p
               {OF_POSTING} {LIVE} {OPERATION}
         WHERE o.day <= %(until)s) p
"""  # noqa: S608 - parts of our own


class Part(NamedTuple):
    """So many items, and what they sum to."""

    items: int
    amount: int


class Summary(NamedTuple):
    """How the books and the statement stand at the end of a day. Minor units, + came in."""

    date: dt.date
    books_balance: int
    statement_balance: int
    statement_balance_known: bool
    brought_forward: int
    unmatched_postings: Part
    unmatched_lines: Part
    ignored_postings: Part
    ignored_lines: Part
    in_transit: int
    missing_statements: int
    statements: int
    bookings_on_their_way: int

    @property
    def difference(self) -> int:
        """Books less statement: the sum of what explains it."""
        return self.books_balance - self.statement_balance

    @property
    def explained(self) -> int:
        """The same from its parts."""
        return (
            self.brought_forward
            + self.unmatched_postings.amount
            - self.unmatched_lines.amount
            + self.ignored_postings.amount
            - self.ignored_lines.amount
            + self.in_transit
            - self.missing_statements
        )

    @property
    def reconciled(self) -> bool:
        """Nothing is left: every line and posting is matched or set aside, and no cent unknown."""
        return (
            self.statement_balance_known
            and not self.unmatched_lines.items
            and not self.unmatched_postings.items
            and not self.brought_forward
            and not self.missing_statements
            and not self.bookings_on_their_way
        )


def summary(connection: Connection, subject: Subject, until: dt.date | None = None) -> Summary:
    """How the account stands at the end of the day; of the last statement, if none is named."""
    take_time(connection)
    rows = connection.exec_driver_sql(statements.ALL, subject.scope()).all()
    if until is None:
        until = max((row.to_date for row in rows), default=dt.datetime.now(dt.UTC).date())
    rows = [row for row in rows if row.from_date <= until]
    closed = _newest_closed(rows, until)
    opening = next((row.opening_balance for row in rows), None)
    lines = connection.exec_driver_sql(
        LINES, subject.scope(until=until, closed=closed.to_date if closed else dt.date.min)
    ).one()
    postings = connection.exec_driver_sql(
        POSTINGS,
        subject.scope(until=until, since=rows[0].from_date if rows else dt.date.min),
    ).one()
    if closed is None:
        balance = (opening or 0) + lines.all_amount
    else:
        balance = closed.closing_balance + lines.later_amount
    # Where the first statement names no opening balance it is what the lines and the closing
    # balance leave over; then nothing can be said to be missing between statements.
    began = balance - lines.all_amount if opening is None else opening
    result = Summary(
        date=until,
        books_balance=postings.all_amount,
        statement_balance=balance,
        statement_balance_known=closed is not None or opening is not None,
        brought_forward=postings.before_amount - began,
        unmatched_postings=Part(postings.unmatched, postings.unmatched_amount),
        unmatched_lines=Part(lines.unmatched, lines.unmatched_amount),
        ignored_postings=Part(postings.ignored, postings.ignored_amount),
        ignored_lines=Part(lines.ignored, lines.ignored_amount),
        in_transit=postings.matched_amount - lines.matched_amount,
        missing_statements=balance - lines.all_amount - began,
        statements=len(rows),
        bookings_on_their_way=sum(map(is_open, outcomes(connection, subject))),
    )
    assert result.explained == result.difference, "the parts are the whole"
    return result


def _newest_closed(rows: list[Any], until: dt.date) -> Any:
    """The statement with the newest closing balance that is not behind the day."""
    closed = [row for row in rows if row.closing_balance is not None and row.to_date <= until]
    return max(closed, key=lambda row: (row.to_date, row.number), default=None)
