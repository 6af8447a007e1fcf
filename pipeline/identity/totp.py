"""The second factor: codes by time (TOTP, RFC 6238), and codes for whoever has lost the device."""

import base64
import hashlib
import hmac
import secrets
import time
from urllib.parse import quote, urlencode

# What every authenticator app takes: SHA-1, six digits, thirty seconds (RFC 6238 section 4).
SECRET_BYTES = 20
DIGITS = 6
STEP_S = 30
# A device's clock may be a step off either way (section 5.2).
DRIFT_STEPS = 1
# Each works once; ten last until somebody comes to a device again.
RECOVERY_CODES = 10
# 56 bits: with the lock-out nobody guesses one, and it can be typed.
RECOVERY_BYTES = 7


def new_secret() -> bytes:
    """A secret for one device, by chance."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """The secret as people type it."""
    return base64.b32encode(secret).decode()


def address(secret: bytes, tenant: str, email: str) -> str:
    """What the QR code of a new device holds."""
    label = quote(f"Trident:{tenant}/{email}")
    return f"otpauth://totp/{label}?" + urlencode({"secret": shown(secret), "issuer": "Trident"})


def code_at(secret: bytes, step: int) -> str:
    """The code of a step (RFC 4226 section 5.3)."""
    digest = hmac.digest(secret, step.to_bytes(8), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4]) & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def step_of(secret: bytes, code: str, now: float | None = None) -> int | None:
    """The step whose code it is, if that is now; the latest one first."""
    step = int((time.time() if now is None else now) // STEP_S)
    found = None
    for one in range(step - DRIFT_STEPS, step + DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(secret, one).encode(), code.encode()):
            found = one
    return found


def new_recovery_codes() -> list[str]:
    """Codes to be shown once and kept on paper."""
    return [
        base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().rstrip("=").lower()
        for _ in range(RECOVERY_CODES)
    ]


def recovery_hash(code: str) -> bytes:
    """What is kept of one. It was made by chance, so a plain hash will do."""
    return hashlib.sha256(code.strip().lower().encode()).digest()
