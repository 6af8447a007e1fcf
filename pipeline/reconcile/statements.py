"""Statements taken in: each file once, each line once, all of a file or nothing of it."""

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from pipeline import arrays
from pipeline.reconcile.errors import ReconcileError
from pipeline.reconcile.readers.content import ExternalLine, ExternalStatement, unique
from pipeline.reconcile.subject import Subject, lock

# Lines of one INSERT: about 50 ms.
CHUNK_LINES = 5_000
# Between the parts of what is hashed, and between references on their way to a text[]: no text of
# a line holds a control character.
SEPARATOR = "\x1f"

COLUMNS = """
SELECT number, part, format, file_name, external_account, reference, currency, from_date, to_date,
       opening_balance, closing_balance, lines, known_lines, imported_at, imported_by
  FROM external_statements
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
"""
OF_FILE = COLUMNS + " AND file_hash = %(hash)s ORDER BY part"
OF_NUMBERS = COLUMNS + " AND number > %(after)s ORDER BY number LIMIT %(many)s"
ALL = COLUMNS + " ORDER BY from_date, to_date, number"

EXTERNAL_ACCOUNTS = """
SELECT DISTINCT external_account FROM external_statements
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
   AND format = %(format)s AND external_account IS NOT NULL
"""
LAST = """
SELECT coalesce((SELECT number FROM external_statements
                  WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
                  ORDER BY number DESC LIMIT 1), 0),
       coalesce((SELECT number FROM external_lines
                  WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
                  ORDER BY number DESC LIMIT 1), 0)
"""
KNOWN = """
SELECT wanted.n FROM unnest(%(identities)s::uuid[]) WITH ORDINALITY AS wanted (identity, n)
 CROSS JOIN LATERAL (
       SELECT FROM external_lines
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND account = %(account)s
          AND identity = wanted.identity LIMIT 1) known
"""
INSERT_STATEMENT = """
INSERT INTO external_statements (
       tenant_id, ledger_id, account, number, part, format, file_hash, file_name, external_account,
       reference, currency, from_date, to_date, opening_balance, closing_balance, lines,
       known_lines, imported_by)
VALUES (%(tenant)s, %(ledger)s, %(account)s, %(number)s, %(part)s, %(format)s, %(hash)s, %(name)s,
        %(external_account)s, %(reference)s, %(currency)s, %(from_date)s, %(to_date)s,
        %(opening_balance)s, %(closing_balance)s, %(lines)s, %(known)s, %(by)s)
"""
INSERT_LINES = """
INSERT INTO external_lines (
       tenant_id, ledger_id, account, statement, number, amount, identity, booking_date, value_date,
       bank_id, refs, counterparty, counterparty_account, description, place)
SELECT %(tenant)s, %(ledger)s, %(account)s, %(statement)s, number, amount, identity, booked, valued,
       bank_id, string_to_array(refs, %(separator)s), name, other, description, place
  FROM unnest(%(numbers)s::bigint[], %(amounts)s::bigint[], %(identities)s::uuid[],
              %(booked)s::date[], %(valued)s::date[], %(bank_ids)s::text[], %(refs)s::text[],
              %(names)s::text[], %(others)s::text[], %(descriptions)s::text[], %(places)s::text[])
       AS new (number, amount, identity, booked, valued, bank_id, refs, name, other, description,
               place)
"""


class File(NamedTuple):
    """A file from outside: its hash, its format and the name that it came under."""

    hash: bytes
    format: str
    name: str | None


class TakenIn(NamedTuple):
    """The statements of a file as rows of COLUMNS; `replayed`: they were here already."""

    statements: Sequence[Any]
    replayed: bool


def file_hash(data: bytes) -> bytes:
    """What the same file is recognised by."""
    return hashlib.sha256(data).digest()


def of_file(connection: Connection, subject: Subject, hash_: bytes) -> Sequence[Any]:
    """The statements that came with this file before."""
    return connection.exec_driver_sql(OF_FILE, subject.scope(hash=hash_)).all()


def take_in(
    connection: Connection,
    subject: Subject,
    file: File,
    statements: Sequence[ExternalStatement],
    *,
    by: str,
    external_account: str | None = None,
) -> TakenIn:
    """Store the statements that are this account's, all or nothing; raises ReconcileError."""
    lock(connection, subject)
    before = of_file(connection, subject, file.hash)
    if before:
        return TakenIn(before, replayed=True)
    own = _own(connection, subject, file, statements, external_account)
    last_statement, last_line = connection.exec_driver_sql(LAST, subject.scope()).one()
    for part, statement in enumerate(own, start=1):
        fresh, known = _fresh(connection, subject, statement)
        last_statement += 1
        connection.exec_driver_sql(
            INSERT_STATEMENT,
            subject.scope(
                **{name: getattr(statement, name) for name in STATEMENT_FIELDS},
                number=last_statement,
                part=part,
                format=file.format,
                hash=file.hash,
                name=file.name,
                lines=len(fresh),
                known=known,
                by=by,
            ),
        )
        for at in range(0, len(fresh), CHUNK_LINES):
            chunk = fresh[at : at + CHUNK_LINES]
            _insert(connection, subject, last_statement, last_line + at + 1, chunk)
        last_line += len(fresh)
    return TakenIn(of_file(connection, subject, file.hash), replayed=False)


