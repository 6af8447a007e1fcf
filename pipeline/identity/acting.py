"""Who acts, looked at once more behind the locks of its act.

A request is let in before its act waits for others. Of two admins who disable each other at once
the second is out by the time that it is their turn, and does nothing any more.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from pipeline.identity import api_keys, owners
from pipeline.identity.errors import OutError
from pipeline.identity.key_powers import Powers, bounded
from pipeline.identity.people import MAY_ACT, Actor, subject_of

PERSON = subject_of("")

NOW = text(f"""
    SELECT {MAY_ACT.format(people="p")} AS may_act, roles FROM people p
     WHERE tenant_id = :tenant AND person_id = :person
""")  # noqa: S608 - ours


class Standing(NamedTuple):
    """What somebody may do now. `subject` is who is behind an API key.

    `roles` is None for who is none of the tenant's people, whom nobody disables.
    """

    subject: str
    may_act: bool
    roles: tuple[str, ...] | None


def standing(connection: Connection, tenant_id: int, subject: str) -> Standing:
    """How it stands with them, or with the holder of the API key."""
    who = api_keys.holder(connection, tenant_id, subject)
    if who is None:
        return Standing(subject, False, ())
    if not who.startswith(PERSON):
        return Standing(who, True, None)
    named = {"tenant": tenant_id, "person": who.removeprefix(PERSON)}
    row = connection.execute(NOW, named).one_or_none()
    return Standing(who, False, ()) if row is None else Standing(who, row.may_act, tuple(row.roles))


def hold(connection: Connection, tenant_id: int, actor: Actor, person_id: str) -> Sequence[str]:
    """Hold who acts, on whom, and the tenant's owners, whose ids it gives; raises OutError."""
    who = api_keys.holder(connection, tenant_id, actor.subject) or ""
    all_owners = owners.held(connection, tenant_id, who.removeprefix(PERSON), person_id)
    check(connection, tenant_id, actor)
    return all_owners


def check(connection: Connection, tenant_id: int, actor: Actor) -> None:
    """Raise OutError if they were disabled or restricted, or have lost a role, since they asked."""
    now = standing(connection, tenant_id, actor.subject)
    if not now.may_act:
        raise OutError
    asked = Powers(tuple(actor.roles), actor.scopes)
    if now.roles is not None and bounded(asked, now.roles) != asked:
        raise OutError
