"""The key ring: wraps keys under a key-encryption key (KEK), and unwraps them again.

KeyRingError ──────── SettingsError, for a person to mend
└── UnknownKekError ─ a key is wrapped under a KEK that the ring does not have
TamperedError (models/sealed.py) ─ what was wrapped was changed or moved
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import structlog

from models import keks
from models.keks import KeksError, KekSource
from models.sealed import TamperedError, open_sealed, seal
from models.settings import SettingsError, settings

# A call to KMS takes some 10 ms. What waits for it is a log-in or a rotation, never a posting.
KMS_TIMEOUT_S = 3
KMS_ATTEMPTS = 2
# A request of a thousand subjects would wait 10 s for one call after the other; boto3 keeps ten
# connections, and a few are for others.
KMS_AT_ONCE = 8
# Who comes back within a minute does not wait for KMS again, and nobody rests on it for longer.
REMEMBER_S = 60.0
# Some 300 bytes each.
REMEMBERED_MAX = 10_000

log = structlog.get_logger("trident.keys")


class KeyRingError(SettingsError):
    """The key-encryption keys cannot be used; the message says why."""


class UnknownKekError(KeyRingError):
    """A key is wrapped under a key-encryption key that is not at hand."""

    def __init__(self, kek: str, source: KekSource) -> None:
        super().__init__(
            f"A key of this installation is wrapped under the key-encryption key {kek}, which"
            f" {source.name} does not have. Put it back there, behind the current one."
        )


class Wrapped(NamedTuple):
    """A key that is wrapped under the KEK of this id."""

    kek: str
    data: bytes


class KeyRing(Protocol):
    """What wraps and unwraps keys. Safe for threads."""

    @property
    def current(self) -> str:
        """The id of the KEK under which new keys are wrapped."""

    def has(self, kek: str) -> bool:
        """Whether what is wrapped under the KEK of this id can be unwrapped."""

    def wrap(self, key: bytes, aad: bytes) -> Wrapped:
        """Wrap under the current KEK, bound to the place that `aad` names."""

    def unwrap(self, wrapped: Wrapped, aad: bytes) -> bytes:
        """The key; raises UnknownKekError, TamperedError."""

    @property
    def at_once(self) -> int:
        """How many calls are worth making at the same time: 1 where none is waited for."""


class LocalRing:
    """KEKs of the environment or of a file. A file that was changed is read again."""

    at_once = 1

    def __init__(self, source: KekSource) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._seen = _mark(source.file)
        self._keys = _read(source)

    @property
    def current(self) -> str:
        """The first one. A file is looked at: what is wrapped under a KEK that has just been taken
        out of it could not be unwrapped after the next start."""
        self._look()
        return next(iter(self._keys))

    def has(self, kek: str) -> bool:
        """Whether it is one of them."""
        self._look()
        return kek in self._keys

    def wrap(self, key: bytes, aad: bytes) -> Wrapped:
        """Wrap under the current KEK."""
        self._look()
        kek, secret = next(iter(self._keys.items()))
        return Wrapped(kek, seal(secret, key, aad))

    def unwrap(self, wrapped: Wrapped, aad: bytes) -> bytes:
        """The key; raises UnknownKekError, TamperedError."""
        secret = self._keys.get(wrapped.kek)
        if secret is None:
            self._look()
            secret = self._keys.get(wrapped.kek)
        if secret is None:
            raise UnknownKekError(wrapped.kek, self._source)
        return open_sealed(secret, wrapped.data, aad)

    def _look(self) -> None:
        """Read the file again if it was changed; one that is broken is left until it is mended."""
        if self._source.file is None:
            return
        with self._lock:
            mark = _mark(self._source.file)
            if mark == self._seen:
                return
            try:
                self._keys = _read(self._source)
            except KeyRingError as error:
                log.error("keks_unreadable", file=self._source.name, reason=str(error))
                return
            self._seen = mark


class _Memory:
    """Keys that were unwrapped, by what they were unwrapped from. Safe for threads.

    Whoever looks has the wrapped key, fresh from its row. One that was destroyed is not there any
    more and one that was wrapped anew is another, so what is kept for them is never found.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[Wrapped, bytes], tuple[float, bytes]] = OrderedDict()

    def find(self, wrapped: Wrapped, aad: bytes) -> bytes | None:
        """The key, if it was kept a short while ago."""
        with self._lock:
            self._forget()
            found = self._kept.get((wrapped, aad))
            return None if found is None else found[1]

    def keep(self, wrapped: Wrapped, aad: bytes, key: bytes) -> None:
        """Keep it for a while."""
        with self._lock:
            self._kept.pop((wrapped, aad), None)
            self._kept[wrapped, aad] = time.monotonic(), key
            self._forget()

    def _forget(self) -> None:
        """Those that are too old, or too many; they stand in the order in which they came."""
        kept_since = time.monotonic() - REMEMBER_S
        while self._kept:
            since, _ = next(iter(self._kept.values()))
            if since >= kept_since and len(self._kept) <= REMEMBERED_MAX:
                return
            self._kept.popitem(last=False)


