"""Matches: made by the rules or by hand, and undone; each is a row that stays."""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from pipeline import arrays, money
from pipeline.reconcile import bookings, unmatched
from pipeline.reconcile.errors import ReconcileError
from pipeline.reconcile.items import RULES, Match, Place, Windows
from pipeline.reconcile.matching import Matching
from pipeline.reconcile.subject import Subject, lock, take_time

# Matches of one INSERT: its guards read every line and posting again, about 0.3 s.
CHUNK_MATCHES = 5_000
# What one match of a person may hold; a batch of more is matched by its reference.
ITEMS_MAX = 1_000

LAST = """
SELECT coalesce((SELECT match FROM matches
                  WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
                  ORDER BY match DESC LIMIT 1), 0)
"""
# One statement for all three tables: their guards look at what it leaves.
INSERT = """
WITH made AS (
    INSERT INTO matches (tenant_id, ledger_id, account, match, rule, reason, booking, made_by)
    SELECT %(tenant)s, %(ledger)s, %(account)s, n, rule, %(reason)s, %(booking)s, %(by)s
      FROM unnest(%(matches)s::bigint[], %(rules)s::text[]) AS new (n, rule)
), of_lines AS (
    INSERT INTO matched_lines (tenant_id, ledger_id, account, match, line, turn)
    SELECT %(tenant)s, %(ledger)s, %(account)s, n, line, coalesce(before.turn + 1, 0)
      FROM unnest(%(line_matches)s::bigint[], %(lines)s::bigint[]) AS new (n, line)
      LEFT JOIN LATERAL (
           SELECT turn FROM matched_lines b
            WHERE b.tenant_id = %(tenant)s AND b.ledger_id = %(ledger)s
              AND b.account = %(account)s AND b.line = new.line
            ORDER BY turn DESC LIMIT 1) before ON true
)
INSERT INTO matched_postings (tenant_id, ledger_id, account, match, position, leg, turn)
SELECT %(tenant)s, %(ledger)s, %(account)s, n, position, leg, coalesce(before.turn + 1, 0)
  FROM unnest(%(posting_matches)s::bigint[], %(positions)s::bigint[], %(legs)s::smallint[])
       AS new (n, position, leg)
  LEFT JOIN LATERAL (
       SELECT turn FROM matched_postings b
        WHERE b.tenant_id = %(tenant)s AND b.ledger_id = %(ledger)s AND b.account = %(account)s
          AND b.position = new.position AND b.leg = new.leg
        ORDER BY turn DESC LIMIT 1) before ON true
"""
UNDO = """
INSERT INTO matches (tenant_id, ledger_id, account, match, rule, undoes, reason, made_by)
VALUES (%(tenant)s, %(ledger)s, %(account)s, %(match)s, 'undone', %(undoes)s, %(reason)s, %(by)s)
"""
PAGE = """
SELECT m.match, m.rule, m.reason, m.booking, m.made_at, m.made_by,
       u.match AS undone_by, u.made_at AS undone_at, u.made_by AS undone_by_whom,
       u.reason AS undone_reason,
       (SELECT array_agg(line ORDER BY line) FROM matched_lines i
         WHERE i.tenant_id = %(tenant)s AND i.ledger_id = %(ledger)s AND i.account = %(account)s
           AND i.match = m.match) AS lines,
       (SELECT array_agg(ARRAY[position, leg] ORDER BY position, leg) FROM matched_postings i
         WHERE i.tenant_id = %(tenant)s AND i.ledger_id = %(ledger)s AND i.account = %(account)s
           AND i.match = m.match) AS postings
  FROM matches m
  LEFT JOIN LATERAL (
       SELECT match, made_at, made_by, reason FROM matches u
        WHERE u.tenant_id = %(tenant)s AND u.ledger_id = %(ledger)s AND u.account = %(account)s
          AND u.undoes = m.match LIMIT 1) u ON true
 WHERE m.tenant_id = %(tenant)s AND m.ledger_id = %(ledger)s AND m.account = %(account)s
   AND m.undoes IS NULL AND m.match > %(after)s
   AND (m.match = ANY(%(numbers)s) OR %(numbers)s IS NULL)
 ORDER BY m.match LIMIT %(many)s
"""


