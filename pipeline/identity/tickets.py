"""Tickets: invitations and resets. Whoever brings one chooses a password, once.

A ticket is `TENANT.SECRET`: the tenant's number, because nothing is seen before it is known whose
rows are looked at, and 256 bits by chance, of which only the hash is kept.

Where mail is set, nobody but its receiver sees it (mails.py); otherwise whoever offers it does. So
it counts only as long as they might offer it: who is out has no way in left as somebody else.
"""

import datetime as dt
import hashlib
import re
import secrets
from typing import NamedTuple

from sqlalchemy import Connection, text

from models.key_ring import KeyRing
from models.settings import settings
from pipeline.events import Event, Recorded, record
from pipeline.identity import mails, people, sessions
from pipeline.identity.acting import check, standing
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import Actor, Person, found, guard_other, guard_owner, guard_powers

SECRET_BYTES = 32
SHAPE = re.compile(r"(\d{1,9})\.[A-Za-z0-9_-]{43}", re.ASCII)
# An invitation outlives a holiday; a reset is asked for by somebody who is waiting for it.
LIVES = {"invitation": dt.timedelta(days=7), "reset": dt.timedelta(hours=1)}
# What a person is while a ticket of this purpose counts.
STATUS = {"invitation": "invited", "reset": "active"}

VOID = text("""
    UPDATE tickets SET used_at = clock_timestamp()
     WHERE tenant_id = :tenant AND person_id = :person AND used_at IS NULL
       AND made_by IS DISTINCT FROM :but_of
""")
INSERT = text("""
    INSERT INTO tickets (tenant_id, token_hash, person_id, purpose, made_by, expires_at)
    VALUES (:tenant, :hash, :person, :purpose, :actor, clock_timestamp() + :lives)
""")
LOOK = text("""
    SELECT person_id, made_by FROM tickets
     WHERE tenant_id = :tenant AND token_hash = :hash AND purpose = :purpose
       AND used_at IS NULL AND expires_at > clock_timestamp()
       AND EXISTS (SELECT FROM tenants WHERE tenant_id = :tenant AND deleted_at IS NULL)
""")
USE = text("""
    UPDATE tickets SET used_at = clock_timestamp()
     WHERE tenant_id = :tenant AND token_hash = :hash
       AND used_at IS NULL AND expires_at > clock_timestamp()
    RETURNING made_by
""")
CHOOSE = text("""
    UPDATE people SET password_hash = :password, status = 'active', failures = 0,
           locked_until = NULL, version = version + 1
     WHERE tenant_id = :tenant AND person_id = :person
""")


class Ticket(NamedTuple):
    """One that was brought."""

    tenant_id: int
    hash: bytes
    purpose: str


class Offered(NamedTuple):
    """One that was made: what to hand over, once, and the event to ring for.

    `token` is None where it goes by mail.
    """

    token: str | None
    purpose: str
    recorded: Recorded

    @property
    def delivery(self) -> str:
        """How it comes to whom it is for."""
        return "mail" if self.token is None else "shown"


def read(shown: str, purpose: str) -> Ticket:
    """What somebody brought; raises IdentityError."""
    shape = SHAPE.fullmatch(shown)
    if shape is None or not int(shape[1]):
        raise _refused()
    return Ticket(int(shape[1]), hashlib.sha256(shown.encode()).digest(), purpose)


def offer(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    actor: Actor,
    person_id: str,
) -> Offered:
    """A ticket for somebody; those from before do not count any more.

    It is an invitation for who is invited, and a reset for who is active. Raises IdentityError, and
    OutError.
    """
    person = found(connection, ring, tenant_id, person_id, lock=True)
    check(connection, tenant_id, actor)
    guard_other(actor, person)
    guard_owner(actor, person)
    fits = [one for one, status in STATUS.items() if status == person.status]
    if not fits or person.restricted:
        status = "restricted" if person.restricted else person.status
        raise IdentityError("not_active", f"The person is {status}.")
    guard_powers(actor, person.roles)
    void(connection, tenant_id, person_id)
    token = make(connection, ring, tenant_id, person, fits[0], actor.subject)
    action = "person.invited" if fits[0] == "invitation" else "person.reset_offered"
    detail = {"roles": list(person.roles), "delivery": "shown" if token else "mail"}
    event = Event(action, actor.subject, target=person.subject, detail=detail)
    recorded = record(connection, tenant_id, event)
    if (how := settings().mail) is not None:
        mails.keep_to_bound(connection, tenant_id, how.a_day)
    return Offered(token, fits[0], recorded)


