"""Signing in: whoever is not let in gets one answer, after the same work, whatever the reason.

The try is counted and committed, then the password is looked at outside any transaction, then the
session begins. Each of both ends is an event of the tenant, which says the reason to its admins.
"""

from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Row, text

from models.db import tenant_reading, tenant_writing
from models.key_ring import KeyRing
from pipeline.events import Event, Recorded, record
from pipeline.identity import lockout, passwords, second_factor, sessions
from pipeline.identity.people import MAY_ACT, NOBODY, by_email, subject_of
from pipeline.identity.refusals import refusals
from pipeline.identity.sessions import Granted
from pipeline.privacy.data_keys import keys_of

TENANT = text("SELECT tenant_named(:name)")
PERSON = text(f"""
    SELECT {MAY_ACT.format(people="p")} AS may_act, password_hash, roles, version,
           totp_secret, totp_last_step, recovery_codes
      FROM people p WHERE tenant_id = :tenant AND person_id = :person FOR UPDATE
""")  # noqa: S608 - ours
LET_IN = text("""
    UPDATE people SET failures = 0, locked_until = NULL, password_hash = :password
     WHERE tenant_id = :tenant AND person_id = :person
""")


class Asked(NamedTuple):
    """What somebody signs in with, and from where. `network`: under what tries are counted."""

    tenant: str
    email: str
    password: str
    code: str | None
    address: str
    agent: str
    network: str


class Answer(NamedTuple):
    """What comes of it: a session or None, and the event to ring for."""

    granted: Granted | None
    recorded: Recorded | None


def sign_in(engine: Engine, ring: KeyRing, asked: Asked) -> Answer:
    """Try to; the caller holds a place (passwords.place)."""
    person_id, kept, why = None, None, "unknown"
    address = lockout.try_address(engine, ring, asked.network)
    with tenant_reading(lockout.INSTALLATION, engine) as connection:
        tenant_id = connection.execute(TENANT, {"name": asked.tenant}).scalar()
    if tenant_id is not None:
        with tenant_writing(tenant_id, engine) as connection:
            person_id = by_email(connection, ring, tenant_id, asked.email)
            if address is not None:
                kept, why = _try(connection, tenant_id, person_id)
    right = passwords.matches(kept, asked.password)
    if tenant_id is None:
        return Answer(None, None)
    if address is None:
        detail = refusals.locked(tenant_id, person_id, asked.network)
        return _refused(engine, tenant_id, person_id, detail)
    if not right or kept is None or person_id is None:
        return _refused(engine, tenant_id, person_id, refusals.detail(tenant_id, why))
    anew = passwords.hashed(asked.password) if passwords.outdated(kept) else kept
    answer = _let_in(engine, ring, tenant_id, person_id, kept, anew, asked)
    if answer.granted is not None:
        lockout.give_back(engine, address)
    return answer


def _try(connection: Connection, tenant_id: int, person_id: str | None) -> tuple[str | None, str]:
    """What the password is looked at with, and why it fails if it does."""
    if person_id is None:
        return None, "unknown"
    counted = lockout.try_person(connection, tenant_id, person_id)
    if counted is None:
        return None, "locked_or_disabled"
    return counted.password_hash, "password"


def _let_in(
    engine: Engine,
    ring: KeyRing,
    tenant_id: int,
    person_id: str,
    kept: str,
    anew: str,
    asked: Asked,
) -> Answer:
    """The password was right: the second factor, and the session."""
    named = {"tenant": tenant_id, "person": person_id}
    with tenant_writing(tenant_id, engine) as connection:
        # Their key is fetched before the row is locked.
        keys_of(connection, ring, tenant_id, [subject_of(person_id)])
        row = connection.execute(PERSON, named).one()
        why = _why_not(connection, ring, tenant_id, person_id, row, kept, asked.code)
        if why is None:
            connection.execute(LET_IN, {**named, "password": anew})
            session_id, ends = sessions.begin(
                connection, ring, tenant_id, person_id, asked.address, asked.agent
            )
            event = Event("person.signed_in", subject_of(person_id), target=f"session:{session_id}")
            recorded = record(connection, tenant_id, event)
            roles = tuple(row.roles)
            granted = Granted(tenant_id, session_id, person_id, 1, ends, roles, row.version)
            return Answer(granted, recorded)
    return _refused(engine, tenant_id, person_id, refusals.detail(tenant_id, why))


def _why_not(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    person_id: str,
    row: Row[Any],
    kept: str,
    code: str | None,
) -> str | None:
    """What has changed since the password was looked at, or is missing."""
    if not row.may_act or row.password_hash != kept:
        return "changed"
    if row.totp_secret is not None and not second_factor.passes(
        connection, ring, tenant_id, person_id, row, code
    ):
        return "code"
    return None


def _refused(
    engine: Engine, tenant_id: int, person_id: str | None, detail: dict[str, Any] | None
) -> Answer:
    if detail is None:
        return Answer(None, None)
    actor = NOBODY if person_id is None else subject_of(person_id)
    with tenant_writing(tenant_id, engine) as connection:
        event = Event("person.signed_in", actor, "refused", detail=detail)
        return Answer(None, record(connection, tenant_id, event))
