"""The tokens of a session: an access token for requests, and a refresh token for the next ones."""

import datetime as dt
from typing import Any, NamedTuple

import jwt

from models.key_ring import KeyRing
from models.signing_key import SigningKeys
from models.token import ALGORITHM, AUDIENCE, ISSUER, LEEWAY_S, REFRESH, claims_of, signed
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import subject_of
from pipeline.identity.sessions import Granted

ACCESS_LIVES = dt.timedelta(minutes=15)
REQUIRED = ["exp", "iat", "jti", "type", "sub", "tenant", "sid", "gen", "aud", "iss"]
# A refresh token of ours has some 500 bytes.
MAX_LENGTH = 2_048
# Postgres integers.
NUMBER_MAX = 2**31 - 1


class Refresh(NamedTuple):
    """What a refresh token says."""

    tenant_id: int
    session_id: str
    generation: int


def access_token(granted: Granted, keys: SigningKeys, ring: KeyRing) -> str:
    """For requests, with the person's roles of now; raises SettingsError."""
    subject = subject_of(granted.person_id)
    claims = claims_of(subject, granted.tenant_id, granted.roles, ACCESS_LIVES)
    claims |= {"sid": granted.session_id, "version": granted.version}
    return signed(claims, keys, ring)


def refresh_token(granted: Granted, keys: SigningKeys, ring: KeyRing) -> str:
    """For the next tokens, once; raises SettingsError."""
    claims = claims_of(subject_of(granted.person_id), granted.tenant_id, (), ACCESS_LIVES)
    claims |= {"exp": granted.expires_at, "type": "refresh"}
    claims |= {"sid": granted.session_id, "gen": granted.generation}
    return signed(claims, keys, ring, REFRESH)


def read_refresh(token: str, keys: SigningKeys) -> Refresh:
    """What it says, if we signed it and it is a refresh token; raises IdentityError."""
    try:
        header = jwt.get_unverified_header(token[:MAX_LENGTH])
        key = keys.verifying(header.get("kid"))
        if key is None or header.get("typ") != REFRESH:
            raise _refused()
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            audience=AUDIENCE,
            issuer=ISSUER,
            leeway=LEEWAY_S,
            options={"require": REQUIRED},
        )
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
        raise _refused() from None
    tenant_id, generation, session_id = claims["tenant"], claims["gen"], claims["sid"]
    if (
        claims["type"] != "refresh"
        or not all(_is_number(one) for one in (tenant_id, generation))
        or not isinstance(session_id, str)
    ):
        raise _refused()
    return Refresh(tenant_id, session_id, generation)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 < value <= NUMBER_MAX


def _refused() -> IdentityError:
    return IdentityError("session_ended", "This is no refresh token that counts. Sign in again.")