class Matched(NamedTuple):
    """What one matching did: how many matches each rule made, and what is left for people."""

    by_rule: dict[str, int]
    lines_left: int
    postings_left: int


def match_all(
    connection: Connection, subject: Subject, *, by: str, windows: Windows | None = None
) -> Matched:
    """Match by the rules what is unmatched, after what was booked; raises ReconcileError."""
    windows = windows or Windows()
    take_time(connection)
    lock(connection, subject)
    settled = settle(connection, subject, by=by)
    held_lines, held_postings = bookings.held(connection, subject)
    lines = [one for one in unmatched.lines(connection, subject) if one.number not in held_lines]
    matching = Matching(lines, windows)
    seen = 0
    if lines:
        around = dt.timedelta(days=max(windows.days, windows.reference_days))
        since = dt.date.fromordinal(min(line.day for line in lines)) - around
        until = dt.date.fromordinal(max(line.day for line in lines)) + around
        for posting in unmatched.postings(connection, subject, since, until):
            if Place(posting.position, posting.leg) not in held_postings:
                matching.add(posting)
                seen += 1
    found = matching.matches()
    write(connection, subject, found, by=by)
    counts = Counter(match.rule for match in found)
    by_rule = {rule: counts[rule] for rule in RULES} | {"booked": settled}
    left = len(lines) - sum(len(match.lines) for match in found)
    return Matched(by_rule, left, seen - sum(len(match.postings) for match in found))


def match_by_hand(
    connection: Connection,
    subject: Subject,
    lines: Sequence[int],
    places: Sequence[Place],
    *,
    by: str,
) -> int:
    """Match what a person says belongs together; the match's number. Raises ReconcileError."""
    lock(connection, subject)
    difference = checked(connection, subject, lines, places)
    if not lines or not places:
        raise ReconcileError(
            "unbalanced_match", "A match has lines and postings; ignore what has no other side."
        )
    if difference:
        shown = money.show(difference, subject.currency)
        raise ReconcileError(
            "unbalanced_match",
            f"The lines are {shown} {subject.currency} more than the postings. Book the"
            " difference, or choose others.",
        )
    return write(connection, subject, [_match("manual", lines, places)], by=by)


def ignore(
    connection: Connection,
    subject: Subject,
    lines: Sequence[int],
    places: Sequence[Place],
    *,
    reason: str,
    by: str,
) -> int:
    """Set lines, or postings, aside with a reason; the match's number. Raises ReconcileError."""
    lock(connection, subject)
    if bool(lines) == bool(places):
        raise ReconcileError(
            "unbalanced_match", "Ignore either lines or postings; both together are a match."
        )
    checked(connection, subject, lines, places)
    return write(connection, subject, [_match("ignored", lines, places)], by=by, reason=reason)


def undo(connection: Connection, subject: Subject, number: int, *, reason: str, by: str) -> None:
    """Take a match back; its lines and postings are unmatched again. Raises ReconcileError."""
    lock(connection, subject)
    row = find(connection, subject, number)
    if row.undone_by is not None:
        raise ReconcileError("already_undone", f"Match {number} was undone by {row.undone_by}.")
    new = connection.exec_driver_sql(LAST, subject.scope()).scalar_one() + 1
    connection.exec_driver_sql(UNDO, subject.scope(match=new, undoes=number, reason=reason, by=by))


