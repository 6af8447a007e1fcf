"""A key for each subject: what is personal is sealed under it, and erased with it.

A subject is whom data is about. Its key is wrapped under the installation's key-encryption key,
which may lie in AWS KMS: so keys are wrapped and unwrapped before their rows are held, and nobody
waits for KMS behind a lock. Whether a key was destroyed is what its row says, each time.
"""

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, Row, Transaction, text

from models import sealed
from models.key_ring import KeyRing, Wrapped

FIND = text("""
    SELECT subject, key_version, wrapped, kek, erased_at FROM data_keys
     WHERE tenant_id = :tenant AND subject = ANY(:subjects) ORDER BY subject
""")
# Behind FOR SHARE no key is destroyed before what is sealed under it is committed.
HOLD = text("""
    SELECT subject, erased_at FROM data_keys
     WHERE tenant_id = :tenant AND subject = ANY(:subjects) ORDER BY subject FOR SHARE
""")
# Whoever comes second finds the key of whoever came first. In one order whoever makes them, so that
# two who make the same ones do not wait in a circle.
MAKE = text("""
    INSERT INTO data_keys (tenant_id, subject, wrapped, kek)
    SELECT :tenant, subject, wrapped, kek
      FROM unnest(:subjects, CAST(:wrapped AS bytea[]), :keks) AS new (subject, wrapped, kek)
     ORDER BY subject
    ON CONFLICT (tenant_id, subject) DO NOTHING
""")
DESTROY = text("""
    UPDATE data_keys SET wrapped = NULL, kek = NULL, erased_at = clock_timestamp()
     WHERE tenant_id = :tenant AND subject = :subject AND erased_at IS NULL
""")

Given = TypeVar("Given")
Made = TypeVar("Made")


class DataKey(NamedTuple):
    """The key itself, and its version, which what it seals is bound to."""

    key: bytes
    version: int


# What a transaction has opened stays open until it ends: nobody asks KMS again behind a lock.
_opened: WeakKeyDictionary[Transaction, dict[tuple[int, str], DataKey]] = WeakKeyDictionary()


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
    """The subject's key, held in the tenant's writing transaction; a new one if there is none and
    `make`.

    Raises ErasedError, UnknownSubjectError, and the errors of the key ring.
    """
    if make:
        make_missing(connection, ring, tenant_id, [subject])
    key = keys_of(connection, ring, tenant_id, [subject], hold=True).get(subject)
    if key is None:
        raise UnknownSubjectError(f"Nothing is known of the subject {subject}.")
    if not isinstance(key, DataKey):
        raise ErasedError(f"The subject {subject} was erased.")
    return key


def destroy(connection: Connection, tenant_id: int, subject: str) -> bool:
    """Destroy the subject's key, in the tenant's transaction; whether there was one."""
    return bool(connection.execute(DESTROY, {"tenant": tenant_id, "subject": subject}).rowcount)


def make_missing(
    connection: Connection, ring: KeyRing, tenant_id: int, subjects: Collection[str]
) -> None:
    """A key for each subject that has none yet, and never had one.

    Those that there are are opened first: who names a new one, too, waits for what is made here.
    """
    missing = list(set(subjects) - keys_of(connection, ring, tenant_id, subjects).keys())
    if not missing:
        return
    made = _each(
        ring, lambda one: ring.wrap(sealed.new_key(), data_key_aad(tenant_id, one)), missing
    )
    connection.execute(
        MAKE,
        {
            "tenant": tenant_id,
            "subjects": missing,
            "wrapped": [one.data for one in made],
            "keks": [one.kek for one in made],
        },
    )


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
    named = {"tenant": tenant_id, "subjects": list(subjects)}
    rows = connection.execute(FIND, named).all()
    transaction = connection.get_transaction()
    assert transaction is not None, "a statement begins one"
    opened = _opened.setdefault(transaction, {})
    keys = _each(ring, lambda row: _unwrapped(ring, tenant_id, row, opened), rows)
    found = {row.subject: key for row, key in zip(rows, keys, strict=True)}
    if hold:
        # A key never becomes another one: that it was wrapped anew meanwhile changes nothing.
        held = connection.execute(HOLD, {"tenant": tenant_id, "subjects": list(found)})
        found |= {row.subject: row.erased_at for row in held if row.erased_at is not None}
    return found


def _unwrapped(
    ring: KeyRing, tenant_id: int, row: Row[Any], opened: dict[tuple[int, str], DataKey]
) -> DataKey | dt.datetime:
    if row.wrapped is None:
        erased_at: dt.datetime = row.erased_at
        return erased_at
    key = opened.get((tenant_id, row.subject))
    if key is None:
        aad = data_key_aad(tenant_id, row.subject)
        key = DataKey(ring.unwrap(Wrapped(row.kek, bytes(row.wrapped)), aad), row.key_version)
        opened[tenant_id, row.subject] = key
    return key


def _each(ring: KeyRing, ask: Callable[[Given], Made], given: Sequence[Given]) -> list[Made]:
    """What is asked of the ring about each, several at a time where each call is waited for."""
    if ring.at_once == 1 or len(given) < 2:  # noqa: PLR2004 - one alone needs no threads
        return [ask(one) for one in given]
    with ThreadPoolExecutor(min(ring.at_once, len(given))) as pool:
        return list(pool.map(ask, given))
