"""The Ed25519 keys that sign access tokens: of the installation, not of a tenant.

Each has an id (`kid`), which a token's header names. Public keys are published; private ones are
wrapped under a key-encryption key. New tokens are signed with the newest key that is not retired;
a key verifies until the moment in `retired_at`, if it has one.
"""

import base64
import datetime as dt
import secrets
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError

from models.db import STAGE_TIMEOUT_MS, make_engine
from models.key_ring import KeyRing, Wrapped
from models.sealed import TamperedError, aad
from models.settings import SettingsError

# A key that was revoked elsewhere neither signs nor verifies here for longer than this, and one
# that was made elsewhere is known by then. However many tokens come, true and false, they cost no
# more than a query a second; so do those that wait for a database that is away.
REMEMBERED_S = 1.0
# A process has two: that of its requests and that of its commands (models/db.py).
ENGINES_MAX = 2
# A key that is followed by another one verifies as long as what it signed last may live: a refresh
# token, seven days, made where the new key was not known yet.
LIVES_ON = dt.timedelta(days=7, seconds=REMEMBERED_S)
KID_BYTES = 4
# Signing keys belong to no tenant; tenants count from 1.
NO_TENANT = 0
# Of the associated data that the private key is wrapped with: raised if its form ever changes.
PRIVATE_KEY_VERSION = 1

READ = text("""
    SELECT kid, public_key, private_key, kek, created_at, retired_at FROM signing_keys
     WHERE retired_at IS NULL OR retired_at > clock_timestamp()
     ORDER BY retired_at IS NULL DESC, created_at DESC, kid
""")
INSERT = text("""
    INSERT INTO signing_keys (kid, public_key, private_key, kek)
    VALUES (:kid, :public_key, :private_key, :kek)
""")
# Writers take turns, so that there is one newest key; readers go on.
RETIRE = text("""
    UPDATE signing_keys SET retired_at = clock_timestamp() + :lives_on
     WHERE retired_at IS NULL AND kid <> :newest
""")
REVOKE = text("""
    UPDATE signing_keys SET retired_at = clock_timestamp()
     WHERE kid = :kid AND (retired_at IS NULL OR retired_at > clock_timestamp())
""")
LOCK = text("LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE")


class UnknownKeyError(LookupError):
    """No signing key of that id is left to revoke."""


class SigningKey(NamedTuple):
    """A key that verifies, and signs once its private half is unwrapped."""

    kid: str
    public_key: Ed25519PublicKey
    wrapped: Wrapped
    created_at: dt.datetime
    retired_at: dt.datetime | None

    def private_key(self, ring: KeyRing) -> Ed25519PrivateKey:
        """What signs; raises SettingsError."""
        try:
            raw = ring.unwrap(self.wrapped, private_key_aad(self.kid))
        except TamperedError:
            raise SettingsError(
                f"The signing key {self.kid} does not open with the key-encryption key"
                f" {self.wrapped.kek}: either of them is not the one that it was."
            ) from None
        return Ed25519PrivateKey.from_private_bytes(raw)

    def jwk(self) -> dict[str, str]:
        """The public key as RFC 8037 has it."""
        raw = base64.urlsafe_b64encode(self.public_key.public_bytes_raw()).rstrip(b"=")
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "x": raw.decode(),
            "kid": self.kid,
            "use": "sig",
            "alg": "EdDSA",
        }


