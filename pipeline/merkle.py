"""Merkle trees and block hashes: the arithmetic of the audit chain, and nothing else.

The tree is that of RFC 6962 section 2.1: inner nodes are SHA-256(0x01 || left || right), leaves are
prefixed 0x00, and a node without a neighbour moves up as it is.
"""

import hashlib
from collections.abc import Sequence

GENESIS = bytes(32)
BLOCK_PREFIX = b"trident-block-1"


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes (32 bytes each, at least one)."""
    level = list(leaves)
    while len(level) > 1:
        odd = level.pop() if len(level) % 2 else None
        level = [
            hashlib.sha256(b"\x01" + level[i] + level[i + 1]).digest()
            for i in range(0, len(level), 2)
        ]
        if odd is not None:
            level.append(odd)
    return level[0]


def block_hash(
    tenant_id: int,
    ledger_id: int,
    height: int,
    first: int,
    last: int,
    previous: bytes,
    tree: bytes,
) -> bytes:
    """SHA-256 over the block's fixed-width fields; integers are 8 bytes, big-endian."""
    numbers = (tenant_id, ledger_id, height, first, last, last - first + 1)
    fields = b"".join(number.to_bytes(8, "big") for number in numbers)
    return hashlib.sha256(BLOCK_PREFIX + fields + previous + tree).digest()
