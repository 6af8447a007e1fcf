"""Whence somebody asked whom an event tells of: personal, and sealed.

Who has a key of their own is sealed under that. Who has none (an API key, a token of the command
line, nobody known) is sealed under one of the month, so that destroying it forgets that month.

Keys may lie in AWS KMS. They are at hand before a transaction locks anything (`telling`): nobody
waits for KMS behind whoever changes a person, a key or the tenant. Where they cannot be had, the
event is recorded without: whatever KMS does, a stolen key is revoked, and somebody is erased.
"""

import base64
import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakSet

import orjson
import structlog
from sqlalchemy import Connection, Engine, Transaction

from models.db import tenant_writing
from models.key_ring import KeyRingError, key_ring
from models.ledger import LedgerRef
from models.sealed import aad, open_sealed, seal, unwritten
from pipeline.privacy.data_keys import DataKey, keys_of, make_missing
from pipeline.strict_json import canonical

# IPv6 with a zone; and what browsers say of themselves, which is longer than anybody needs.
ADDRESS_MAX_LENGTH = 64
AGENT_MAX_LENGTH = 200
# Whose key it is: that of a month.
WHENCE = "trident:whence:{:%Y-%m}"


class CameFrom(NamedTuple):
    """Whence somebody asked."""

    address: str
    agent: str


def _nowhere() -> CameFrom | None:
    return None


_asked_from: Callable[[], CameFrom | None] = _nowhere

# Transactions that could not have their key: they do not ask again, behind what they have locked.
_without: WeakSet[Transaction] = WeakSet()

log = structlog.get_logger("trident.keys")


def ask_for_whence(asked_from: Callable[[], CameFrom | None]) -> None:
    """Let each event of this process say whence the request came that it is recorded for.

    `asked_from` is asked in the thread that answers it, so no event has to be handed it.
    """
    global _asked_from  # noqa: PLW0603 - a process answers requests in one way, or none
    _asked_from = asked_from


@contextmanager
def telling(tenant_id: int, actor: str, engine: Engine) -> Iterator[Connection]:
    """A writing transaction of the tenant's, in which `actor` does what an event tells of."""
    had = True
    if _may_wait():
        # What is made is committed: it would be locked until the other transaction ends.
        with tenant_writing(tenant_id, engine) as connection:
            had = at_hand(connection, tenant_id, actor)
    with tenant_writing(tenant_id, engine) as connection:
        if had:
            at_hand(connection, tenant_id, actor)
        else:
            _without.add(_transaction(connection))
        yield connection


def at_hand(connection: Connection, tenant_id: int, actor: str) -> bool:
    """Have the key of who acts until the transaction ends, in which nothing is locked yet; whether
    it can be had."""
    if _may_wait() and _key(connection, tenant_id, actor) is None:
        _without.add(_transaction(connection))
        return False
    return True


def sealer(
    connection: Connection, ledger: LedgerRef, actor: str
) -> Callable[[str], dict[str, Any]]:
    """What gives the member `from` of this actor's event with an idempotency key; of the erased
    nothing is kept.

    Nobody holds the key: whoever is erased meanwhile has it destroyed, before or behind the event.
    """
    came_from = _asked_from()
    if came_from is None or _transaction(connection) in _without:
        return _kept_nothing
    found = _key(connection, ledger.tenant_id, actor)
    if found is None:
        return _kept_nothing
    whose, held = found
    if not isinstance(held, DataKey):
        return _kept_nothing
    cut = canonical([came_from.address[:ADDRESS_MAX_LENGTH], came_from.agent[:AGENT_MAX_LENGTH]])
    of = {} if whose == actor else {"of": whose}

    def sealed(key: str) -> dict[str, Any]:
        closed = base64.urlsafe_b64encode(seal(held.key, cut, _place(ledger, key, held)))
        return {"from": {"key": held.version, "sealed": closed.decode(), **of}}

    return sealed


def _kept_nothing(_key: str) -> dict[str, Any]:
    return {}


def sealed_for(body: dict[str, Any]) -> str:
    """Under whose key it is sealed whence this event came."""
    return str(body["from"].get("of", body["actor"]))


def opened(ledger: LedgerRef, key: str, body: dict[str, Any], held: DataKey) -> CameFrom:
    """What is sealed in the event with this idempotency key; raises TamperedError."""
    closed = unwritten(body["from"].get("sealed"))
    return CameFrom(*orjson.loads(open_sealed(held.key, closed, _place(ledger, key, held))))


def _may_wait() -> bool:
    return _asked_from() is not None and key_ring().at_once > 1


def _key(
    connection: Connection, tenant_id: int, actor: str
) -> tuple[str, DataKey | dt.datetime] | None:
    """Whose key seals it, and that key, or when it was destroyed; None if it cannot be had."""
    try:
        ring = key_ring()
        own = keys_of(connection, ring, tenant_id, [actor])
        if actor in own:
            return actor, own[actor]
        month = WHENCE.format(dt.datetime.now(dt.UTC))
        make_missing(connection, ring, tenant_id, [month])
        return month, keys_of(connection, ring, tenant_id, [month])[month]
    except KeyRingError as error:
        log.error("whence_not_kept", tenant=tenant_id, reason=str(error))
        return None


def _transaction(connection: Connection) -> Transaction:
    found = connection.get_transaction()
    assert found is not None, "an event is told of within a transaction"
    return found


def _place(ledger: LedgerRef, key: str, held: DataKey) -> bytes:
    row = f"{ledger.ledger_id}:{key}"
    return aad(ledger.tenant_id, "operations", "from", row, held.version)
