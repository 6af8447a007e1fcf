"""Bearer tokens: verified by flask-jwt-extended once, then remembered until they expire.

A token is known by its SHA-256. Whatever is wrong with one is a 401 that says what; nothing that
stands in a token may cause a 500.
"""

import hashlib
import time
from collections import OrderedDict
from typing import Any, NamedTuple, NoReturn

import structlog
from flask import Flask
from flask_jwt_extended import JWTManager, decode_token

from api.errors import Problem
from models.settings import settings
from models.token import ALGORITHM, AUDIENCE, ISSUER, KEY_ID
from pipeline.strict_json import canonical

# Claims that a token must bring itself: the library fills in `type` and `jti` where they are
# missing and asks for no `exp` (flask-jwt-extended 4.7.4, tried).
REQUIRED = ("exp", "iat", "jti", "type", "sub", "tenant", "roles", "aud", "iss")
# Clocks of two machines of one house differ by a second or two; 30 s would be too much.
LEEWAY_S = 10
# A token of ours has about 400 bytes; this leaves room for long lists of limits.
TOKEN_MAX_BYTES = 8 * 1024
# Verified tokens that are remembered, about 1 kB each. The one verified first goes first.
REMEMBERED_MAX = 10_000
TENANT_MAX = 2**31 - 1  # a Postgres integer
TEXT_MAX_LENGTH = 255
ROLES_MAX = 32

log = structlog.get_logger("trident.auth")


class Principal(NamedTuple):
    """Who asks. `stored` is what the log keeps about it with each operation."""

    subject: str
    tenant_id: int
    roles: frozenset[str]
    stored: bytes


class BadClaimsError(Exception):
    """A correctly signed token that says something impossible; the message says what."""


class Tokens:
    """The verified tokens of one process. Safe for threads: each step is one dict operation."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()

    def principal(self, token: str) -> Principal:
        """Whose token it is; raises Problem."""
        digest = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        known = self._known.get(digest)
        if known is not None and time.time() < known[1]:
            return known[0]
        self._known.pop(digest, None)
        principal, expires = _verify(token)
        self._known[digest] = principal, expires
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return principal


def set_up(app: Flask) -> None:
    """Tell flask-jwt-extended what our tokens look like."""
    app.config.update(
        JWT_SECRET_KEY=settings().jwt_secret,
        JWT_ALGORITHM=ALGORITHM,
        JWT_DECODE_ALGORITHMS=[ALGORITHM],
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_ISSUER=ISSUER,
        JWT_DECODE_LEEWAY=LEEWAY_S,
        JWT_TOKEN_LOCATION=["headers"],
    )
    manager = JWTManager(app)

    @manager.decode_key_loader
    def key_for(header: dict[str, Any], claims: dict[str, Any]) -> str:
        """The key that the header names. `claims` are unverified, but as the token has them."""
        if header.get("kid") != KEY_ID:
            raise BadClaimsError("Its key id (kid) is missing or unknown.")
        missing = [name for name in REQUIRED if name not in claims]
        if missing:
            raise BadClaimsError(f"It lacks the claims {', '.join(missing)}.")
        return settings().jwt_secret


def _verify(token: str) -> tuple[Principal, float]:
    if len(token) > TOKEN_MAX_BYTES:
        _refuse(f"It is longer than {TOKEN_MAX_BYTES} bytes.")
    try:
        claims = decode_token(token)
        return _read(claims), float(claims["exp"])
    except BadClaimsError as error:
        _refuse(str(error))
    except Exception as error:  # noqa: BLE001 - however it breaks the parsers, it is no token
        log.info("token_refused", error=type(error).__name__)
        _refuse(f"{error}." if str(error) else "It cannot be read.")


def _refuse(reason: str) -> NoReturn:
    raise Problem("token_invalid", f"{reason} Ask for a new one; `trident token` makes one.")


def _read(claims: dict[str, Any]) -> Principal:
    if claims["type"] != "access":
        raise BadClaimsError("It is no access token.")
    tenant_id, roles = claims["tenant"], claims["roles"]
    if type(tenant_id) is not int or not 1 <= tenant_id <= TENANT_MAX:
        raise BadClaimsError("Its tenant is not a number.")
    if not isinstance(roles, list) or len(roles) > ROLES_MAX or not all(map(_is_text, roles)):
        raise BadClaimsError("Its roles are not a list of names.")
    if not _is_text(claims["sub"]) or not _is_text(claims["jti"]):
        raise BadClaimsError("Its subject or its id is no text.")
    kept: dict[str, Any] = {"sub": claims["sub"], "roles": sorted(set(roles))}
    if "limits" in claims:
        kept["limits"] = _limits(claims["limits"])
    return Principal(claims["sub"], tenant_id, frozenset(roles), canonical(kept))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= TEXT_MAX_LENGTH and value.isprintable()


def _limits(limits: Any) -> dict[str, int]:
    if not isinstance(limits, dict) or not all(
        _is_text(name) and type(limit) is int and 0 <= limit < 2**63
        for name, limit in limits.items()
    ):
        raise BadClaimsError("Its limits are not amounts by currency.")
    return limits
