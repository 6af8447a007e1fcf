"""Somebody's own password, asked for again and changed."""

from sqlalchemy import Connection, Engine, text

from models.db import tenant_writing
from models.tenant import TenantState
from pipeline.events import Event, Recorded, record
from pipeline.identity import lockout, passwords, sessions, tickets
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import subject_of

CHANGE = text("""
    UPDATE people SET password_hash = :anew
     WHERE tenant_id = :tenant AND person_id = :person AND password_hash = :kept
""")


def prove(engine: Engine, tenant_id: int, person_id: str, password: str) -> str:
    """The hash of their password, if this is it; counted like a try to sign in. Raises
    IdentityError: who took over a session does not know it, and finds it out no faster here.
    """
    with tenant_writing(tenant_id, engine) as connection:
        counted = lockout.try_person(connection, tenant_id, person_id)
    kept = None if counted is None else counted.password_hash
    if not passwords.matches(kept, password) or kept is None:
        raise IdentityError("sign_in_refused", "Send your present password as `password`.")
    with tenant_writing(tenant_id, engine) as connection:
        lockout.forgive(connection, tenant_id, person_id)
    return kept


def change(
    connection: Connection,
    tenant_id: int,
    person_id: str,
    kept: str,
    anew: str,
    session_id: str | None,
) -> Recorded:
    """Another password in place of `kept`: all other sessions end, and no ticket that lies about
    counts any more. Raises IdentityError."""
    asked = {"tenant": tenant_id, "person": person_id, "kept": kept, "anew": anew}
    if not connection.execute(CHANGE, asked).rowcount:
        raise IdentityError("sign_in_refused", "The password was changed in the meantime.")
    sessions.revoke_all(connection, tenant_id, person_id, "password", but=session_id)
    tickets.void(connection, tenant_id, person_id)
    subject = subject_of(person_id)
    event = Event("person.password_changed", subject, target=subject)
    return record(connection, tenant_id, event)


def check_for(
    password: str, email: str | None, name: str | None, tenant: TenantState | None
) -> None:
    """Raise IdentityError unless it will do for somebody of this e-mail address, name and tenant.

    It takes work, so the caller holds a place (passwords.place) and no connection.
    """
    own = [word for word in (email, name) if word]
    try:
        passwords.check(password, own, [] if tenant is None else [tenant.name])
    except passwords.WeakPasswordError as error:
        raise IdentityError("weak_password", str(error)) from None