def settle(connection: Connection, subject: Subject, *, by: str, again: str | None = None) -> int:
    """Match what was booked and is posted by now; how many. Under the subject's lock.

    The booking under the key `again` is matched anew if its match was undone.
    """
    settled = 0
    for booking in bookings.posted(connection, subject, again):
        places = (*booking.places, *booking.posted)
        free = [*unmatched.postings_at(connection, subject, places).values()]
        free += unmatched.lines_page(
            connection, subject, state=None, many=len(booking.lines), numbers=booking.lines
        )
        # What somebody matched meanwhile stays as it is; the posting is left for review.
        if all(row.match is None for row in free):
            match = _match("booked", booking.lines, places)
            write(connection, subject, [match], by=by, booking=booking.number)
            settled += 1
    return settled


def find(connection: Connection, subject: Subject, number: int) -> Any:
    """The match of this number, as a row of PAGE; raises ReconcileError."""
    wanted = subject.scope(after=0, many=1, numbers=[number])
    row = connection.exec_driver_sql(PAGE, wanted).one_or_none()
    if row is None:
        raise ReconcileError("unknown_match", f"{subject.code} has no match {number}.")
    return row


def page(connection: Connection, subject: Subject, after: int, many: int) -> Sequence[Any]:
    """The matches behind a number, those that were undone among them."""
    wanted = subject.scope(after=after, many=many, numbers=None)
    return connection.exec_driver_sql(PAGE, wanted).all()


def checked(
    connection: Connection, subject: Subject, lines: Sequence[int], places: Sequence[Place]
) -> int:
    """Lines less postings, if all of them exist and are free; raises ReconcileError."""
    if len(lines) + len(places) > ITEMS_MAX:
        raise ReconcileError("unbalanced_match", f"A match has up to {ITEMS_MAX} items.")
    rows = {
        row.number: row
        for row in unmatched.lines_page(
            connection, subject, state=None, many=len(lines), numbers=lines
        )
    }
    found = unmatched.postings_at(connection, subject, places)
    held_lines, held_postings = bookings.held(connection, subject)
    for line in lines:
        _check("unknown_line", f"Line {line}", rows.get(line), line in held_lines)
    for place in places:
        what = f"The posting at position {place.position}, leg {place.leg},"
        _check("unknown_posting", what, found.get(place), place in held_postings)
    came_in = sum(row.amount for row in rows.values())
    return int(came_in - sum(row.amount for row in found.values()))


def _check(unknown: str, what: str, row: Any, held: bool) -> None:
    if row is None:
        raise ReconcileError(unknown, f"{what} is not one of this account.")
    if row.match is not None:
        raise ReconcileError(
            "already_matched", f"{what} belongs to match {row.match}. Undo that one first."
        )
    if held:
        raise ReconcileError(
            "being_booked", f"{what} is in a booking on its way; it will be matched with that."
        )


def _match(rule: str, lines: Sequence[int], places: Sequence[Place]) -> Match:
    return Match(rule, tuple(sorted(set(lines))), tuple(sorted(set(places))))


def write(
    connection: Connection,
    subject: Subject,
    found: Sequence[Match],
    *,
    by: str,
    reason: str | None = None,
    booking: int | None = None,
) -> int:
    """Store the matches, numbered on from the last one; the last one's number."""
    last = int(connection.exec_driver_sql(LAST, subject.scope()).scalar_one())
    for at in range(0, len(found), CHUNK_MATCHES):
        chunk = list(enumerate(found[at : at + CHUNK_MATCHES], start=last + 1))
        lines = [(n, line) for n, match in chunk for line in match.lines]
        places = [(n, place) for n, match in chunk for place in match.postings]
        connection.exec_driver_sql(
            INSERT,
            subject.scope(
                matches=arrays.integers(n for n, _ in chunk),
                rules=arrays.words(match.rule for _, match in chunk),
                line_matches=arrays.integers(n for n, _ in lines),
                lines=arrays.integers(line for _, line in lines),
                posting_matches=arrays.integers(n for n, _ in places),
                positions=arrays.integers(place.position for _, place in places),
                legs=arrays.integers(place.leg for _, place in places),
                reason=reason,
                booking=booking,
                by=by,
            ),
        )
        last += len(chunk)
    return last
