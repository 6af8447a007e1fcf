"""What somebody may do, changed: other roles, disabled, enabled."""

from collections.abc import Iterable

from sqlalchemy import Connection, text

from models.key_ring import KeyRing
from pipeline.events import Event, Recorded, record
from pipeline.identity import acting, api_keys, owners, tickets
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import (
    Actor,
    Person,
    checked_roles,
    found,
    guard_owner,
    guard_powers,
    owns,
)
from pipeline.identity.sessions import revoke_all

CHANGE = text("""
    UPDATE people SET roles = :roles, status = :status, version = version + 1
     WHERE tenant_id = :tenant AND person_id = :person
""")


def change(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    actor: Actor,
    person_id: str,
    roles: Iterable[str] | None = None,
    active: bool | None = None,
) -> tuple[Person, Recorded | None]:
    """Give other roles, or disable and enable; tokens from before do not count any more.

    Raises OutError, and IdentityError: to enable somebody takes what a ticket for them does. No
    event where it was so already. It names the API keys whose secret they have seen: those may do
    no more than they may from now on, or need to be rotated.
    """
    found(connection, ring, tenant_id, person_id)  # its key is fetched before anybody is locked
    all_owners = acting.hold(connection, tenant_id, actor, person_id)
    before = found(connection, ring, tenant_id, person_id, lock=True)
    guard_owner(actor, before)
    after = before.roles if roles is None else tuple(checked_roles(actor, roles))
    status = before.status if active is None else _status(before, active)
    if (after, status) == (before.roles, before.status):
        return before, None
    added = [role for role in after if role not in before.roles]
    if added and not owns(before.roles) and actor.subject == before.subject:
        raise IdentityError("own_roles", "Nobody gives roles to themselves; ask another admin.")
    if added:
        guard_powers(actor, added)
        # Who has made a way in for somebody of few roles may not be one for these.
        tickets.void(connection, tenant_id, person_id, but_of=actor.subject)
    if status != before.status and active:
        guard_powers(actor, after)
    stays = status == "active" and owns(after)
    if not stays:
        owners.keep_one(all_owners, person_id)
    named = {"tenant": tenant_id, "person": person_id}
    connection.execute(CHANGE, {**named, "roles": list(after), "status": status})
    if status == "disabled":
        revoke_all(connection, tenant_id, person_id, "disabled")
        tickets.void(connection, tenant_id, person_id)
    detail = {
        "before": {"roles": list(before.roles), "status": before.status},
        "after": {"roles": list(after), "status": status},
        "api_keys": api_keys.held_by(connection, tenant_id, before.subject),
    }
    event = Event("person.changed", actor.subject, target=before.subject, detail=detail)
    now = before._replace(roles=after, status=status, version=before.version + 1)
    return now, record(connection, tenant_id, event)


def _status(before: Person, active: bool) -> str:
    if before.status == "erased":
        raise IdentityError("unknown_person", f"{before.person_id} was erased.")
    if not active:
        return "disabled"
    return "active" if before.accepted else "invited"
