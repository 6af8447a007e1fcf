"""Codes: what can be searched for as numbers, and the buckets in which a segment keeps them.

    code     27 to 32 bits: the bucket above, the lower 20 bits are the key within it
    place    32 bits of a bucket's row: key (20 bits), then offset within the segment (12 bits)

A term (a word, a member of metadata, a kind, a currency) has a hash for a code. Amounts have codes
in their own order, so that a range of amounts is a range of codes. Different terms, and amounts
above 16 million that are nearly equal, may share a code: whoever finds one there looks it up in the
log.

A code that stands at one of sixteen positions of a segment, or more, is dense: the index says only
that it is there, because the log shows a page of it as fast. So what all operations have in common
costs four bytes for a segment, and what they have for themselves four bytes each.

An operation that says more than TERMS_MAX things, a group or a journal of a thousand legs, has the
one code WIDE, which is looked for in every search.
"""

import struct
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

OFFSET_BITS = 12
# Positions of a segment. The end of the log is not indexed until it fills one, and is looked
# through instead: 10 ms at the most.
SEGMENT = 1 << OFFSET_BITS
KEY_BITS = 20
KEY_MAX = (1 << KEY_BITS) - 1
PLACE_BITS = KEY_BITS + OFFSET_BITS
PLACE_MAX = (1 << PLACE_BITS) - 1
# 128 buckets of hashes: with two terms of its own in each operation a bucket is 250 bytes.
TERM_BITS = 27
HASH_BITS = 32
# Amounts come behind them: eight buckets for each power of two, which is few enough to read and
# fine enough not to read the others.
AMOUNTS = 1 << TERM_BITS
AMOUNT_BITS = 23
# Behind all amounts: operations that say too much to be indexed may be whatever is searched.
WIDE = 1 << 31
# Every bucket that a segment may have: of terms, of amounts below 2^63, and that of WIDE.
AMOUNT_BITS_MAX = 63
BUCKETS = (
    *range((AMOUNTS + (AMOUNT_BITS_MAX << AMOUNT_BITS)) >> KEY_BITS),
    WIDE >> KEY_BITS,
)
DENSE = SEGMENT // 16
EVERYWHERE = range(SEGMENT)
TERMS_MAX = 200

# How long the beginnings of words are by which words that begin alike are found.
BEGINNING = 3


class Codes(NamedTuple):
    """The codes from `first` to `last`: those of one term, or of a range of amounts."""

    first: int
    last: int

    @property
    def buckets(self) -> range:
        """The buckets in which they are."""
        return range(self.first >> KEY_BITS, (self.last >> KEY_BITS) + 1)

    def keys_in(self, bucket: int) -> tuple[int, int]:
        """The first and the last key that belong to them in the bucket."""
        low = self.first & KEY_MAX if bucket == self.first >> KEY_BITS else 0
        high = self.last & KEY_MAX if bucket == self.last >> KEY_BITS else KEY_MAX
        return low, high


EVERY_SEARCH = Codes(WIDE, WIDE)


class Row(NamedTuple):
    """A bucket of a segment, as it is stored."""

    bucket: int
    places: bytes
    dense: bytes


def code_of(term: str) -> int:
    """The code of a term."""
    hashed = zlib.crc32(term.encode("utf-8", "surrogatepass"))
    return hashed >> (HASH_BITS - TERM_BITS)


def code_of_amount(amount: int) -> int:
    """The code of a positive amount: its highest bit and the 23 bits below."""
    highest = amount.bit_length() - 1
    shift = highest - AMOUNT_BITS
    digits = amount >> shift if shift > 0 else amount << -shift
    return AMOUNTS + (highest << AMOUNT_BITS) + (digits - (1 << AMOUNT_BITS))


def kind_term(kind: str) -> str:
    """Operations of a kind."""
    return f"kind {kind}"


def currency_term(currency: str) -> str:
    """Operations that name a currency or have a posting in it."""
    return f"currency {currency}"


def word_term(word: str) -> str:
    """Operations with this word, which is folded."""
    return f"word {word}"


def beginning_term(word: str) -> str:
    """Operations with a word that begins as this one, which has BEGINNING letters or more."""
    return f"beginning {word[:BEGINNING]}"


def member_term(name: str, value: str) -> str:
    """Operations with this member of metadata."""
    return f"metadata {name}\0{value}"


def pack(found: Iterable[int], dense: Iterable[int]) -> list[Row]:
    """The rows of a segment: from its places, as `places` makes them, and from
    the codes that are dense in it."""
    ordered = sorted(set(found))
    codes = sorted(set(dense))
    buckets = {code >> KEY_BITS for code in codes}
    buckets.update([one >> PLACE_BITS for one in ordered])
    rows = []
    for bucket in sorted(buckets):
        here = _between(ordered, bucket << PLACE_BITS, (bucket + 1) << PLACE_BITS)
        keys = _between(codes, bucket << KEY_BITS, (bucket + 1) << KEY_BITS)
        rows.append(
            Row(
                bucket,
                _packed([one & PLACE_MAX for one in here]),
                _packed([one & KEY_MAX for one in keys]),
            )
        )
    return rows


def places(code: int, offsets: Iterable[int]) -> list[int]:
    """A code at each of the offsets, in one number: the bucket, and below it what its row has."""
    above = code << OFFSET_BITS
    return [above | offset for offset in offsets]


def offsets_in(row: Row, wanted: Codes) -> Sequence[int]:
    """The offsets at which the row has one of the codes; EVERYWHERE where one is dense."""
    low, high = wanted.keys_in(row.bucket)
    if row.dense:
        dense = _unpacked(row.dense)
        if bisect_left(dense, low) < bisect_right(dense, high):
            return EVERYWHERE
    places = _unpacked(row.places)
    begin = bisect_left(places, low << OFFSET_BITS)
    end = bisect_left(places, (high + 1) << OFFSET_BITS)
    return [place & (SEGMENT - 1) for place in places[begin:end]]


def _between(ordered: Sequence[int], low: int, end: int) -> Sequence[int]:
    return ordered[bisect_left(ordered, low) : bisect_left(ordered, end)]


def _packed(values: Sequence[int]) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _unpacked(packed: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(packed) // 4}I", packed)


def segment_of(position: int) -> int:
    """The segment in which a position stands."""
    return (position - 1) >> OFFSET_BITS


def positions_of(segment: int) -> range:
    """The positions of a segment."""
    return range(segment * SEGMENT + 1, (segment + 1) * SEGMENT + 1)
