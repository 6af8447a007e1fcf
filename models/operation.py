"""An operation's address: its id says where in which log it stands.

The id is a UUIDv8 (RFC 9562 section 5.8) of ledger (32 bits), position (40 bits) and 50 random
bits, spelled as a TypeID, `op_...`. It is stored with the row and compared on look-up, so it needs
no index, and knowing one id does not let anybody guess another.
"""

import secrets
from array import array
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from typeid import TypeID, base32

RANDOM_BITS = 50
# As they are drawn: in whole machine words, of which the upper bits are used.
WORD_BITS = 64
PREFIX = "op"
# The prefix, `_` and 26 characters. What is longer is nobody's id, and is not kept in memory.
SHOWN_LENGTH = len(PREFIX) + 1 + 26


class Address(NamedTuple):
    """Where an operation stands."""

    ledger_id: int
    position: int


def draw(count: int) -> list[int]:
    """The random bits of so many ids, by one call of the system for all of them."""
    drawn = secrets.randbits(WORD_BITS * count).to_bytes(WORD_BITS // 8 * count, "big")
    return [word >> (WORD_BITS - RANDOM_BITS) for word in array("Q", drawn)]


def make_id(ledger_id: int, position: int, drawn: int) -> UUID:
    """A new id for the operation at this position, with random bits of its own (`draw`)."""
    high, middle, low = position >> 24, (position >> 12) & 0xFFF, position & 0xFFF
    return UUID(
        int=ledger_id << 96
        | high << 80
        | 0x8 << 76  # version 8
        | middle << 64
        | 0b10 << 62  # variant of RFC 9562
        | low << RANDOM_BITS
        | drawn
    )


def address_of(id_: UUID) -> Address:
    """Where the operation with this id stands, if there is one."""
    value = id_.int
    high, middle = (value >> 80) & 0xFFFF, (value >> 64) & 0xFFF
    low = (value >> RANDOM_BITS) & 0xFFF
    return Address(value >> 96, high << 24 | middle << 12 | low)


def show_id(id_: UUID) -> str:
    """The id as clients see it: op_01k..."""
    return f"{PREFIX}_{base32.encode(id_.bytes)}"


def parse_id(shown: str) -> UUID | None:
    """The UUID behind `op_...`, or None where the text is no such id."""
    return _parsed(shown) if isinstance(shown, str) and len(shown) == SHOWN_LENGTH else None


# Who decides an operation names it, and several look it up: intake, load, decide and verify.
@lru_cache(maxsize=4_096)
def _parsed(shown: str) -> UUID | None:
    try:
        typeid = TypeID.from_string(shown)
    except Exception:  # noqa: BLE001 - the library raises several kinds for several faults
        return None
    return UUID(int=typeid.uuid.int) if typeid.prefix == PREFIX else None
