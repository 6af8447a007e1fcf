"""Tries to sign in, counted before they are looked at: parallel ones are counted one by one.

A person, and an address, has a few tries; each one more takes a longer delay, during which nothing
is looked at. Nobody is told of it: the answer is that of a wrong password.
"""

import hashlib
import hmac
from typing import NamedTuple

from sqlalchemy import Connection, Engine, text

from models.db import tenant_writing
from models.key_ring import KeyRing
from pipeline.identity.people import MAY_ACT
from pipeline.privacy.data_keys import key_of

# The installation itself, where a row is nobody's; tenants count from 1.
INSTALLATION = 0
ADDRESSES = "trident:addresses"
# People mistype; a machine that has five tries in 30 s and then one in 15 min finds nothing.
PERSON_FREE = 5
# A whole office signs in from one address.
ADDRESS_FREE = 20
FIRST_DELAY_S = 30
LONGEST_DELAY_S = 900
# An address belongs to somebody else tomorrow.
FORGET_H = 24

# A lock that ends later than any can was written while the database's clock was ahead: it counts no
# more than the clock that set it.
OPEN = """(locked_until IS NULL OR locked_until <= clock_timestamp()
            OR locked_until > clock_timestamp() + interval '1 second' * :longest)"""
# How long the next try must wait after this one, the failure of this number.
DELAY = """clock_timestamp() + interval '1 second'
         * least(:longest, :first * 2 ^ least(:number - :free, 20))"""
PERSON = text(f"""
    UPDATE people p SET failures = failures + 1,
           locked_until = CASE WHEN failures + 1 >= :free
                THEN {DELAY.replace(":number", "(failures + 1)")} END
     WHERE tenant_id = :tenant AND person_id = :person AND {MAY_ACT.format(people="p")}
       AND {OPEN}
    RETURNING password_hash
""")  # noqa: S608 - ours
FORGIVE = text("""
    UPDATE people SET failures = 0, locked_until = NULL
     WHERE tenant_id = :tenant AND person_id = :person
""")
TRIED = f"""CASE WHEN a.tried_at < clock_timestamp() - interval '{FORGET_H} hours'
                THEN 1 ELSE a.failures + 1 END"""
ADDRESS = text(f"""
    INSERT INTO sign_in_addresses AS a (address_hash, failures, tried_at)
    VALUES (:address, 1, clock_timestamp())
    ON CONFLICT (tenant_id, address_hash) DO UPDATE
       SET failures = {TRIED}, tried_at = clock_timestamp(),
           locked_until = CASE WHEN {TRIED} >= :free
                THEN {DELAY.replace(":number", f"({TRIED})")} END
     WHERE {OPEN.replace("locked_until", "a.locked_until")}
    RETURNING failures
""")  # noqa: S608 - ours
# One that succeeded was no failure; those before it stay, or an account of one's own would be a way
# to try others without end.
GIVE_BACK = text("""
    UPDATE sign_in_addresses SET failures = greatest(failures - 1, 0), locked_until = NULL
     WHERE address_hash = :address
""")
# Rows of addresses that were not heard of for a day go with the next address that is new; one that
# somebody else has locked is heard of just now.
FORGET = text(f"""
    DELETE FROM sign_in_addresses WHERE address_hash IN (
        SELECT address_hash FROM sign_in_addresses
         WHERE tried_at < clock_timestamp() - interval '{FORGET_H} hours' FOR UPDATE SKIP LOCKED)
""")  # noqa: S608 - ours


class Try(NamedTuple):
    """One that counts. `password_hash` is what it is looked at with, if there is anything."""

    password_hash: str | None


def try_person(connection: Connection, tenant_id: int, person_id: str) -> Try | None:
    """Count a try; None if the person is locked, disabled, restricted, or has no password."""
    asked = {"tenant": tenant_id, "person": person_id} | _delays(PERSON_FREE)
    row = connection.execute(PERSON, asked).one_or_none()
    return None if row is None else Try(row.password_hash)


def forgive(connection: Connection, tenant_id: int, person_id: str) -> None:
    """The person has proved who they are."""
    connection.execute(FORGIVE, {"tenant": tenant_id, "person": person_id})


def try_address(engine: Engine, ring: KeyRing, address: str) -> bytes | None:
    """Count a try, committed; the hash of the address, or None if it is locked."""
    with tenant_writing(INSTALLATION, engine) as connection:
        key = key_of(connection, ring, INSTALLATION, ADDRESSES, make=True).key
        hashed = hmac.digest(key, address.encode(), hashlib.sha256)
        failures = connection.execute(ADDRESS, {"address": hashed} | _delays(ADDRESS_FREE)).scalar()
        if failures == 1:
            connection.execute(FORGET)
    return None if failures is None else hashed


def give_back(engine: Engine, hashed: bytes) -> None:
    """The try of this address succeeded."""
    with tenant_writing(INSTALLATION, engine) as connection:
        connection.execute(GIVE_BACK, {"address": hashed})


def _delays(free: int) -> dict[str, int]:
    return {"free": free, "first": FIRST_DELAY_S, "longest": LONGEST_DELAY_S}
