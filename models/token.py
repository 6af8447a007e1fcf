"""Access tokens: what `trident token` prints and the API reads. JWTs (RFC 7519), signed EdDSA.

The claims are those that flask-jwt-extended expects, and ours: `tenant` (its number), `roles`,
and `limits`, `scopes` and `ledgers` where it is for less than they permit.
"""

import datetime as dt
import unicodedata
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import jwt

from models.api_key import SUBJECT
from models.db import app_engine
from models.key_ring import KeyRing, key_ring
from models.signing_key import SigningKeys, signing_keys

# Ed25519 (RFC 8037), and nothing else: a token that names another algorithm is no token.
ALGORITHM = "EdDSA"
# Says in the header what the token is for (RFC 9068), so that another kind never passes for it.
ACCESS = "at+jwt"
REFRESH = "rt+jwt"
ISSUER = "trident"
AUDIENCE = "trident"
# Clocks of two machines of one house differ by a second or two; 30 s would be too much.
LEEWAY_S = 10
# How long a token lasts at most. Nothing renews one that no session stands behind, and whoever it
# was made for may leave: once a month somebody has to make it anew. For longer there are API keys,
# which have a holder and are listed.
LONGEST = dt.timedelta(days=30)
# Whose names no such token has: people sign in, so that it can be asked whether they still may;
# API keys are looked up; and Trident acts by itself.
PERSON = "person:"
RESERVED = (PERSON, SUBJECT, "trident:")
RESERVED_NAMES = frozenset({"trident", "retention"})


def is_reserved(subject: str) -> bool:
    """Whether no token without a session is of such a subject, however it is spelled."""
    plain = unicodedata.normalize("NFKC", subject).casefold().strip()
    return plain in RESERVED_NAMES or plain.startswith(RESERVED)


def mint(
    subject: str,
    tenant_id: int,
    roles: Iterable[str],
    lifetime: dt.timedelta,
    limits: Mapping[str, int] | None = None,
    *,
    scopes: Iterable[str] | None = None,
    ledgers: Iterable[str] | None = None,
) -> str:
    """A signed access token for `subject`, valid from now for `lifetime`.

    `limits` are minor units by currency: the most that one operation may move. A currency that
    they do not name may not be moved at all; no limits, no bound. `scopes` narrow what the roles
    permit, and `ledgers` are the names of those that it is for. Raises SettingsError where the
    key that signs it cannot be had.
    """
    claims = claims_of(subject, tenant_id, roles, lifetime, limits, scopes=scopes, ledgers=ledgers)
    return signed(claims, signing_keys(app_engine()), key_ring())


def claims_of(
    subject: str,
    tenant_id: int,
    roles: Iterable[str],
    lifetime: dt.timedelta,
    limits: Mapping[str, int] | None = None,
    *,
    scopes: Iterable[str] | None = None,
    ledgers: Iterable[str] | None = None,
) -> dict[str, Any]:
    """What such a token says."""
    now = dt.datetime.now(dt.UTC)
    claims: dict[str, Any] = {
        "sub": subject,
        "tenant": tenant_id,
        "roles": list(roles),
        "iss": ISSUER,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + lifetime,
        "jti": str(uuid.uuid4()),
        "type": "access",
        "fresh": False,
    }
    if limits is not None:
        claims["limits"] = dict(limits)
    if scopes is not None:
        claims["scopes"] = list(scopes)
    if ledgers is not None:
        claims["ledgers"] = list(ledgers)
    return claims


def signed(claims: Mapping[str, Any], keys: SigningKeys, ring: KeyRing, typ: str = ACCESS) -> str:
    """A token of these claims; raises SettingsError."""
    kid, private_key = keys.signing(ring)
    return jwt.encode(dict(claims), private_key, ALGORITHM, headers={"kid": kid, "typ": typ})
