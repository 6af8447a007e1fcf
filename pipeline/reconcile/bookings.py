"""Bookings: operations that explain a difference, on their way from the intention to the match.

intended   stored under the lock, with the key that its operation will have
accepted   the operation is in the log; what it will be matched with is held meanwhile
posted     it can be matched (pipeline.reconcile.matches.settle)
rejected   what was held is free again
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection

from pipeline.reconcile.items import Place
from pipeline.reconcile.subject import Subject

# A booking without an operation is on its way for so long; then it was never handed in.
ON_ITS_WAY = "1 minute"

# What became of each booking: where its operation stands, whether it was rejected or matched.
OUTCOMES = f"""
SELECT b.booking, b.idempotency_key, b.lines, b.positions, b.legs, k.position,
       r.position IS NOT NULL AS rejected, m.match IS NOT NULL AS matched,
       coalesce(m.stands, false) AS stands,
       b.made_at > clock_timestamp() - interval '{ON_ITS_WAY}' AS young,
       coalesce(k.position <= last_position(%(tenant)s, %(ledger)s, 'post'), false) AS final
  FROM bookings b
  LEFT JOIN LATERAL (
       SELECT k.position FROM idempotency_keys k
        WHERE k.tenant_id = %(tenant)s AND k.ledger_id = %(ledger)s
          AND k.key_hash = encode(substr(sha256(convert_to(b.idempotency_key, 'UTF8')), 1, 16),
                                  'hex')::uuid LIMIT 1) k ON true
  LEFT JOIN LATERAL (
       SELECT r.position FROM rejections r
        WHERE r.tenant_id = %(tenant)s AND r.ledger_id = %(ledger)s
          AND r.position = k.position LIMIT 1) r ON true
  LEFT JOIN LATERAL (
       SELECT m.match, NOT EXISTS (SELECT FROM matches u
                                    WHERE u.tenant_id = %(tenant)s AND u.ledger_id = %(ledger)s
                                      AND u.account = %(account)s AND u.undoes = m.match) AS stands
         FROM matches m
        WHERE m.tenant_id = %(tenant)s AND m.ledger_id = %(ledger)s AND m.account = %(account)s
          AND m.booking = b.booking
        ORDER BY m.match DESC LIMIT 1) m ON true
 WHERE b.tenant_id = %(tenant)s AND b.ledger_id = %(ledger)s AND b.account = %(account)s
   AND (b.lines[1] = %(line)s OR %(line)s IS NULL)
 ORDER BY b.booking
"""  # noqa: S608 - a constant of our own
LEGS = """
SELECT position, leg FROM postings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = %(position)s
   AND account = %(account)s AND NOT pending
 ORDER BY leg
"""
MATCH = """
SELECT m.match FROM bookings b
  JOIN matches m ON m.tenant_id = b.tenant_id AND m.ledger_id = b.ledger_id
                AND m.account = b.account AND m.booking = b.booking
 WHERE b.tenant_id = %(tenant)s AND b.ledger_id = %(ledger)s AND b.idempotency_key = %(key)s
   AND NOT EXISTS (SELECT FROM matches u
                    WHERE u.tenant_id = %(tenant)s AND u.ledger_id = %(ledger)s
                      AND u.account = %(account)s AND u.undoes = m.match)
"""


class Booking(NamedTuple):
    """One booking: what it explains, and where its operation is posted on the account."""

    number: int
    lines: list[int]
    places: tuple[Place, ...]
    posted: tuple[Place, ...]


def outcomes(connection: Connection, subject: Subject, line: int | None = None) -> list[Any]:
    """What became of all bookings, or of those whose first line is this one; rows of OUTCOMES."""
    return list(connection.exec_driver_sql(OUTCOMES, subject.scope(line=line)))


def held(connection: Connection, subject: Subject) -> tuple[set[int], set[Place]]:
    """The lines and postings that bookings on their way will be matched with."""
    lines: set[int] = set()
    places: set[Place] = set()
    for row in outcomes(connection, subject):
        if is_open(row):
            lines.update(row.lines)
            places.update(places_of(row))
    return lines, places


def is_open(row: Any) -> bool:
    """Whether its operation may still be posted and matched."""
    return not row.rejected and not row.matched and (row.position is not None or row.young)


def posted(connection: Connection, subject: Subject, again: str | None = None) -> list[Booking]:
    """The bookings that are posted and not matched yet.

    One whose match was undone is only among them if it is asked for `again` by its key.
    """
    found = []
    for row in outcomes(connection, subject):
        asked = row.idempotency_key == again and not row.stands and not row.rejected
        if (is_open(row) or asked) and row.final:
            legs = connection.exec_driver_sql(LEGS, subject.scope(position=row.position))
            here = tuple(Place(*leg) for leg in legs)
            # An operation that waits for an approval is final for `post`, but has no postings yet.
            if here:
                found.append(Booking(row.booking, row.lines, tuple(places_of(row)), here))
    return found


def places_of(row: Any) -> list[Place]:
    """The postings that stand in a row of OUTCOMES."""
    return [Place(*place) for place in zip(row.positions, row.legs, strict=True)]


def match_of(connection: Connection, subject: Subject, key: str) -> int | None:
    """The match that the booking under this key made, if it made one that stands."""
    found = connection.exec_driver_sql(MATCH, subject.scope(key=key)).scalar()
    return None if found is None else int(found)
