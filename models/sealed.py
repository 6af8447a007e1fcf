"""Sealing with AES-256-GCM: who has not the key can neither read nor change what is sealed.

What is sealed is bound to its place by associated data (`aad`): a sealed value that was copied to
another tenant, row or column does not open there. The bytes: nonce (12), ciphertext, tag (16).
"""

import base64
import hashlib
import hmac
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

# AES-256: a key has 32 bytes.
KEY_BYTES = 32
# What NIST SP 800-38D section 8.2 recommends for GCM. With nonces by chance a key may seal 2**32
# values (section 8.3); a key of ours is one subject's or one installation's and never comes close.
NONCE_BYTES = 12
TAG_BYTES = 16
# Members of associated data are preceded by their length in so many bytes.
LENGTH_BYTES = 4
# Sets the key that nonces are derived with apart from the one that seals (RFC 5869 section 3.2).
SAME_NONCE = b"trident nonce of the same"


class TamperedError(Exception):
    """What was sealed has been changed, stands in another place, or was sealed with another key."""


def new_key() -> bytes:
    """A new key, by chance."""
    return secrets.token_bytes(KEY_BYTES)


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Sealed anew: no two are alike, even of the same plaintext."""
    return _sealed(key, secrets.token_bytes(NONCE_BYTES), plaintext, aad)


def seal_same(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Sealed so that the same input gives the same bytes; who reads them sees that it was the same.

    The nonce is an HMAC of all that is sealed, so that two different inputs share one only by an
    accident of 1 in 2**96.
    """
    whole = _with_length(aad) + plaintext
    nonce = hmac.digest(_nonce_key(key), whole, hashlib.sha256)[:NONCE_BYTES]
    return _sealed(key, nonce, plaintext, aad)


def open_sealed(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """The plaintext of `seal` or `seal_same`; raises TamperedError."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        raise TamperedError(f"What was sealed is cut: it has {len(sealed)} bytes.")
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], aad)
    except InvalidTag:
        raise TamperedError(
            "What was sealed does not open: it was changed, moved, or sealed with another key."
        ) from None


def unwritten(written: object) -> bytes:
    """What was sealed, as it stands in JSON: base64url; raises TamperedError."""
    try:
        return base64.b64decode(str(written), altchars=b"-_", validate=True)
    except ValueError:  # not base64, not ASCII
        raise TamperedError("What was sealed is no base64url.") from None


def aad(tenant_id: int, table: str, column: str, row: str, key_version: int) -> bytes:
    """Where a sealed value stands: each member with its length, so that no two places are alike."""
    members = (str(tenant_id), table, column, row, str(key_version))
    return b"".join(_with_length(member.encode()) for member in members)


def _sealed(key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    assert len(key) == KEY_BYTES, f"a key has {KEY_BYTES} bytes, not {len(key)}"
    return nonce + AESGCM(key).encrypt(nonce, plaintext, aad)


def _with_length(member: bytes) -> bytes:
    return len(member).to_bytes(LENGTH_BYTES) + member


def _nonce_key(key: bytes) -> bytes:
    """Derived each time, in 5 us: what would remember it would remember keys of the erased."""
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=SAME_NONCE).derive(key)
