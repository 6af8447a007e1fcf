"""Passwords: which are good enough, and their hashes (argon2id, RFC 9106)."""

import threading
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from pipeline.identity.errors import IdentityError
from pipeline.identity.guessing import guesses

MIN_CHARACTERS = 12
MAX_CHARACTERS = 128
# Ten thousand million guesses, as a power of ten; zxcvbn calls that "very unguessable".
GUESSES_MIN = 10.0
# So many for what is left without the digits and marks at its ends: they are added to a word that
# is easily guessed, and are tried with it.
CORE_MIN = 4.0
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


@contextmanager
def place() -> Iterator[None]:
    """A place among those whose password is looked at or judged; raises IdentityError."""
    if not _places.acquire(blocking=False):
        raise IdentityError("sign_in_busy", "Try again in a second.")
    try:
        yield
    finally:
        _places.release()


def normal(password: str) -> str:
    """As it is hashed: the same however a keyboard composes its letters (NFC)."""
    return unicodedata.normalize("NFC", password)


def check(password: str, own: Iterable[str], known: Iterable[str] = ()) -> None:
    """Raise WeakPasswordError unless it is good enough, after at most some 0.15 s of a core.

    `own` are its owner's e-mail address and name, which it does not contain; `known` is what else
    is guessed first.
    """
    chosen, own = normal(password), [*own]
    if not MIN_CHARACTERS <= len(chosen) <= MAX_CHARACTERS:
        raise WeakPasswordError(
            f"A password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters;"
            f" this one has {len(chosen)}."
        )
    if any(len(word) >= KNOWN_MIN and word.casefold() in chosen.casefold() for word in own):
        raise WeakPasswordError("A password does not contain its owner's e-mail address or name.")
    withstands = guesses(chosen, [*own, *known])
    if withstands.whole < GUESSES_MIN or withstands.core < CORE_MIN:
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
