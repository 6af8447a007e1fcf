"""The export of a subject: all that is held of it, as one JSON document, piece by piece."""

from collections.abc import Iterable, Iterator
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import Connection, text

from models.key_ring import KeyRing
from models.ledger import LedgerRef, ledgers_of
from models.operation import show_id
from pipeline.came_from import CameFrom
from pipeline.events import Told, Wanted, read_page, whence
from pipeline.kinds.personals import PERSONAL
from pipeline.privacy.accounts import carried
from pipeline.privacy.data_keys import DataKey, ErasedError, keys_of
from pipeline.privacy.naming import END, Naming
from pipeline.privacy.person_export import parts as parts_of_person
from pipeline.privacy.personal import Origin, masked, name_of, opened, places
from pipeline.privacy.subjects import SubjectState, shown, state_of
from pipeline.privacy.submitted import reconciled, submitted
from pipeline.reconcile.subject import take_time

# Operations, and events, that are read at a time.
PAGE = 500

OPERATIONS = text("""
    SELECT o.position, o.id::text AS id, o.kind, o.idempotency_key, o.accepted_at,
           o.body::text AS body, r.code
      FROM unnest(:positions) wanted
     CROSS JOIN LATERAL (
           SELECT * FROM operations
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND position = wanted LIMIT 1) o
      LEFT JOIN LATERAL (
           SELECT code FROM rejections
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND position = wanted LIMIT 1) r
        ON true
     ORDER BY o.position
""")
POSTINGS = text("""
    SELECT p.position, a.code AS account, p.amount, p.currency, p.balance_after, p.pending
      FROM unnest(:positions) wanted
     CROSS JOIN LATERAL (
           SELECT * FROM postings
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND position = wanted) p
     CROSS JOIN LATERAL (
           SELECT code FROM accounts
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND number = p.account LIMIT 1) a
     ORDER BY p.position, p.leg
""")
# What a bank's statement says of the postings: those lines that are matched with them now.
LINES = text("""
    SELECT p.position, l.booking_date, l.value_date, l.amount, l.bank_id, l.refs, l.counterparty,
           l.counterparty_account, l.description
      FROM unnest(:positions) wanted
     CROSS JOIN LATERAL (
           SELECT * FROM postings
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND position = wanted) p
     CROSS JOIN LATERAL (
           SELECT match FROM matched_postings
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND account = p.account
              AND position = p.position AND leg = p.leg ORDER BY turn DESC LIMIT 1) m
     CROSS JOIN LATERAL (
           SELECT line FROM matched_lines
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND account = p.account
              AND match = m.match OFFSET 0) ml
     CROSS JOIN LATERAL (
           SELECT * FROM external_lines
            WHERE tenant_id = :tenant AND ledger_id = :ledger AND account = p.account
              AND number = ml.line LIMIT 1) l
     WHERE NOT EXISTS (
           SELECT FROM matches u
            WHERE u.tenant_id = :tenant AND u.ledger_id = :ledger AND u.account = p.account
              AND u.undoes = m.match)
     ORDER BY p.position, l.number
""")
ACCOUNTS = text("""
    SELECT code, type, currency, status, name, metadata, debits_posted, credits_posted,
           debits_pending, credits_pending
      FROM accounts
     WHERE tenant_id = :tenant AND ledger_id = :ledger AND code = ANY(:codes) ORDER BY code
""")


def export(connection: Connection, ring: KeyRing, tenant_id: int, subject: str) -> Iterator[bytes]:
    """The document, in a reading transaction of the tenant that lasts as long as the iterator.

    Raises UnknownSubjectError and ErasedError at its first piece, TamperedError at any.
    """
    take_time(connection)
    state = state_of(connection, tenant_id, subject)
    key = keys_of(connection, ring, tenant_id, [subject])[subject]
    if not isinstance(key, DataKey):
        raise ErasedError(f"The subject {shown(subject)} was erased.")
    books = ledgers_of(connection, tenant_id)
    yield b'{"object":"subject_export","subject":' + _dump(about(state))
    parts: dict[str, Iterable[dict[str, Any]]] = {
        **parts_of_person(connection, tenant_id, subject, key),
        "accounts": _each(books, lambda book: _accounts(connection, Naming(book, subject), key)),
        "operations": _each(
            books, lambda book: _operations(connection, Naming(book, subject), key)
        ),
        "submitted": submitted(connection, books, subject),
        "reconciled": reconciled(connection, books, subject),
        "events": _events(connection, ring, tenant_id, subject),
    }
    for name, records in parts.items():
        yield b',"' + name.encode() + b'":['
        for number, record in enumerate(records):
            yield (b"," if number else b"") + _dump(record)
        yield b"]"
    yield b"}\n"