class KmsRing:
    """One KEK in AWS KMS, which never leaves it; credentials as boto3 finds them."""

    at_once = KMS_AT_ONCE

    def __init__(self, source: KekSource) -> None:
        # Imported here: 0.3 s and 30 MB that only installations with KMS pay.
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415

        waits = Config(
            connect_timeout=KMS_TIMEOUT_S,
            read_timeout=KMS_TIMEOUT_S,
            retries={"total_max_attempts": KMS_ATTEMPTS},
        )
        self._source = source
        self._errors = (BotoCoreError, ClientError)
        try:
            self._client: Any = boto3.client("kms", config=waits)
        except self._errors as error:
            raise KeyRingError(f"AWS KMS cannot be used: {error}") from None
        self._lock = threading.Lock()
        self._arn: str | None = None
        self._memory = _Memory()

    @property
    def current(self) -> str:
        """The key's ARN: an alias may come to mean another key. Raises KeyRingError."""
        with self._lock:
            if self._arn is None:
                found = self._ask("describe_key", KeyId=self._source.kms_key)
                self._arn = str(found["KeyMetadata"]["Arn"])
            return self._arn

    def has(self, kek: str) -> bool:
        """Whether it is one of KMS, which then says itself whether we may use it."""
        return kek.startswith("arn:")

    def wrap(self, key: bytes, aad: bytes) -> Wrapped:
        """Wrap under the KMS key; raises KeyRingError."""
        kek = self.current
        found = self._ask("encrypt", KeyId=kek, Plaintext=key, EncryptionContext=_context(aad))
        wrapped = Wrapped(kek, bytes(found["CiphertextBlob"]))
        self._memory.keep(wrapped, aad, key)
        return wrapped

    def unwrap(self, wrapped: Wrapped, aad: bytes) -> bytes:
        """The key; also of a KMS key that was current before. Raises KeyRingError and others."""
        if not self.has(wrapped.kek):
            raise UnknownKekError(wrapped.kek, self._source)
        key = self._memory.find(wrapped, aad)
        if key is None:
            found = self._ask(
                "decrypt",
                KeyId=wrapped.kek,
                CiphertextBlob=wrapped.data,
                EncryptionContext=_context(aad),
            )
            key = bytes(found["Plaintext"])
            self._memory.keep(wrapped, aad, key)
        return key

    def _ask(self, call: str, **request: Any) -> dict[str, Any]:
        try:
            return dict(getattr(self._client, call)(**request))
        except self._errors as error:
            answer: Any = getattr(error, "response", {})
            code = answer.get("Error", {}).get("Code")
            if code == "InvalidCiphertextException":
                raise TamperedError(
                    "AWS KMS does not unwrap a key: it was changed or moved."
                ) from None
            if code == "NotFoundException" and call == "decrypt":  # deleted, or of another account
                raise UnknownKekError(request["KeyId"], self._source) from None
            raise KeyRingError(f"AWS KMS does not {call}: {error}") from None


def ring_of(source: KekSource) -> KeyRing:
    """The ring of these KEKs; raises KeyRingError."""
    return LocalRing(source) if source.kms_key is None else KmsRing(source)


def named_source() -> KekSource:
    """Where the key-encryption keys are; raises SettingsError in a process told of none."""
    named = settings().keks
    if named is None:
        raise KeyRingError(f"{keks.GIVEN} {keks.NONE}")
    return named


@lru_cache
def key_ring() -> KeyRing:
    """The ring of this installation; raises SettingsError."""
    return ring_of(named_source())


def _read(source: KekSource) -> dict[str, bytes]:
    try:
        return keks.read(source)
    except KeksError as error:
        raise KeyRingError(f"The key-encryption keys cannot be used: {error}.") from None


def _mark(file: Path | None) -> tuple[int, int, int] | None:
    """What changes with a file's content; None of one that is not there."""
    try:
        found = os.stat(file) if file is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


def _context(aad: bytes) -> dict[str, str]:
    """What KMS binds the key to. It stands in AWS's own log, so it tells nobody anything."""
    return {"trident": hashlib.sha256(aad).hexdigest()}
