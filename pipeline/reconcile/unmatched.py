"""What is not matched: lines of statements and postings of the account, as rows and for matching.

LATERAL ... LIMIT 1 is an index look-up per row whatever the planner believes about a fresh table.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import orjson
from sqlalchemy import Connection

from models.operation import address_of, parse_id
from pipeline.reconcile.items import Line, Place, Posting
from pipeline.reconcile.subject import Subject

# Rows that a streaming cursor fetches at a time: about 1 MB.
FETCH_ROWS = 5_000

OPERATION_ID = re.compile(r"op_[0-9a-hjkmnp-tv-z]{26}", re.IGNORECASE)

# The newest match of the line `l`, unless it was undone; its rule and number, or NULL.
OF_LINE = """
  LEFT JOIN LATERAL (
       SELECT match FROM matched_lines
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
          AND line = l.number
        ORDER BY turn DESC LIMIT 1) i ON true
"""
OF_POSTING = """
  LEFT JOIN LATERAL (
       SELECT match FROM matched_postings
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
          AND position = p.position AND leg = p.leg
        ORDER BY turn DESC LIMIT 1) i ON true
"""
LIVE = """
  LEFT JOIN LATERAL (
       SELECT m.match, m.rule, m.reason FROM matches m
        WHERE m.tenant_id = %(tenant)s AND m.ledger_id = %(ledger)s AND m.account = %(account)s
          AND m.match = i.match
          AND NOT EXISTS (SELECT FROM matches u
                           WHERE u.tenant_id = %(tenant)s AND u.ledger_id = %(ledger)s
                             AND u.account = %(account)s AND u.undoes = m.match)
        LIMIT 1) m ON true
"""
# The operation of the posting `p`, and the day on which it counts.
OPERATION = """
 CROSS JOIN LATERAL (
       SELECT o.id, o.idempotency_key,
              coalesce((o.body ->> 'effective_date')::date,
                       (o.accepted_at AT TIME ZONE 'UTC')::date) AS day,
              o.body ->> 'description' AS description, (o.body -> 'metadata')::text AS metadata
         FROM operations o
        WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s AND o.position = p.position
        LIMIT 1) o
"""

# In the statement's sense: what is debited here came in.
POSTINGS = f"""
SELECT p.position, p.leg, -p.amount AS amount, o.day, o.idempotency_key, o.description, o.metadata
  FROM (SELECT position, leg, amount, version FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
           AND account = %(account)s AND NOT pending) p
{OF_POSTING} {LIVE} {OPERATION}
 WHERE m.match IS NULL AND o.day BETWEEN %(since)s AND %(until)s
"""  # noqa: S608 - parts of our own

LINES = f"""
SELECT l.number, l.amount, l.booking_date, l.refs, l.bank_id, l.description, l.counterparty
  FROM external_lines l {OF_LINE} {LIVE}
 WHERE l.tenant_id = %(tenant)s AND l.ledger_id = %(ledger)s AND l.account = %(account)s
   AND m.match IS NULL AND (l.number = ANY(%(numbers)s) OR %(numbers)s IS NULL)
 ORDER BY l.number
"""  # noqa: S608 - parts of our own

# Lists for people. A state is unmatched, matched, ignored, or NULL for all.
STATE = """
   AND CASE %(state)s WHEN 'unmatched' THEN m.match IS NULL
                      WHEN 'matched' THEN m.rule <> 'ignored'
                      WHEN 'ignored' THEN m.rule = 'ignored'
                      ELSE true END
"""
LINES_PAGE = f"""
SELECT l.*, m.match, m.rule, m.reason FROM external_lines l {OF_LINE} {LIVE}
 WHERE l.tenant_id = %(tenant)s AND l.ledger_id = %(ledger)s AND l.account = %(account)s
   AND l.number > %(after)s AND (l.number = ANY(%(numbers)s) OR %(numbers)s IS NULL) {STATE}
 ORDER BY l.number LIMIT %(many)s
"""  # noqa: S608 - parts of our own
POSTINGS_PAGE = f"""
SELECT p.version, p.position, p.leg, -p.amount AS amount, o.id, o.day, o.idempotency_key,
       o.description, m.match, m.rule, m.reason
  FROM (SELECT position, leg, amount, version FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
           AND account = %(account)s AND NOT pending AND version > %(after)s) p
{OF_POSTING} {LIVE} {OPERATION}
 WHERE o.day BETWEEN %(since)s AND %(until)s {STATE}
 ORDER BY p.version LIMIT %(many)s