def about(state: SubjectState) -> dict[str, Any]:
    """What is known of a subject, as clients see it."""
    return {
        "object": "subject",
        "subject": shown(state.subject),
        "status": state.status,
        "created_at": state.created_at,
        "named_at": state.named_at,
        "operations": state.mentions,
        "restricted_at": state.restricted_at,
        "erase_due_at": state.erase_due_at,
        "erased_at": state.erased_at,
    }


def _each(books: Iterable[LedgerRef], of: Any) -> Iterator[dict[str, Any]]:
    for book in books:
        yield from of(book)


def _accounts(connection: Connection, named: Naming, key: DataKey) -> Iterator[dict[str, Any]]:
    book = named.ledger
    for codes in _pages(named.codes(connection, END)):
        scope = {"tenant": book.tenant_id, "ledger": book.ledger_id, "codes": codes}
        found = carried(connection, book, codes)
        for row in connection.execute(ACCOUNTS, scope):
            personal: dict[str, Any] = {}
            if row.code in found and name_of(found[row.code].place) == named.subject:
                origin = Origin(book.tenant_id, book.ledger_id, found[row.code].key)
                personal = {PERSONAL: opened(origin, found[row.code].place, key)}
            yield {"ledger": book.name, **row._mapping, **personal}


def _operations(connection: Connection, named: Naming, key: DataKey) -> Iterator[dict[str, Any]]:
    for positions in _pages(named.positions(connection, END, newest=False)):
        scope = {
            "tenant": named.ledger.tenant_id,
            "ledger": named.ledger.ledger_id,
            "positions": positions,
        }
        postings, lines = (
            _by_position(connection.execute(one, scope)) for one in (POSTINGS, LINES)
        )
        for row in connection.execute(OPERATIONS, scope):
            yield _operation(named, key, row) | {
                "postings": postings.get(row.position, []),
                "statement_lines": lines.get(row.position, []),
            }


def _by_position(rows: Iterable[Any]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        record = dict(row._mapping)
        found.setdefault(record.pop("position"), []).append(record)
    return found


def _operation(named: Naming, key: DataKey, row: Any) -> dict[str, Any]:
    """Its own data in clear; that of others who are named with it stays sealed."""
    book = named.ledger
    origin = Origin(book.tenant_id, book.ledger_id, row.idempotency_key)
    body = orjson.loads(row.body)
    own = [one for one in places(row.kind, body) if name_of(one) == named.subject]
    clear = [(one, opened(origin, one, key)) for one in own]
    masked(row.kind, body)
    for place, data in clear:
        place.body[PERSONAL] = data
    return {
        "id": show_id(UUID(row.id)),
        "ledger": book.name,
        "position": row.position,
        "kind": row.kind,
        "idempotency_key": row.idempotency_key,
        "accepted_at": row.accepted_at,
        "rejection": row.code,
        **{name: member for name, member in body.items() if name != "kind"},
    }


def _events(
    connection: Connection, ring: KeyRing, tenant_id: int, subject: str
) -> Iterator[dict[str, Any]]:
    """Those that it did, or that were done to it; whence it asked is its own data."""
    wanted: Wanted | None = Wanted(PAGE, about=subject)
    while wanted is not None:
        found = read_page(connection, tenant_id, wanted)
        own = [told for told in found.events if told.body["actor"] == subject]
        opened = whence(connection, ring, tenant_id, own)
        for told in found.events:
            yield {"id": show_id(told.id), "at": told.at, **_told(told, opened.get(told.position))}
        more = found.following is not None
        wanted = wanted._replace(before=found.following) if more else None


def _told(told: Told, came_from: CameFrom | None) -> dict[str, Any]:
    members = {name: member for name, member in told.body.items() if name != "from"}
    return members if came_from is None else {**members, "from": came_from._asdict()}


def _pages(found: list[Any]) -> Iterator[list[Any]]:
    """So many at a time."""
    return (found[start : start + PAGE] for start in range(0, len(found), PAGE))


def _dump(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)
