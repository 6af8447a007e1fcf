"""Sealing: what opens, and everything that does not."""

import itertools
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.sealed import (
    KEY_BYTES,
    NONCE_BYTES,
    TamperedError,
    aad,
    new_key,
    open_sealed,
    seal,
    seal_same,
)

KEY = bytes(range(KEY_BYTES))
PLACE = aad(1, "accounts", "name", "42", 1)


@given(st.binary(max_size=1_000), st.binary(max_size=100))
def test_what_was_sealed_opens(plaintext: bytes, place: bytes) -> None:
    """Either way of sealing gives the plaintext back, at its place."""
    for sealed in (seal(KEY, plaintext, place), seal_same(KEY, plaintext, place)):
        assert open_sealed(KEY, sealed, place) == plaintext
        assert len(sealed) == len(plaintext) + 28


def test_no_two_are_alike_unless_they_shall_be() -> None:
    """`seal` gives other bytes each time; `seal_same` the same for the same, and no others."""
    assert len({seal(KEY, b"Ada", PLACE) for _ in range(100)}) == 100
    assert seal_same(KEY, b"Ada", PLACE) == seal_same(KEY, b"Ada", PLACE)
    others = [
        seal_same(KEY, b"Ada", PLACE),
        seal_same(KEY, b"Adb", PLACE),
        seal_same(KEY, b"Ada", aad(2, "accounts", "name", "42", 1)),
        seal_same(new_key(), b"Ada", PLACE),
        # The same bytes in a row, divided elsewhere between place and plaintext.
        seal_same(KEY, PLACE[-1:] + b"Ada", PLACE[:-1]),
    ]
    nonces = {sealed[:NONCE_BYTES] for sealed in others}
    assert len(nonces) == len(others)


def test_no_key_is_remembered() -> None:
    """What somebody's data was sealed with is nowhere afterwards: it may be destroyed next."""
    key = new_key()
    held = sys.getrefcount(key)
    for sealed in (seal(key, b"Ada", PLACE), seal_same(key, b"Ada", PLACE)):
        open_sealed(key, sealed, PLACE)
    assert sys.getrefcount(key) == held


def test_every_bit_counts() -> None:
    """A sealed value with any one bit turned, or cut anywhere, does not open."""
    sealed = seal(KEY, b"Ada Lovelace", PLACE)
    for number in range(len(sealed) * 8):
        turned = bytearray(sealed)
        turned[number // 8] ^= 1 << number % 8
        with pytest.raises(TamperedError):
            open_sealed(KEY, bytes(turned), PLACE)
    for end in range(len(sealed)):
        with pytest.raises(TamperedError):
            open_sealed(KEY, sealed[:end], PLACE)


@pytest.mark.parametrize(
    "elsewhere",
    [
        (2, "accounts", "name", "42", 1),
        (1, "people", "name", "42", 1),
        (1, "accounts", "email", "42", 1),
        (1, "accounts", "name", "43", 1),
        (1, "accounts", "name", "42", 2),
    ],
)
def test_what_was_moved_does_not_open(elsewhere: tuple[int, str, str, str, int]) -> None:
    """Another tenant, table, column, row or version: a sealed value is worth nothing there."""
    sealed = seal(KEY, b"Ada", PLACE)
    with pytest.raises(TamperedError):
        open_sealed(KEY, sealed, aad(*elsewhere))


def test_another_key_does_not_open() -> None:
    """Nor does any other key."""
    with pytest.raises(TamperedError):
        open_sealed(new_key(), seal(KEY, b"Ada", PLACE), PLACE)


def test_no_two_places_are_alike() -> None:
    """Letters that wander from one member to the next make another place."""
    words = ("", "a", "ab", "b", "aab")
    made = {
        aad(tenant, table, column, row, version)
        for tenant, version in itertools.product((1, 11), (1, 11))
        for table, column, row in itertools.product(words, repeat=3)
    }
    assert len(made) == 4 * len(words) ** 3
