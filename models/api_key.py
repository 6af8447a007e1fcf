"""How an API key is spelled: `tr_live_`, and in base62 whose, which one, its secret, a checksum.

    tenant 4 bytes · key 8 bytes · secret 32 random bytes · CRC-32 of all that

So a key leads to its row without a search over tenants, and what was mistyped or made up is refused
without asking the database. Programs that look for leaked keys know ours by the beginning.
"""

import hashlib
import secrets
import string
import zlib
from typing import NamedTuple

PREFIX = "tr_live_"
# What the log and events call a principal that asks with a key: `key:ak_…`.
SUBJECT = "key:"
ID_PREFIX = "ak_"

TENANT_BYTES = 4
KEY_BYTES = 8
SECRET_BYTES = 32
CHECK_BYTES = 4
BYTES = TENANT_BYTES + KEY_BYTES + SECRET_BYTES + CHECK_BYTES

# Digits first: as GitHub's keys, and a double click takes all of it.
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
VALUE_OF = {letter: value for value, letter in enumerate(ALPHABET)}
# 62^65 > 2^384 and 62^11 > 2^64: every key, and every id, is spelled in so many letters.
LENGTH = 65
ID_LENGTH = 11
# Postgres' integer and bigint.
TENANT_MAX = 2**31 - 1
KEY_ID_MAX = 2**63 - 1


class Spelled(NamedTuple):
    """Which key a text names. Whether it is that key, its hash says."""

    tenant_id: int
    key_id: int


def new_id() -> int:
    """A number for a key."""
    return secrets.randbelow(KEY_ID_MAX) + 1


def new_key(tenant_id: int, key_id: int) -> str:
    """A key with a new secret. Nobody can show it again."""
    body = (
        tenant_id.to_bytes(TENANT_BYTES)
        + key_id.to_bytes(KEY_BYTES)
        + secrets.token_bytes(SECRET_BYTES)
    )
    whole = body + zlib.crc32(body).to_bytes(CHECK_BYTES)
    return PREFIX + _spell(int.from_bytes(whole), LENGTH)


def read_key(text: str) -> Spelled | None:
    """Whose key it is, and which; None if it is no key at all."""
    number = _value(text.removeprefix(PREFIX), LENGTH) if text.startswith(PREFIX) else None
    if number is None or number >= 1 << (8 * BYTES):
        return None
    whole = number.to_bytes(BYTES)
    body, check = whole[:-CHECK_BYTES], whole[-CHECK_BYTES:]
    tenant_id = int.from_bytes(body[:TENANT_BYTES])
    key_id = int.from_bytes(body[TENANT_BYTES : TENANT_BYTES + KEY_BYTES])
    fine = zlib.crc32(body).to_bytes(CHECK_BYTES) == check
    if not fine or not 0 < tenant_id <= TENANT_MAX or not 0 < key_id <= KEY_ID_MAX:
        return None
    return Spelled(tenant_id, key_id)


def hash_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("ascii")).digest()


def show_id(key_id: int) -> str:
    """Its name in addresses, lists and events."""
    return ID_PREFIX + _spell(key_id, ID_LENGTH)


def parse_id(text: str) -> int | None:
    """The number behind such a name; None if it is none."""
    number = _value(text.removeprefix(ID_PREFIX), ID_LENGTH) if text.startswith(ID_PREFIX) else None
    return number if number is not None and 0 < number <= KEY_ID_MAX else None


def subject_of(key_id: int) -> str:
    """Who it is that asks with this key."""
    return SUBJECT + show_id(key_id)


def _spell(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, value = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[value])
    assert number == 0, "a number of more letters than there is room for"
    return "".join(reversed(letters))


def _value(text: str, length: int) -> int | None:
    if len(text) != length:
        return None
    number = 0
    for letter in text:
        value = VALUE_OF.get(letter)
        if value is None:
            return None
        number = number * len(ALPHABET) + value
    return number
