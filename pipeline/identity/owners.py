"""A tenant keeps an owner: the last who may sign in is neither demoted, disabled, restricted nor
erased, whatever two of them do to each other at the same moment."""

from collections.abc import Sequence

from sqlalchemy import Connection, text

from pipeline.identity.errors import IdentityError
from pipeline.identity.people import MAY_ACT, OWNING
from pipeline.permissions import roles_for

# The first half of its advisory lock: the stages, heads and search have those below.
PEOPLE_LOCK = 13
# Whoever holds several people does so alone. In the order of their ids two who disable each other
# wait in turn; but an act holds them more than once, and between two times somebody accepts an
# invitation as an owner, who then comes behind those that are held.
ALONE = text("SELECT pg_advisory_xact_lock(:lock, :tenant)")
HOLD = text(f"""
    SELECT person_id, {MAY_ACT.format(people="p")} AND roles && cast(:owning AS text[]) AS owns
      FROM people p
     WHERE tenant_id = :tenant
       AND (person_id = ANY (:others)
            OR {MAY_ACT.format(people="p")} AND roles && cast(:owning AS text[]))
     ORDER BY person_id FOR UPDATE
""")  # noqa: S608 - ours


def held(connection: Connection, tenant_id: int, *others: str) -> Sequence[str]:
    """The ids of the owners who may sign in; they, and these others, stay as they are until the
    transaction ends.

    To be called before anybody's row is held: whoever holds one waits for no others.
    """
    connection.execute(ALONE, {"lock": PEOPLE_LOCK, "tenant": tenant_id})
    asked = {"tenant": tenant_id, "owning": sorted(roles_for(OWNING)), "others": list(others)}
    return [row.person_id for row in connection.execute(HOLD, asked) if row.owns]


def keep_one(owners: Sequence[str], person_id: str) -> None:
    """Raise IdentityError if there is no owner but this person."""
    if list(owners) == [person_id]:
        raise IdentityError(
            "last_owner", "This is the tenant's only active owner. Make another one first."
        )
