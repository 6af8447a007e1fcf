"""What is personal in operations and accounts, opened for those who may see it."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from api.privacy.edge import keys_at_hand
from api.tokens import Principal
from models.key_ring import key_ring
from models.ledger import LedgerRef
from pipeline.kinds.personals import PERSONAL
from pipeline.permissions import allowed
from pipeline.privacy.accounts import carried
from pipeline.privacy.data_keys import DataKey, keys_of
from pipeline.privacy.personal import MARK, Origin, Place, name_of, opened, places

# Members of an operation that hold other operations.
HOLDING = ("operation", "operations")

Shown = dict[str, Any]


def operations(
    connection: Connection, who: Principal, book: LedgerRef, rows: Sequence[Any], shown: list[Shown]
) -> list[Shown]:
    """The operations with what is personal, if the principal may see it; raises Problem.

    `shown` are the rows as api.shown makes them, in the same order.
    """
    marked = [n for n, row in enumerate(rows) if MARK in row.body]
    if not marked or not sees(who):
        return shown
    bodies = {n: orjson.loads(rows[n].body) for n in marked}
    found = {n: list(places(rows[n].kind, body)) for n, body in bodies.items()}
    every = [place for some in found.values() for place in some]
    keys = _keys(connection, book, every)
    for n, some in found.items():
        origin = Origin(book.tenant_id, book.ledger_id, rows[n].idempotency_key)
        for place in some:
            place.body[PERSONAL] = _opened(origin, place, keys)
        held = (PERSONAL, *HOLDING)
        shown[n] |= {name: bodies[n][name] for name in held if name in bodies[n]}
    return shown


def accounts(
    connection: Connection, who: Principal, book: LedgerRef, shown: list[Shown]
) -> list[Shown]:
    """The accounts with the member `personal`, where they have such data; raises Problem."""
    found = carried(connection, book, [one["code"] for one in shown])
    if not found:
        return shown
    clear = sees(who)
    keys = _keys(connection, book, [one.place for one in found.values()]) if clear else {}
    for one in shown:
        held = found.get(one["code"])
        if held is None:
            continue
        origin = Origin(book.tenant_id, book.ledger_id, held.key)
        subject = held.place.body[PERSONAL]["subject"]
        one[PERSONAL] = (
            _opened(origin, held.place, keys) if clear else {"subject": subject, "sealed": True}
        )
    return shown


def sees(who: Principal) -> bool:
    """Whether personal data is shown to it."""
    return allowed(who.roles, "personal.read", who.scopes)


def _keys(connection: Connection, book: LedgerRef, found: Iterable[Place]) -> dict[str, Any]:
    with keys_at_hand():
        return keys_of(connection, key_ring(), book.tenant_id, {name_of(one) for one in found})


def _opened(origin: Origin, place: Place, keys: dict[str, Any]) -> Shown:
    key = keys.get(name_of(place))
    if isinstance(key, DataKey):
        with keys_at_hand():
            return opened(origin, place, key)
    return {"subject": place.body[PERSONAL]["subject"], "erased_at": key}
