"""Bearer tokens: verified by flask-jwt-extended once, then remembered until they expire.

Of a remembered one it is asked every few seconds whether it still counts. A token is known by its
SHA-256. Whatever is wrong with one is a 401 that says what; nothing that stands in a token may
cause a 500. An API key stands where a token does, and is remembered and asked for in the same way.
"""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple, NoReturn

import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from flask import Flask
from flask_jwt_extended import JWTManager, decode_token, get_unverified_jwt_headers
from sqlalchemy import Engine, text

from api.claims import REQUIRED, BadClaimsError, read_claims, session_of
from api.errors import DATABASE_ERRORS, Problem
from api.identity.key_look_up import Found, Uses, look_up
from models.api_key import PREFIX, SUBJECT, Spelled, parse_id, read_key, subject_of
from models.db import set_tenant
from models.settings import SettingsError
from models.signing_key import signing_keys
from models.token import ACCESS, ALGORITHM, AUDIENCE, ISSUER, LEEWAY_S
from pipeline.identity import sessions
from pipeline.identity.erasure import PERSON
from pipeline.strict_json import canonical

# A token of ours has about 400 bytes; this leaves room for long lists of limits.
TOKEN_MAX_BYTES = 8 * 1024
# Verified tokens that are remembered, about 1 kB each. The one verified first goes first.
REMEMBERED_MAX = 10_000
# How long a token that was revoked may still be taken: a log-out means "now" to a person, and a
# look every two seconds costs a request nothing.
RECHECK_S = 2.0
# From then on one request looks again while the others go by the look before: half a second is time
# for a look, so that nobody else waits for one.
LOOK_AFTER_S = 1.5

STANDS = text("""
    SELECT EXISTS (SELECT FROM tenants WHERE tenant_id = :tenant AND deleted_at IS NULL)
       AND EXISTS (SELECT FROM signing_keys WHERE kid = :kid
                    AND (retired_at IS NULL OR retired_at > clock_timestamp()))
       AND NOT EXISTS (SELECT FROM revoked_tokens WHERE tenant_id = :tenant AND token_id = :token)
""")

log = structlog.get_logger("trident.auth")


class Principal(NamedTuple):
    """Who asks. `stored` is what the log keeps about it with each operation.

    `scopes` narrow what its roles permit, and `ledgers` are the names of those that there are for
    it; None leaves both as they are. `session` is that of a person who signed in, and `version`
    what the person was then.
    """

    subject: str
    tenant_id: int
    roles: frozenset[str]
    stored: bytes
    scopes: tuple[str, ...] | None = None
    ledgers: frozenset[str] | None = None
    session: str | None = None
    version: int = 0

    def sees(self, ledger: str) -> bool:
        """Whether there is a ledger of this name for it."""
        return self.ledgers is None or ledger in self.ledgers


@dataclass(slots=True)
class _Verified:
    """A token that was verified: whose, which, with which key, until when, and when to look again.

    At `look_at` one request looks, at `look_by` all do: a look that hangs lets nothing count
    longer. An API key has no `kid`: it is looked up as a whole, and may do something else since.
    """

    principal: Principal
    kid: str | None
    expires: float
    token_id: str = ""
    look_at: float = float("-inf")
    look_by: float = float("-inf")

    def looked(self, began: float) -> None:
        """It counted when that look began, by the monotonic clock: what came since is unseen."""
        self.look_at, self.look_by = began + LOOK_AFTER_S, began + RECHECK_S


class Tokens:
    """The verified tokens of one process. Safe for threads: each step is one dict operation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: OrderedDict[bytes, _Verified] = OrderedDict()
        self._uses = Uses(engine)

    def principal(self, token: str) -> Principal:
        """Whose token it is; raises Problem."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(digest)
        if known is None or time.time() >= known.expires:
            self._known.pop(digest, None)
            known = self._met(token, digest)
            self._known[digest] = known
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        elif time.monotonic() >= known.look_at:
            try:
                self._look(known, digest)
            except Problem:
                self._known.pop(digest, None)
                raise
        return known.principal

    def look_again(self, subject: str) -> None:
        """Something has just been changed of this one: its next request is looked at anew."""
        for digest, known in list(self._known.items()):
            if known.principal.subject == subject:
                # Forgotten: a look at it that is under way tells of what was before.
                self._known.pop(digest, None)

    def _met(self, token: str, digest: bytes) -> _Verified:
        """A token that this process has not met, or not lately; raises Problem."""
        if token.startswith(PREFIX):
            spelled = read_key(token)
            if spelled is None:
                _refuse("It is no API key: a letter of it is missing or wrong.")
            began = time.monotonic()
            met = _Verified(*self._find_key(spelled, digest))
            met.looked(began)
            return met
        known = _verify(token)
        self._look(known, digest)
        return known

    def _look(self, known: _Verified, digest: bytes) -> None:
        """Does it still count? While one request asks, the others go by the answer before."""
        began = time.monotonic()
        before, known.look_at = known.look_at, known.look_by
        try:
            if known.kid is None:
                key_id = parse_id(known.principal.subject.removeprefix(SUBJECT))
                assert key_id is not None, "the subject of a key is its id"
                spelled = Spelled(known.principal.tenant_id, key_id)
                known.principal, _, known.expires = self._find_key(spelled, digest)
                known.looked(began)
                return
            counts = still_counts(self._engine, known.principal, known.kid, known.token_id)
        except BaseException:
            known.look_at = before
            raise
        if not counts:
            _refuse("It does not count any more.")
        known.looked(began)

    def _find_key(self, spelled: Spelled, digest: bytes) -> tuple[Principal, None, float]:
        """Who asks with this API key, and until when it counts; raises Problem."""
        found = look_up(self._engine, spelled, digest)
        if found is None:
            raise Problem(
                "token_invalid",
                "There is no such API key, or it is expired, rotated out or revoked, or its holder"
                " may not act. An admin makes another by POST /v1/api-keys, or rotates it.",
            )
        self._uses.note(spelled, found)
        return key_principal(spelled, found), None, found.until

    def stop(self) -> None:
        """End the thread that writes down when keys were used."""
        self._uses.stop()


