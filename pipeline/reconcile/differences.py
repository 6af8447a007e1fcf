"""Booking a difference: an operation like any other, that is matched once it is posted.

    prepare   under the lock: what is to be matched is free; the intention is stored, with the key
    accept    by the caller: the operation goes into the log under that key, once however often
    settle    once it is posted (matches.settle): lines, postings and the new posting are a match

The key is made of the account, the first line and how many bookings of it were rejected before. So
a repeat is the same operation, and after a rejection another one may be tried.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from marshmallow import ValidationError
from sqlalchemy import Connection

from pipeline import money
from pipeline.idempotency import RESERVED
from pipeline.kinds import KINDS
from pipeline.reconcile import bookings, unmatched
from pipeline.reconcile.errors import ReconcileError
from pipeline.reconcile.items import Place
from pipeline.reconcile.matches import checked
from pipeline.reconcile.subject import Subject, lock
from pipeline.refusal import CODES

KEY = RESERVED + "reconcile:{account}:{line}:{attempt}"
# A metadata value holds 500 characters; more lines than fit are counted.
LINES_SHOWN_MAX = 20

INSERT = """
INSERT INTO bookings (tenant_id, ledger_id, account, booking, idempotency_key, lines, positions,
                      legs, made_by)
SELECT %(tenant)s, %(ledger)s, %(account)s, coalesce(max(booking), 0) + 1, %(key)s,
       %(lines)s::bigint[], %(positions)s::bigint[], %(legs)s::smallint[], %(by)s
  FROM bookings
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
"""


class Wish(NamedTuple):
    """What a person wants booked: the difference of lines and postings, against one account
    (`against`) or several (`legs`, as a journal has them, without the leg of the account itself).
    """

    lines: Sequence[int]
    places: Sequence[Place]
    against: str | None = None
    legs: Sequence[dict[str, Any]] = ()
    description: str | None = None


class Prepared(NamedTuple):
    """The operation to be accepted under this key."""

    key: str
    kind: str
    body: dict[str, Any]


def prepare(connection: Connection, subject: Subject, wish: Wish, *, by: str) -> Prepared:
    """The operation that books the difference; raises ReconcileError.

    Asked again for the same, it is the same operation, whatever became of it.
    """
    lock(connection, subject)
    if not wish.lines:
        raise ReconcileError("unknown_line", "Name the lines whose difference is to be booked.")
    wish = wish._replace(lines=sorted(set(wish.lines)), places=sorted(set(wish.places)))
    first = wish.lines[0]
    before = bookings.outcomes(connection, subject, line=first)
    attempt = sum(row.rejected for row in before)
    key = KEY.format(account=subject.number, line=first, attempt=attempt)
    same = next((row for row in before if row.idempotency_key == key), None)
    if same is None or (same.matched and not same.stands):
        checked(connection, subject, wish.lines, wish.places)
    if same is not None and (same.lines, bookings.places_of(same)) != (wish.lines, wish.places):
        raise ReconcileError(
            "being_booked",
            f"Line {first} was booked with other lines and postings. Undo that match, and match"
            " what was posted by hand.",
        )
    prepared = Prepared(key, *_operation(connection, subject, wish))
    if same is None:
        connection.exec_driver_sql(
            INSERT,
            subject.scope(
                key=key,
                lines=list(wish.lines),
                positions=[place.position for place in wish.places],
                legs=[place.leg for place in wish.places],
                by=by,
            ),
        )
    return prepared


def _operation(connection: Connection, subject: Subject, wish: Wish) -> tuple[str, dict[str, Any]]:
    rows = unmatched.lines_page(
        connection, subject, state=None, many=len(wish.lines), numbers=wish.lines
    )
    postings = unmatched.postings_at(connection, subject, wish.places).values()
    difference = sum(row.amount for row in rows) - sum(row.amount for row in postings)
    if not difference:
        raise ReconcileError(
            "nothing_to_book", "Lines and postings sum to the same: match them by hand."
        )
    shown = ",".join(map(str, wish.lines[:LINES_SHOWN_MAX]))
    more = len(wish.lines) - LINES_SHOWN_MAX
    description = wish.description or rows[0].description or rows[0].counterparty
    common = {
        "effective_date": max(row.booking_date for row in rows).isoformat(),
        "metadata": {"statement_lines": shown + (f" and {more} more" if more > 0 else "")},
        **({"description": description} if description else {}),
    }
    kind, body = _shape(subject, wish, difference)
    try:
        loaded = KINDS[kind].schema.load({**body, **common})
    except ValidationError as error:
        raise ReconcileError("nothing_to_book", f"The booking is wrong: {error}.") from None
    refusal = KINDS[kind].check(loaded)
    if refusal is not None:
        wanted = money.show(difference, subject.currency)
        raise ReconcileError(
            "unbalanced_match",
            f"{CODES[refusal.code]} The difference to be booked is {wanted} {subject.currency}.",
        )
    return kind, loaded


def _shape(subject: Subject, wish: Wish, difference: int) -> tuple[str, dict[str, Any]]:
    """What came in is debited to the account; a transfer debits its source."""
    if bool(wish.against) == bool(wish.legs):
        raise ReconcileError("nothing_to_book", "Name one account, or the legs of a journal.")
    if wish.against:
        source, destination = subject.code, wish.against
        if difference < 0:
            source, destination = destination, source
        return "transfer", {
            "source": source,
            "destination": destination,
            "amount": abs(difference),
            "currency": subject.currency,
        }
    own = {
        "account": subject.code,
        "direction": "debit" if difference > 0 else "credit",
        "amount": abs(difference),
        "currency": subject.currency,
    }
    return "journal", {"legs": [own, *wish.legs]}