def make(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    person: Person,
    purpose: str,
    made_by: str,
) -> str | None:
    """A ticket for the person, whose row is locked; None where it goes by mail."""
    secret = f"{tenant_id}.{secrets.token_urlsafe(SECRET_BYTES)}"
    made = {
        "tenant": tenant_id,
        "hash": hashlib.sha256(secret.encode()).digest(),
        "person": person.person_id,
        "purpose": purpose,
        "actor": made_by,
        "lives": LIVES[purpose],
    }
    connection.execute(INSERT, made)
    if settings().mail is None:
        return secret
    mails.put(connection, ring, tenant_id, person, purpose, made_by, secret, LIVES[purpose])
    return None


def void(connection: Connection, tenant_id: int, person_id: str, but_of: str | None = None) -> None:
    """Those of somebody do not count any more, except perhaps what one maker has made; nor are they
    sent."""
    named = {"tenant": tenant_id, "person": person_id, "but_of": but_of}
    connection.execute(VOID, named)
    mails.withdraw(connection, tenant_id, person_id, but_of)


def whose(connection: Connection, ring: KeyRing, ticket: Ticket) -> Person:
    """Who may choose a password with it; raises IdentityError."""
    return _whose(connection, ring, ticket, lock=False)


def use(
    connection: Connection,
    ring: KeyRing,
    ticket: Ticket,
    password_hash: str,
    name: str | None = None,
) -> tuple[Person, Recorded]:
    """Let its holder have this password, and end all sessions; raises IdentityError."""
    person = _whose(connection, ring, ticket, lock=True)
    used = {"tenant": ticket.tenant_id, "hash": ticket.hash}
    made_by = connection.execute(USE, used).scalar()
    if made_by is None:
        raise _refused()
    named = {"tenant": ticket.tenant_id, "person": person.person_id}
    connection.execute(CHOOSE, {**named, "password": password_hash})
    void(connection, ticket.tenant_id, person.person_id)
    sessions.revoke_all(connection, ticket.tenant_id, person.person_id, "password")
    if name is not None:
        people.rename(connection, ring, ticket.tenant_id, person.person_id, name)
    invited = ticket.purpose == "invitation"
    action = "person.accepted" if invited else "person.password_reset"
    # Whoever made the ticket has seen a way in: nobody can prove that it was not taken.
    detail = {"offered_by": made_by}
    event = Event(action, person.subject, target=person.subject, detail=detail)
    recorded = record(connection, ticket.tenant_id, event)
    return found(connection, ring, ticket.tenant_id, person.person_id), recorded


def _whose(connection: Connection, ring: KeyRing, ticket: Ticket, *, lock: bool) -> Person:
    asked = {"tenant": ticket.tenant_id, "hash": ticket.hash, "purpose": ticket.purpose}
    row = connection.execute(LOOK, asked).one_or_none()
    if row is None:
        raise _refused()
    person = found(connection, ring, ticket.tenant_id, row.person_id, lock=lock)
    if person.restricted or person.status != STATUS[ticket.purpose]:
        raise _refused()
    if not _might_offer(connection, ticket.tenant_id, row.made_by, person):
        raise _refused()
    return person


def _might_offer(connection: Connection, tenant_id: int, made_by: str, person: Person) -> bool:
    """Whether who made it, or who holds the API key that did, might do so now."""
    maker = standing(connection, tenant_id, made_by)
    if not maker.may_act:
        return False
    if maker.roles is None:  # none of the tenant's people: nobody whom it could disable
        return True
    actor = Actor(maker.subject, frozenset(maker.roles))
    try:
        guard_owner(actor, person)
        guard_powers(actor, person.roles)
    except IdentityError:
        return False
    return True


def _refused() -> IdentityError:
    return IdentityError(
        "ticket_invalid", "It is wrong, used or too old. Ask an admin of the tenant for another."
    )
