"""The second factor: codes by time (TOTP, RFC 6238), and codes for whoever has lost the device."""

import base64
import hashlib
import secrets
import time

import pyotp
from pyotp.exceptions import OTPVerificationError

# As many as SHA-1 gives, which is what every authenticator app takes (RFC 4226 section 4).
SECRET_BYTES = 20
# A device's clock may be a step of 30 s off either way (RFC 6238 section 5.2).
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
    return _codes(secret).provisioning_uri(name=f"{tenant}/{email}", issuer_name="Trident")


def step_of(secret: bytes, code: str, now: float | None = None) -> int | None:
    """The step whose code it is, if that is now: none counts twice (RFC 6238 section 5.2)."""
    at = time.time() if now is None else now
    try:
        return _codes(secret).verify_and_get_timecode(code, for_time=at, valid_window=DRIFT_STEPS)
    except OTPVerificationError:
        return None


def _codes(secret: bytes) -> pyotp.TOTP:
    return pyotp.TOTP(shown(secret))


def new_recovery_codes() -> list[str]:
    """Codes to be shown once and kept on paper."""
    return [
        base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().rstrip("=").lower()
        for _ in range(RECOVERY_CODES)
    ]


def recovery_hash(code: str) -> bytes:
    """What is kept of one. It was made by chance, so a plain hash will do."""
    return hashlib.sha256(code.strip().lower().encode()).digest()
