"""The second factor of a person: made, confirmed, asked for, taken away.

Within the tenant's transaction, in which the person's row is locked.
"""

from typing import Any

from sqlalchemy import Connection, Row, text

from models.key_ring import KeyRing
from pipeline.events import Event, Recorded, record
from pipeline.identity import lockout, totp
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import Person, found, seal, subject_of, unseal
from pipeline.privacy.data_keys import key_of, keys_of

ROW = text("""
    SELECT totp_secret, totp_new, totp_last_step, recovery_codes FROM people
     WHERE tenant_id = :tenant AND person_id = :person FOR UPDATE
""")
OFFER = text(
    "UPDATE people SET totp_new = :sealed WHERE tenant_id = :tenant AND person_id = :person"
)
CONFIRM = text("""
    UPDATE people SET totp_secret = totp_new, totp_new = NULL, totp_last_step = :step,
           recovery_codes = :codes
     WHERE tenant_id = :tenant AND person_id = :person
""")
STOP = text("""
    UPDATE people SET totp_secret = NULL, totp_new = NULL, recovery_codes = '{}'
     WHERE tenant_id = :tenant AND person_id = :person
""")
STEP = text("""
    UPDATE people SET totp_last_step = :step WHERE tenant_id = :tenant AND person_id = :person
""")
SPEND = text("""
    UPDATE people SET recovery_codes = array_remove(recovery_codes, :code)
     WHERE tenant_id = :tenant AND person_id = :person
""")
# One secret after the other stands in the same place: nothing tells them apart but being current.
PLACE = "people.totp"


def offer(connection: Connection, ring: KeyRing, tenant_id: int, person_id: str) -> bytes:
    """A new secret, which counts once a code of it has come; raises IdentityError."""
    person = found(connection, ring, tenant_id, person_id, lock=True)
    if person.second_factor:
        raise IdentityError("second_factor_on", "Take away the one that there is first.")
    secret = totp.new_secret()
    key = key_of(connection, ring, tenant_id, person.subject)
    sealed = seal(key, tenant_id, PLACE, person_id, secret)
    connection.execute(OFFER, {**_named(tenant_id, person_id), "sealed": sealed})
    return secret


def confirm(
    connection: Connection, ring: KeyRing, tenant_id: int, person_id: str, code: str
) -> tuple[list[str], Recorded]:
    """From now on it is asked for; the codes for whoever loses the device. Raises IdentityError.

    The try was counted before, like one to sign in (lockout.py): who took over a session would
    guess the code, and have the codes of recovery.
    """
    named = _named(tenant_id, person_id)
    # Its key is fetched before the row is locked.
    keys_of(connection, ring, tenant_id, [subject_of(person_id)])
    row = connection.execute(ROW, named).one()
    if row.totp_new is None:
        raise IdentityError("second_factor_off", "Ask for a new secret first.")
    step = _step(connection, ring, tenant_id, person_id, row.totp_new, code)
    if step is None:
        raise IdentityError("code_wrong", "Send the code that the device shows just now.")
    codes = totp.new_recovery_codes()
    hashes = [totp.recovery_hash(one) for one in codes]
    connection.execute(CONFIRM, {**named, "step": step, "codes": hashes})
    lockout.forgive(connection, tenant_id, person_id)
    subject = subject_of(person_id)
    event = Event("person.second_factor_on", subject, target=subject)
    return codes, record(connection, tenant_id, event)


def stop(connection: Connection, tenant_id: int, actor: str, person: Person) -> Recorded:
    """It is not asked for any more; raises IdentityError."""
    if not person.second_factor:
        raise IdentityError("second_factor_off", "There is none to take away.")
    connection.execute(STOP, _named(tenant_id, person.person_id))
    event = Event("person.second_factor_off", actor, target=person.subject)
    return record(connection, tenant_id, event)


def passes(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    person_id: str,
    row: Row[Any],
    code: str | None,
) -> bool:
    """Whether the code is one of now, or of recovery; then it never is again. `row` is locked."""
    if code is None:
        return False
    named = _named(tenant_id, person_id)
    step = _step(connection, ring, tenant_id, person_id, row.totp_secret, code)
    if step is not None:
        if step <= row.totp_last_step:
            return False
        connection.execute(STEP, {**named, "step": step})
        return True
    spent = totp.recovery_hash(code)
    if spent not in [bytes(one) for one in row.recovery_codes]:
        return False
    connection.execute(SPEND, {**named, "code": spent})
    return True


def _step(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    person_id: str,
    sealed: bytes,
    code: str,
) -> int | None:
    key = key_of(connection, ring, tenant_id, subject_of(person_id))
    return totp.step_of(unseal(key, tenant_id, PLACE, person_id, sealed), code)


def _named(tenant_id: int, person_id: str) -> dict[str, Any]:
    return {"tenant": tenant_id, "person": person_id}
