"""People as subjects of privacy: restricted, let in again, erased.

Who is restricted is kept and not used: they do not sign in, and nobody makes them a way to choose a
password. Admins still see them, take roles from them and disable them.
"""

import datetime as dt
from collections.abc import Sequence

from sqlalchemy import Connection, text

from pipeline.identity import acting, owners
from pipeline.identity.acting import PERSON
from pipeline.identity.mails import withdraw
from pipeline.identity.people import (
    Actor,
    demand_owner,
    guard_powers,
    is_id,
    owns,
)
from pipeline.identity.sessions import revoke_all

ROLES = text("""
    SELECT roles FROM people WHERE tenant_id = :tenant AND person_id = :person
""")
RESTRICT = text("""
    UPDATE people SET restricted = :restricted WHERE tenant_id = :tenant AND person_id = :person
""")
SINCE = text("""
    SELECT password_hash IS NOT NULL AS came, status, status_since
      FROM people WHERE tenant_id = :tenant AND person_id = :person
""")
# The e-mail address may belong to somebody new from now on.
ERASE = text("""
    UPDATE people SET status = 'erased', email_hash = NULL, name = NULL, password_hash = NULL,
           totp_secret = NULL, totp_new = NULL, recovery_codes = '{}', version = version + 1
     WHERE tenant_id = :tenant AND person_id = :person
""")


def hold(connection: Connection, tenant_id: int, subject: str) -> None:
    """If the subject is a person: nobody changes them before the transaction ends.

    To be called before their key is held: whoever signs in holds the person first, and then reads
    the key.
    """
    if _id_of(subject) is not None:
        _held(connection, tenant_id, subject)


def guard(
    connection: Connection, tenant_id: int, actor: Actor, subject: str, *, lets_in: bool = False
) -> None:
    """If the subject is an owner: only an owner may do this; and who lets a person in again may do
    as much as they. Raises IdentityError, and OutError whatever the subject is."""
    person_id = _id_of(subject)
    if person_id is None:
        acting.check(connection, tenant_id, actor)
        return
    acting.hold(connection, tenant_id, actor, person_id)
    roles = _held(connection, tenant_id, subject)[1]
    if owns(roles):
        demand_owner(actor)
    if lets_in:
        guard_powers(actor, roles)


def restrict(connection: Connection, tenant_id: int, subject: str) -> None:
    """If the subject is a person: their sessions end, and they sign in no more.

    Raises IdentityError about the last owner.
    """
    _shut_out(connection, tenant_id, subject, "restricted")


def lift(connection: Connection, tenant_id: int, subject: str) -> None:
    """If the subject is a person: they may sign in again, unless something else forbids it."""
    if person_id := _id_of(subject):
        named = {"tenant": tenant_id, "person": person_id}
        connection.execute(RESTRICT, {**named, "restricted": False})


def erase(connection: Connection, tenant_id: int, subject: str) -> None:
    """If the subject is a person: what is left is a row that opens for nobody, and no way in.

    Raises IdentityError about the last owner.
    """
    if person_id := _shut_out(connection, tenant_id, subject, "erased"):
        connection.execute(ERASE, {"tenant": tenant_id, "person": person_id})


def could_act_until(
    connection: Connection,
    tenant_id: int,
    subject: str,
    now: dt.datetime,
    restricted_at: dt.datetime | None,
) -> dt.datetime | None:
    """If the subject is a person: until when they could do anything, `now` if they still can.

    None of whoever never came: there is nothing that they could have done.
    """
    named = {"tenant": tenant_id, "person": _id_of(subject)}
    row = connection.execute(SINCE, named).one_or_none()
    if row is None or not row.came:
        return None
    left_at = None if row.status == "active" else row.status_since
    return min((at for at in (left_at, restricted_at) if at is not None), default=now)


def _shut_out(connection: Connection, tenant_id: int, subject: str, why: str) -> str | None:
    person_id = _id_of(subject)
    if person_id is not None:
        owners.keep_one(_held(connection, tenant_id, subject)[0], person_id)
        named = {"tenant": tenant_id, "person": person_id}
        connection.execute(RESTRICT, {**named, "restricted": True})
        revoke_all(connection, tenant_id, person_id, why)
        withdraw(connection, tenant_id, person_id)
    return person_id


def _held(
    connection: Connection, tenant_id: int, subject: str
) -> tuple[Sequence[str], Sequence[str]]:
    """The tenant's owners and the person's roles, both locked."""
    person_id = _id_of(subject) or ""
    all_owners = owners.held(connection, tenant_id, person_id)
    named = {"tenant": tenant_id, "person": person_id}
    return all_owners, connection.execute(ROLES, named).scalar() or ()


def _id_of(subject: str) -> str | None:
    person_id = subject.removeprefix(PERSON)
    return person_id if subject.startswith(PERSON) and is_id(person_id) else None