class SigningKeys:
    """The keys that are not retired, as one process remembers them. Safe for threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._keys: dict[str, SigningKey] = {}
        self._looked_at = float("-inf")
        self._failed_at = float("-inf")
        self._private: tuple[str, Ed25519PrivateKey] | None = None

    def verifying(self, kid: object) -> Ed25519PublicKey | None:
        """The public key of this id, unless there is none or it is retired."""
        key = self._remembered().get(kid) if isinstance(kid, str) else None
        return None if key is None or _is_retired(key) else key.public_key

    def published(self) -> list[SigningKey]:
        """Every key that verifies, the one that signs first."""
        return [key for key in self._remembered().values() if not _is_retired(key)]

    def signing(self, ring: KeyRing) -> tuple[str, Ed25519PrivateKey]:
        """The id and the private key that sign; raises SettingsError."""
        newest = next(iter(self._remembered().values()), None)
        if newest is None or newest.retired_at is not None:
            raise SettingsError(
                "There is no signing key. `trident db upgrade` makes the first one, and"
                " `trident keys rotate` another one."
            )
        known = self._private
        if known is None or known[0] != newest.kid:
            known = self._private = newest.kid, newest.private_key(ring)
        return known

    def _remembered(self) -> dict[str, SigningKey]:
        """The keys as they were a moment ago; raises SQLAlchemy's errors."""
        if time.monotonic() - self._looked_at >= REMEMBERED_S:
            with self._lock:
                if time.monotonic() - self._looked_at >= REMEMBERED_S:
                    self._look()
        return self._keys

    def _look(self) -> None:
        began = time.monotonic()
        if began - self._failed_at < REMEMBERED_S:
            # Those who have waited for a look that failed do not each wait for their own time-out.
            raise DisconnectionError("The signing keys could not be read a moment ago.")
        try:
            with self._engine.connect() as connection:
                self._keys = {key.kid: key for key in read(connection)}
        except SQLAlchemyError:
            self._failed_at = time.monotonic()
            raise
        self._looked_at = began


@lru_cache(maxsize=ENGINES_MAX)
def signing_keys(engine: Engine) -> SigningKeys:
    """The keys as this process remembers them, by engine."""
    return SigningKeys(engine)


def read(connection: Connection) -> list[SigningKey]:
    """Every key that is not retired, the one that signs first."""
    return [
        SigningKey(
            row.kid,
            Ed25519PublicKey.from_public_bytes(bytes(row.public_key)),
            Wrapped(row.kek, bytes(row.private_key)),
            row.created_at,
            row.retired_at,
        )
        for row in connection.execute(READ)
    ]


def make_first(owner_url: str, ring: KeyRing) -> None:
    """Make a signing key if there is none that signs (the owner's right)."""
    engine = make_engine(owner_url, statement_timeout_ms=STAGE_TIMEOUT_MS, trusted=True)
    try:
        with engine.begin() as connection:
            if _signs(connection):
                return
            made = _new(ring)
            connection.execute(LOCK)
            if not _signs(connection):
                connection.execute(INSERT, made)
    finally:
        engine.dispose()


def rotate(
    engine: Engine,
    ring: KeyRing,
    revoked: str | None = None,
    *,
    tell: Callable[[Connection, str], None] = lambda _connection, _kid: None,
) -> str:
    """Make the key that signs from now on; its id. The others verify for LIVES_ON longer.

    `revoked` verifies nothing from now on; `tell` is done last in the same transaction. `engine` is
    the owner's. Raises UnknownKeyError.
    """
    made = _new(ring)
    with engine.begin() as connection:
        connection.execute(LOCK)
        connection.execute(INSERT, made)
        connection.execute(RETIRE, {"lives_on": LIVES_ON, "newest": made["kid"]})
        if revoked is not None and not connection.execute(REVOKE, {"kid": revoked}).rowcount:
            raise UnknownKeyError(revoked)
        tell(connection, str(made["kid"]))
    return str(made["kid"])


def _signs(connection: Connection) -> bool:
    """Whether there is a key that signs."""
    return any(key.retired_at is None for key in read(connection))


def _new(ring: KeyRing) -> dict[str, str | bytes]:
    """The row of a new key; made before the table is locked, because KMS may wrap it."""
    private_key = Ed25519PrivateKey.generate()
    kid = f"{dt.datetime.now(dt.UTC):%Y%m%d}-{secrets.token_hex(KID_BYTES)}"
    kek, wrapped = ring.wrap(private_key.private_bytes_raw(), private_key_aad(kid))
    public_key = private_key.public_key().public_bytes_raw()
    return {"kid": kid, "private_key": wrapped, "kek": kek, "public_key": public_key}


def private_key_aad(kid: str) -> bytes:
    """What a private key is bound to: its own row."""
    return aad(NO_TENANT, "signing_keys", "private_key", kid, PRIVATE_KEY_VERSION)


def _is_retired(key: SigningKey) -> bool:
    return key.retired_at is not None and key.retired_at <= dt.datetime.now(dt.UTC)
