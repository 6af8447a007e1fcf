"""A tenant keeps an owner: the last who may sign in is neither demoted, disabled, restricted nor
erased, whatever two of them do to each other at the same moment."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from pipeline.identity.errors import IdentityError
from pipeline.identity.people import MAY_ACT, OWNING
from pipeline.permissions import roles_for

# In the order of their ids, so that two who disable each other wait in turn.
OWNERS = text(f"""
    SELECT person_id FROM people p
     WHERE tenant_id = :tenant AND {MAY_ACT.format(people="p")}
       AND roles && cast(:owning AS text[])
     ORDER BY person_id FOR UPDATE
""")  # noqa: S608 - ours


def held(connection: Connection, tenant_id: int) -> Sequence[str]:
    """The ids of the owners who may sign in; they stay so until the transaction ends."""
    asked = {"tenant": tenant_id, "owning": sorted(roles_for(OWNING))}
    return connection.execute(OWNERS, asked).scalars().all()


def keep_one(owners: Sequence[str], person_id: str) -> None:
    """Raise IdentityError if there is no owner but this person."""
    if list(owners) == [person_id]:
        raise IdentityError(
            "last_owner", "This is the tenant's only active owner. Make another one first."
        )
