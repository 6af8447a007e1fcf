"""The keys that sign tokens, changed, and every tenant told: each relies on them."""

from typing import NamedTuple

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from models import signing_key
from models.db import set_tenant
from models.key_ring import KeyRing
from models.tenant import all_tenants
from pipeline.events import Event, Recorded, record


class Rotated(NamedTuple):
    """The key that signs now, the events to ring for, and the tenants that could not be told."""

    kid: str
    recorded: list[Recorded]
    untold: list[str]


def rotate(engine: Engine, ring: KeyRing, actor: str, revoked: str | None = None) -> Rotated:
    """Make the key that signs from now on; `revoked` verifies nothing any more.

    The first tenant is told in the transaction that does it, so it is on record or not done. The
    others are told behind it, one by one: a key that may be stolen waits for no tenant's log, nor
    do they for each other. `engine` is the owner's. Raises UnknownKeyError.
    """
    with engine.connect() as connection:
        live = sorted(
            (one.tenant_id, one.name) for one in all_tenants(connection) if not one.deleted
        )
    recorded: list[Recorded] = []

    def tell(connection: Connection, kid: str) -> None:
        for tenant_id, _ in live[:1]:
            recorded.extend(_tell(connection, tenant_id, kid, actor, revoked))

    kid = signing_key.rotate(engine, ring, revoked, tell=tell)
    untold = []
    for tenant_id, name in live[1:]:
        try:
            with engine.begin() as connection:
                recorded.extend(_tell(connection, tenant_id, kid, actor, revoked))
        except SQLAlchemyError:
            untold.append(name)
    return Rotated(kid, recorded, untold)


def _tell(
    connection: Connection, tenant_id: int, kid: str, actor: str, revoked: str | None
) -> list[Recorded]:
    set_tenant(connection, tenant_id)
    events = [Event("key.rotated", actor, target=_target(kid))]
    if revoked is not None:
        events.append(Event("key.revoked", actor, target=_target(revoked)))
    return [record(connection, tenant_id, event) for event in events]


def _target(kid: str) -> str:
    return f"signing_key:{kid}"
