"""Key-encryption keys as an installation names them: in the environment, in a file, or in AWS KMS.

Each is `ID:KEY`, the key being 32 bytes in base64; `openssl rand -base64 32` makes one. The first
is the current one, under which new keys are wrapped; the others only unwrap what is older.
"""

import base64
import binascii
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from models.sealed import KEY_BYTES, new_key

GIVEN = "TRIDENT_KEKS"
FILE = "TRIDENT_KEKS_FILE"
KMS = "TRIDENT_KMS_KEY"
SOURCES = (GIVEN, FILE, KMS)
NONE = f"is not set, nor is {FILE} or {KMS}: one of them must be, where keys are opened."
# No colon: an id of ours is never taken for the ARN of a KMS key.
ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
ID_BYTES = 4
# Who may read the file has every key, and who may write it chooses them. Its group may read it:
# orchestrators hand secrets out so.
OPEN_TO_OTHERS = stat.S_IRWXO | stat.S_IWGRP


class KeksError(Exception):
    """The key-encryption keys cannot be read; the message lists every fault and shows no key."""


@dataclass(frozen=True)
class KekSource:
    """Where the key-encryption keys are: exactly one of these is set, and `given` is secret."""

    given: str | None = None
    file: Path | None = None
    kms_key: str | None = None

    def __repr__(self) -> str:
        return f"KekSource({self.name})"

    @property
    def name(self) -> str:
        """How a person would look for it."""
        if self.file is not None:
            return str(self.file)
        return GIVEN if self.given is not None else f"{KMS} {self.kms_key}"


def source_of(environ: Mapping[str, str]) -> KekSource | None:
    """The source that the environment names, looked at, or None; raises KeksError.

    A process that opens no key is told of none.
    """
    named = [name for name in SOURCES if environ.get(name)]
    if not named:
        return None
    if len(named) > 1:
        raise KeksError(f"is one source too many: of {', '.join(named)} only one may be set")
    found = KekSource(
        given=environ.get(GIVEN) or None,
        file=Path(environ[FILE]).expanduser() if environ.get(FILE) else None,
        kms_key=environ.get(KMS) or None,
    )
    if found.kms_key is None:
        read(found)
    return found


def read(source: KekSource) -> dict[str, bytes]:
    """Keys by id, the current one first, of the environment or a file; raises KeksError."""
    if source.file is None:
        assert source.given is not None, "KMS shows no keys"
        return parse(source.given.split(","))
    try:
        mode = source.file.stat().st_mode
        if mode & OPEN_TO_OTHERS:
            raise KeksError(
                f"{source.file} is open to others than its owner and group (mode"
                f" {stat.S_IMODE(mode):04o}): chmod 600"
            )
        return parse(source.file.read_text().splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise KeksError(f"{source.file} cannot be read ({error})") from None


def parse(entries: list[str]) -> dict[str, bytes]:
    """Keys by id; an empty entry and one that begins with # are passed over. Raises KeksError."""
    keys: dict[str, bytes] = {}
    faults = []
    for number, entry in enumerate(entries, 1):
        if not entry.strip() or entry.lstrip().startswith("#"):
            continue
        kek, _, key = entry.strip().partition(":")
        fault = _fault_of(kek, key)
        if fault is None and kek in keys:
            fault = f"the id {kek} stands there twice"
        if fault is None:
            keys[kek] = base64.b64decode(key)
        else:
            faults.append(f"entry {number}: {fault}")
    if not keys and not faults:
        faults.append("there is no key")
    if faults:
        raise KeksError("; ".join(faults))
    return keys


def new_entry() -> str:
    """A new key-encryption key with a new id, as it stands in a file."""
    return f"kek-{secrets.token_hex(ID_BYTES)}:{base64.b64encode(new_key()).decode()}"


def _fault_of(kek: str, key: str) -> str | None:
    if not ID.fullmatch(kek):
        return "it does not begin with an id of letters, digits, dots, dashes and a colon"
    try:
        size = len(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError):
        return f"the key {kek} is not base64"
    if size != KEY_BYTES:
        return f"the key {kek} has {size} bytes, not {KEY_BYTES}"
    return None
