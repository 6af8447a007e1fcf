"""What effective dates move: by account and day, the amounts that are dated to another day.

The books know when an operation was accepted. Where its body names another day as its effective
date, `post` writes what that moves, in the run that posts it:

    leaving     of the day of acceptance: the sum of what is dated elsewhere
    arriving    of the effective date: the sum of what was accepted elsewhere

So the balance at the end of day D by effective date is the balance of what was accepted by the end
of D, and the sum of arriving less leaving of all days up to D. Days are days in UTC. An operation
that is dated to its own day, or not at all, moves nothing and costs nothing.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import orjson

from pipeline import arrays
from pipeline.ledger import Posting
from pipeline.stage import Claim, Operation, mogrify

# As it stands in a body, which is canonical JSON: `"effective_date":"2026-11-22"`.
MEMBER = '"effective_date"'
VALUE_AT = len(MEMBER) + len(':"')
DATE_LENGTH = len("2026-11-22")

# Rows begin with zeros and all that a run moves is one UPDATE, so that one trigger sees it whole.
INSERT = """
INSERT INTO date_shifts (tenant_id, ledger_id, account, date, currency)
SELECT %(tenant)s, ledger, account, date, currency
  FROM unnest(%(ledgers)s::integer[], %(accounts)s::integer[], %(dates)s::date[],
              %(currencies)s::text[]) AS new (ledger, account, date, currency)
    ON CONFLICT DO NOTHING;
"""
UPDATE = """
UPDATE date_shifts s
   SET arriving = s.arriving + new.arriving, leaving = s.leaving + new.leaving
  FROM unnest(%(ledgers)s::integer[], %(accounts)s::integer[], %(dates)s::date[],
              %(arriving)s::bigint[], %(leaving)s::bigint[])
       AS new (ledger, account, date, arriving, leaving)
 CROSS JOIN LATERAL (
       SELECT x.ctid FROM date_shifts x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = new.ledger
          AND x.account = new.account AND x.date = new.date
        LIMIT 1) found
 WHERE s.ctid = found.ctid;
"""


class Days(NamedTuple):
    """The day on which an operation was accepted, and the other one to which it is dated."""

    accepted: dt.date
    effective: dt.date


class Shift(NamedTuple):
    """One posting that is dated elsewhere, at one of its two days."""

    account: int
    date: dt.date
    currency: str
    arriving: int
    leaving: int


def dated(these: Iterable[Operation]) -> Iterator[tuple[Operation, Days]]:
    """Those that are dated to another day than that of their acceptance.

    Most are not, and are passed by their text alone: it names no date, or once and its own day.
    """
    at, accepted, own = None, dt.date.min, ""
    for operation in these:
        body = operation.body
        member = body.find(MEMBER)
        if member < 0:
            continue
        if operation.accepted_at != at:  # what was accepted together has one time
            at = operation.accepted_at
            accepted = at.date()
            own = accepted.isoformat()
        value = member + VALUE_AT
        if body[value : value + DATE_LENGTH] == own and body.find(MEMBER, value) < 0:
            continue
        named = orjson.loads(body).get("effective_date")
        if named is not None and named != own:
            yield operation, Days(accepted, dt.date.fromisoformat(named))


def shifts(days: Days, postings: Iterable[Posting]) -> Iterator[Shift]:
    """What the postings of one operation move. What is only reserved has no balance to move."""
    for posting in postings:
        if not posting.pending:
            account, currency, amount = posting.account, posting.currency, posting.amount
            yield Shift(account, days.accepted, currency, 0, amount)
            yield Shift(account, days.effective, currency, amount, 0)


def write(
    work: Claim, these: Iterable[Operation], postings: Mapping[int, list[Posting]]
) -> list[str]:
    """The statements that write what a run's operations move. `postings` are by ledger."""
    days_of = {(o.ledger_id, o.position): days for o, days in dated(these)}
    if not days_of:
        return []
    totals: dict[tuple[int, int, dt.date, str], list[int]] = {}
    for ledger_id, of_ledger in postings.items():
        for posting in of_ledger:
            days = days_of.get((ledger_id, posting.position))
            if days is None:
                continue
            for account, date, currency, arriving, leaving in shifts(days, [posting]):
                total = totals.setdefault((ledger_id, account, date, currency), [0, 0])
                total[0] += arriving
                total[1] += leaving
    return _statements(work, totals) if totals else []


def _statements(work: Claim, totals: dict[tuple[int, int, dt.date, str], list[int]]) -> list[str]:
    ledgers, accounts, dates, currencies = zip(*totals, strict=True)
    arriving, leaving = zip(*totals.values(), strict=True)
    columns = {
        "ledgers": arrays.integers(ledgers),
        "accounts": arrays.integers(accounts),
        "dates": arrays.words(date.isoformat() for date in dates),
    }
    return [
        mogrify(work, INSERT, **columns, currencies=arrays.words(currencies)),
        mogrify(
            work,
            UPDATE,
            **columns,
            arriving=arrays.integers(arriving),
            leaving=arrays.integers(leaving),
        ),
    ]