STATEMENT_FIELDS = (
    "external_account",
    "reference",
    "currency",
    "from_date",
    "to_date",
    "opening_balance",
    "closing_balance",
)


def page(connection: Connection, subject: Subject, after: int, many: int) -> Sequence[Any]:
    """The statements behind a number, in the order in which they were taken in."""
    return connection.exec_driver_sql(OF_NUMBERS, subject.scope(after=after, many=many)).all()


def _own(
    connection: Connection,
    subject: Subject,
    file: File,
    statements: Sequence[ExternalStatement],
    wanted: str | None,
) -> list[ExternalStatement]:
    """The statements of the file that belong to the account; raises ReconcileError.

    A bank's file may hold several accounts, and the wrong file is quickly chosen: so the account's
    first statement says which one it is, and another one must be named.
    """
    named = {one.external_account for one in statements}
    if wanted is not None:
        statements = [one for one in statements if one.external_account == wanted]
        if not statements:
            there = ", ".join(sorted(filter(None, named))) or "no account at all"
            raise mismatch(f"The file has no statement of {wanted[:64]!r}, but of {there}.")
        # What a bank keeps in several currencies under one number is several accounts here.
        ours = [one for one in statements if one.currency == subject.currency]
        statements = ours or statements
    elif len(named) > 1:
        there = ", ".join(str(one) for one in sorted(named, key=str))
        raise mismatch(f"The file has statements of {there}: say which one by external_account.")
    else:
        scope = subject.scope(format=file.format)
        before = set(connection.exec_driver_sql(EXTERNAL_ACCOUNTS, scope).scalars())
        (own,) = named
        if own is not None and before and own not in before:
            raise mismatch(
                f"The file is of {own}, the statements of {subject.code} so far are of"
                f" {', '.join(sorted(before))}. If it is right, say external_account={own}."
            )
    for one in statements:
        if one.currency != subject.currency:
            raise mismatch(
                f"The statement is in {one.currency[:10]}, the account {subject.code} in"
                f" {subject.currency}."
            )
    return list(statements)


def mismatch(message: str) -> ReconcileError:
    """The file is a good one, but not this account's."""
    return ReconcileError("statement_mismatch", message)


def _fresh(
    connection: Connection, subject: Subject, statement: ExternalStatement
) -> tuple[list[tuple[str, ExternalLine]], int]:
    """The lines that no statement brought before, with their identities; how many are known."""
    lines = unique(statement.lines)
    identified = list(zip(identities(lines), lines, strict=True))
    known: set[int] = set()
    for at in range(0, len(identified), CHUNK_LINES):
        chunk = arrays.words(identity for identity, _ in identified[at : at + CHUNK_LINES])
        rows = connection.exec_driver_sql(KNOWN, subject.scope(identities=chunk))
        known.update(at + n - 1 for n in rows.scalars())
    fresh = [one for n, one in enumerate(identified) if n not in known]
    return fresh, len(statement.lines) - len(fresh)


def identities(lines: Sequence[ExternalLine]) -> list[str]:
    """What tells each line from every other one, in 16 bytes as hex.

    The bank's id with date and amount: some banks give a payment and its fee the same id. Without
    an id the content, and which of the lines of equal content it is.
    """
    times: Counter[tuple[str, ...]] = Counter()
    found = []
    for line in lines:
        day, amount = line.booking_date.isoformat(), str(line.amount)
        if line.bank_id is not None:
            content: tuple[str, ...] = ("id", line.bank_id, day, amount)
        else:
            texts = (line.counterparty, line.counterparty_account, line.description)
            content = ("", day, amount, *line.references, *(text or "" for text in texts))
            times[content] += 1
            content = (*content, str(times[content]))
        found.append(hashlib.sha256(SEPARATOR.join(content).encode()).hexdigest()[:32])
    return found


def _insert(
    connection: Connection,
    subject: Subject,
    statement: int,
    first: int,
    chunk: Sequence[tuple[str, ExternalLine]],
) -> None:
    lines = [line for _, line in chunk]
    connection.exec_driver_sql(
        INSERT_LINES,
        subject.scope(
            statement=statement,
            separator=SEPARATOR,
            numbers=arrays.integers(range(first, first + len(chunk))),
            amounts=arrays.integers(line.amount for line in lines),
            identities=arrays.words(identity for identity, _ in chunk),
            booked=_dates(line.booking_date for line in lines),
            valued=_dates(line.value_date for line in lines),
            bank_ids=arrays.texts(line.bank_id for line in lines),
            refs=arrays.texts(SEPARATOR.join(line.references) for line in lines),
            names=arrays.texts(line.counterparty for line in lines),
            others=arrays.texts(line.counterparty_account for line in lines),
            descriptions=arrays.texts(line.description for line in lines),
            places=arrays.texts(line.place for line in lines),
        ),
    )


def _dates(dates: Any) -> str:
    return arrays.words("NULL" if day is None else _iso(day) for day in dates)


def _iso(day: dt.date) -> str:
    return day.isoformat()
