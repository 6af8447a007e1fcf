"""Passwords: which are good enough, and their hashes (argon2id, RFC 9106)."""

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from zxcvbn import zxcvbn

MIN_CHARACTERS = 12
MAX_CHARACTERS = 128
# Of zxcvbn's scale of 0 to 4: "safely unguessable, moderate protection from offline attack". It
# knows 30,000 passwords of breaches, and names, words, dates, keyboards and repetitions.
SCORE_MIN = 3
# zxcvbn takes time that grows with the square of the length: 20 ms for so many characters.
JUDGED_CHARACTERS = 64
# A name of two letters stands in many a good password.
KNOWN_MIN = 4
# RFC 9106's second recommendation: 64 MiB, three passes, four lanes; 0.1 to 0.25 s of a core.
PROFILE = RFC_9106_LOW_MEMORY
# So many are hashed at a time in one process: 128 MiB, and two cores are not exceeded.
AT_A_TIME = 2
# So many more requests may wait for their turn, some two seconds: they hold threads of the server,
# which has other things to do.
WAITING_MAX = 16

_hasher = PasswordHasher.from_parameters(PROFILE)
_hashing = threading.BoundedSemaphore(AT_A_TIME)
_places = threading.BoundedSemaphore(AT_A_TIME + WAITING_MAX)


class WeakPasswordError(ValueError):
    """The password will not do; the message says why."""


class BusyError(Exception):
    """Too many passwords are being hashed; try again in a second."""


@contextmanager
def place() -> Iterator[None]:
    """A place among those who wait for a hash; raises BusyError."""
    if not _places.acquire(blocking=False):
        raise BusyError
    try:
        yield
    finally:
        _places.release()


def normal(password: str) -> str:
    """As it is hashed: the same however a keyboard composes its letters (NFC)."""
    return unicodedata.normalize("NFC", password)


def check(password: str, *known: str) -> None:
    """Raise WeakPasswordError unless it is good enough. `known`: what anybody knows of its owner,
    the e-mail address first of all."""
    chosen = normal(password)
    if not MIN_CHARACTERS <= len(chosen) <= MAX_CHARACTERS:
        raise WeakPasswordError(
            f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters;"
            f" this one has {len(chosen)}."
        )
    if any(len(word) >= KNOWN_MIN and word.casefold() in chosen.casefold() for word in known):
        raise WeakPasswordError("A password does not contain its owner's e-mail address or name.")
    words = [part for word in known for part in word.casefold().replace("@", ".").split(".")]
    if zxcvbn(chosen[:JUDGED_CHARACTERS], [*words, *known, "trident"])["score"] < SCORE_MIN:
        raise WeakPasswordError(
            "This password is among those that are tried first: common, or made of common words,"
            " names, dates or repetitions. Four or five words by chance are a good one."
        )


def hashed(password: str) -> str:
    """The hash to be kept, with its parameters and its salt."""
    with _hashing:
        return _hasher.hash(normal(password))


def matches(kept: str | None, password: str) -> bool:
    """Whether it is the password. With no hash it takes the same time, and it is not."""
    with _hashing:
        try:
            _hasher.verify(kept or _nobodys(), normal(password)[: MAX_CHARACTERS + 1])
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None


def outdated(kept: str) -> bool:
    """Whether it was hashed with other parameters than are used today."""
    return _hasher.check_needs_rehash(kept)


@lru_cache
def _nobodys() -> str:
    """What is verified for people that there are not."""
    return _hasher.hash("nobody's password")