def key_principal(spelled: Spelled, found: Found) -> Principal:
    """Who asks with a key. The log keeps who has seen its secret as well."""
    powers = found.powers
    kept: dict[str, Any] = {
        "sub": subject_of(spelled.key_id),
        "roles": sorted(powers.roles),
        "by": sorted(found.known_to),
    }
    narrowed = {"limits": powers.limits, "scopes": powers.scopes, "ledgers": powers.ledgers}
    kept |= {name: value for name, value in narrowed.items() if value is not None}
    return _principal(spelled.tenant_id, kept)


def still_counts(engine: Engine, who: Principal, kid: str, token_id: str) -> bool:
    """Is there still the tenant that it speaks for, not deleted, the key that signed, not retired,
    and the session, not ended; and was the token itself not ended?"""
    asked = {"tenant": who.tenant_id, "kid": kid, "token": token_id}
    with engine.begin() as connection:
        set_tenant(connection, who.tenant_id)
        if not connection.execute(STANDS, asked).scalar():
            return False
        if who.session is None:
            return True
        person = who.subject.removeprefix(PERSON)
        return sessions.counts(connection, who.tenant_id, who.session, person, who.version)


def set_up(app: Flask, engine: Engine) -> None:
    """Tell flask-jwt-extended what our tokens look like."""
    app.config.update(
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_DECODE_LEEWAY=LEEWAY_S,
        JWT_TOKEN_LOCATION=["headers"],
    )
    manager = JWTManager(app)

    @manager.decode_key_loader
    def key_for(header: dict[str, Any], claims: dict[str, Any]) -> Ed25519PublicKey:
        """The key that the header names. `claims` are unverified, but as the token has them.

        A key that the header brings itself (jwk, jku, x5u) is never looked at.
        """
        if header.get("typ") != ACCESS:
            raise BadClaimsError("It is no access token.")
        missing = [name for name in REQUIRED if name not in claims]
        if missing:
            raise BadClaimsError(f"It lacks the claims {', '.join(missing)}.")
        key = signing_keys(engine).verifying(header.get("kid"))
        if key is None:
            raise BadClaimsError("Its key id (kid) is missing, unknown or retired.")
        return key


def _verify(token: str) -> _Verified:
    if len(token) > TOKEN_MAX_BYTES:
        _refuse(f"It is longer than {TOKEN_MAX_BYTES} bytes.")
    try:
        claims = decode_token(token)
        kid = get_unverified_jwt_headers(token)["kid"]
        who = _principal(claims["tenant"], read_claims(claims), *session_of(claims))
        return _Verified(who, kid, float(claims["exp"]), claims["jti"])
    except BadClaimsError as error:
        _refuse(str(error))
    except (*DATABASE_ERRORS, SettingsError):  # our fault, not the token's
        raise
    except Exception as error:  # noqa: BLE001 - however it breaks the parsers, it is no token
        log.info("token_refused", error=type(error).__name__)
        _refuse(f"{error}." if str(error) else "It cannot be read.")


def _refuse(reason: str) -> NoReturn:
    raise Problem("token_invalid", f"{reason} Ask for a new one; `trident token` makes one.")


def _principal(
    tenant_id: int, kept: dict[str, Any], session: str | None = None, version: int = 0
) -> Principal:
    """Who asks, by what the log keeps of it."""
    scopes, ledgers = kept.get("scopes"), kept.get("ledgers")
    return Principal(
        kept["sub"],
        tenant_id,
        frozenset(kept["roles"]),
        canonical(kept),
        None if scopes is None else tuple(scopes),
        None if ledgers is None else frozenset(ledgers),
        session,
        version,
    )