"""  # noqa: S608 - parts of our own
POSTINGS_AT = f"""
SELECT p.position, p.leg, -p.amount AS amount, o.id, o.day, o.idempotency_key, o.description,
       m.match, m.rule, m.reason
  FROM unnest(%(positions)s::bigint[], %(legs)s::smallint[]) AS wanted (position, leg)
 CROSS JOIN LATERAL (
       SELECT position, leg, amount FROM postings
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = wanted.position
          AND leg = wanted.leg AND account = %(account)s AND NOT pending LIMIT 1) p
{OF_POSTING} {LIVE} {OPERATION}
"""  # noqa: S608 - parts of our own

LEGS = """
SELECT p.leg, o.id
  FROM postings p
 CROSS JOIN LATERAL (
       SELECT id FROM operations o
        WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s AND o.position = p.position
        LIMIT 1) o
 WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s AND p.position = %(position)s
   AND p.account = %(account)s AND NOT p.pending
 ORDER BY p.leg
"""

STATES = ("unmatched", "matched", "ignored")
EVER = (dt.date.min, dt.date.max)


def lines(
    connection: Connection, subject: Subject, numbers: Sequence[int] | None = None
) -> list[Line]:
    """The unmatched lines, or those of them that have these numbers, for matching."""
    given = None if numbers is None else list(numbers)
    rows = connection.exec_driver_sql(LINES, subject.scope(numbers=given))
    return [line_of(row, subject) for row in rows]


def line_of(row: Any, subject: Subject) -> Line:
    """A row of external_lines for matching."""
    text = " ".join(one for one in (row.description, row.counterparty) if one)
    references = (*row.refs, row.bank_id) if row.bank_id else tuple(row.refs)
    return Line(
        row.number,
        row.amount,
        row.booking_date.toordinal(),
        references,
        text,
        positions_in(" ".join((*references, text)), subject),
    )


def positions_in(text: str, subject: Subject) -> tuple[int, ...]:
    """The positions of the operations of this ledger whose ids stand in the text."""
    found = (parse_id(match[0].lower()) for match in OPERATION_ID.finditer(text))
    addresses = [address_of(id_) for id_ in found if id_ is not None]
    own = [one.position for one in addresses if one.ledger_id == subject.ledger.ledger_id]
    return tuple(dict.fromkeys(own))


def postings(
    connection: Connection, subject: Subject, since: dt.date, until: dt.date
) -> Iterator[Posting]:
    """The unmatched postings that count on these days, streamed: memory stays the same."""
    driver: Any = connection.connection.driver_connection
    with closing(driver.cursor(name="unmatched_postings")) as cursor:
        cursor.itersize = FETCH_ROWS
        cursor.execute(POSTINGS, subject.scope(since=since, until=until))
        for position, leg, amount, day, key, description, metadata in cursor:
            names = (key,) if metadata is None else (key, *_members(metadata))
            yield Posting(position, leg, amount, day.toordinal(), names, description or "")


def _members(metadata: str) -> list[str]:
    # A truth is no name; a number may be an invoice's.
    members = orjson.loads(metadata).values()
    return [str(one) for one in members if not isinstance(one, bool)]


def lines_page(
    connection: Connection,
    subject: Subject,
    *,
    state: str | None,
    after: int = 0,
    many: int,
    numbers: Sequence[int] | None = None,
) -> Sequence[Any]:
    """Lines behind a number as rows, each with its match, in the order of their numbers."""
    given = None if numbers is None else list(numbers)
    wanted = subject.scope(state=state, after=after, many=many, numbers=given)
    return connection.exec_driver_sql(LINES_PAGE, wanted).all()


def postings_page(
    connection: Connection,
    subject: Subject,
    *,
    state: str | None,
    after: int = 0,
    many: int,
    days: tuple[dt.date, dt.date] = EVER,
) -> Sequence[Any]:
    """Postings behind a version as rows, each with its match, in the order of posting."""
    since, until = days
    wanted = subject.scope(state=state, after=after, many=many, since=since, until=until)
    return connection.exec_driver_sql(POSTINGS_PAGE, wanted).all()


def postings_at(
    connection: Connection, subject: Subject, places: Sequence[Place]
) -> dict[Place, Any]:
    """The account's postings at these places, as rows, each with its match."""
    positions, legs = [one.position for one in places], [one.leg for one in places]
    rows = connection.exec_driver_sql(
        POSTINGS_AT, subject.scope(positions=positions, legs=legs)
    ).all()
    return {Place(row.position, row.leg): row for row in rows}


def legs(connection: Connection, subject: Subject, position: int) -> Sequence[Any]:
    """The legs that an operation has on the account, each with the operation's id."""
    return connection.exec_driver_sql(LEGS, subject.scope(position=position)).all()
