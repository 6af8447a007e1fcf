"""Forgotten passwords: whoever has a person's mail gets a ticket there, without an admin.

Nobody is told whether there is such a person. The tenant's admins are, by an event.
"""

from sqlalchemy import Connection, Engine, text

from models.db import tenant_reading
from models.key_ring import KeyRing
from pipeline.came_from import telling
from pipeline.events import Event, Recorded, record
from pipeline.identity import lockout, tickets
from pipeline.identity.people import NOBODY, Person, by_email, found
from pipeline.identity.refusals import refusals
from pipeline.identity.sign_in import TENANT

# Mails that strangers can make a person get in an hour: for one that went astray and one that was
# deleted too fast. A reset counts for an hour, so no more of them lie about.
AN_HOUR_MAX = 3

ASKED = text("""
    SELECT count(*) FROM tickets
     WHERE tenant_id = :tenant AND person_id = :person AND made_by = :nobody
       AND created_at > clock_timestamp() - interval '1 hour'
""")


def ask(engine: Engine, ring: KeyRing, tenant: str, email: str) -> Recorded | None:
    """Send a reset to who has this address in the tenant, if there is one; the event of it, unless
    it is one refusal too many (refusals.py).

    Tickets from before go on counting: nobody takes away what somebody has by asking for another.
    """
    with tenant_reading(lockout.INSTALLATION, engine) as connection:
        tenant_id = connection.execute(TENANT, {"name": tenant}).scalar()
    if tenant_id is None:
        return None
    with telling(tenant_id, NOBODY, engine) as connection:
        person_id = by_email(connection, ring, tenant_id, email)
        if person_id is None:
            return _refused(connection, tenant_id, None, "unknown")
        person = found(connection, ring, tenant_id, person_id, lock=True)
        why = _why_not(connection, tenant_id, person)
        if why is not None:
            return _refused(connection, tenant_id, person.subject, why)
        tickets.make(connection, ring, tenant_id, person, "reset", NOBODY)
        event = Event("person.reset_asked", NOBODY, target=person.subject)
        return record(connection, tenant_id, event)


def _why_not(connection: Connection, tenant_id: int, person: Person) -> str | None:
    if not person.may_act:
        return "not_active"
    asked = {"tenant": tenant_id, "person": person.person_id, "nobody": NOBODY}
    if connection.execute(ASKED, asked).scalar_one() >= AN_HOUR_MAX:
        return "too_many"
    return None


def _refused(
    connection: Connection, tenant_id: int, subject: str | None, why: str
) -> Recorded | None:
    detail = refusals.detail(tenant_id, why)
    if detail is None:
        return None
    event = Event("person.reset_asked", NOBODY, "refused", subject, detail)
    return record(connection, tenant_id, event)
