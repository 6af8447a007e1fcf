"""A key for each subject: what is personal is sealed under it, and erased with it.

A subject is whom data is about. Its key is wrapped under the installation's key-encryption key,
and never remembered for longer than the transaction that asked: what was erased is gone at once.
"""

import datetime as dt
from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import Connection, text

from models import sealed
from models.key_ring import KeyRing, Wrapped

# Behind FOR SHARE no key is destroyed before what is sealed under it is committed.
FIND = text("""
    SELECT key_version, wrapped, kek FROM data_keys
     WHERE tenant_id = :tenant AND subject = :subject FOR SHARE
""")
KNOWN = text("SELECT subject FROM data_keys WHERE tenant_id = :tenant AND subject = ANY(:subjects)")
MANY = """
    SELECT subject, key_version, wrapped, kek, erased_at FROM data_keys
     WHERE tenant_id = :tenant AND subject = ANY(:subjects) ORDER BY subject
"""
FIND_MANY = text(MANY)
FIND_HELD = text(f"{MANY} FOR SHARE")
# Whoever comes second finds the key of whoever came first.
MAKE = text("""
    INSERT INTO data_keys (tenant_id, subject, wrapped, kek)
    VALUES (:tenant, :subject, :wrapped, :kek) ON CONFLICT (tenant_id, subject) DO NOTHING
""")
DESTROY = text("""
    UPDATE data_keys SET wrapped = NULL, kek = NULL, erased_at = clock_timestamp()
     WHERE tenant_id = :tenant AND subject = :subject AND erased_at IS NULL
""")


class DataKey(NamedTuple):
    """The key itself, and its version, which what it seals is bound to."""

    key: bytes
    version: int


class UnknownSubjectError(LookupError):
    """Nothing is known of the subject: it has no key."""


class ErasedError(LookupError):
    """The subject was erased: its key was destroyed, and it never gets another."""


def data_key_aad(tenant_id: int, subject: str) -> bytes:
    """What a wrapped data key is bound to."""
    return sealed.aad(tenant_id, "data_keys", "wrapped", subject, 1)


def key_of(
    connection: Connection, ring: KeyRing, tenant_id: int, subject: str, *, make: bool = False
) -> DataKey:
    """The subject's key, in the tenant's transaction; a new one if there is none and `make`.

    Raises ErasedError, UnknownSubjectError, and the errors of the key ring.
    """
    named = {"tenant": tenant_id, "subject": subject}
    aad = data_key_aad(tenant_id, subject)
    row = connection.execute(FIND, named).one_or_none()
    if row is None and make:
        wrapped = ring.wrap(sealed.new_key(), aad)
        connection.execute(MAKE, {**named, "wrapped": wrapped.data, "kek": wrapped.kek})
        row = connection.execute(FIND, named).one_or_none()
    if row is None:
        raise UnknownSubjectError(f"Nothing is known of the subject {subject}.")
    if row.wrapped is None:
        raise ErasedError(f"The subject {subject} was erased.")
    return DataKey(ring.unwrap(Wrapped(row.kek, bytes(row.wrapped)), aad), row.key_version)


def destroy(connection: Connection, tenant_id: int, subject: str) -> bool:
    """Destroy the subject's key, in the tenant's transaction; whether there was one."""
    return bool(connection.execute(DESTROY, {"tenant": tenant_id, "subject": subject}).rowcount)


def make_missing(
    connection: Connection, ring: KeyRing, tenant_id: int, subjects: Collection[str]
) -> None:
    """A key for each subject that has none yet, and never had one."""
    named = {"tenant": tenant_id, "subjects": list(subjects)}
    known = set(connection.execute(KNOWN, named).scalars())
    # In one order whoever makes them, so that two who make the same ones do not wait in a circle.
    for subject in sorted(set(subjects) - known):
        wrapped = ring.wrap(sealed.new_key(), data_key_aad(tenant_id, subject))
        row = {"tenant": tenant_id, "subject": subject}
        connection.execute(MAKE, {**row, "wrapped": wrapped.data, "kek": wrapped.kek})


def keys_of(
    connection: Connection,
    ring: KeyRing,
    tenant_id: int,
    subjects: Collection[str],
    *,
    hold: bool = False,
) -> dict[str, DataKey | dt.datetime]:
    """By subject its key, or when it was erased; those without any are left out.

    `hold`: nobody destroys them before the transaction ends, which may then not be a reading one.
    """
    found = connection.execute(
        FIND_HELD if hold else FIND_MANY, {"tenant": tenant_id, "subjects": list(subjects)}
    )
    return {
        row.subject: row.erased_at
        if row.wrapped is None
        else DataKey(
            ring.unwrap(Wrapped(row.kek, bytes(row.wrapped)), data_key_aad(tenant_id, row.subject)),
            row.key_version,
        )
        for row in found
    }
