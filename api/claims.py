"""What stands in a token whose signature is right: still no word of it is taken on trust."""

from typing import Any

from models.token import LONGEST, PERSON, is_reserved

# Claims that a token must bring itself: the library fills in `type` and `jti` where they are
# missing and asks for no `exp` (flask-jwt-extended 4.7.4, tried).
REQUIRED = ("exp", "iat", "jti", "type", "sub", "tenant", "roles", "aud", "iss")
TENANT_MAX = 2**31 - 1  # a Postgres integer
VERSION_MAX = 2**31 - 1
TEXT_MAX_LENGTH = 255
ROLES_MAX = 32
# Every action there is, and more ledgers than a person lists by hand.
NAMES_MAX = 256


class BadClaimsError(Exception):
    """A correctly signed token that says something impossible; the message says what."""


def read_claims(claims: dict[str, Any]) -> dict[str, Any]:
    """What the log keeps of whom the token is of; raises BadClaimsError."""
    if claims["type"] != "access":
        raise BadClaimsError("It is no access token.")
    tenant_id, roles = claims["tenant"], claims["roles"]
    if type(tenant_id) is not int or not 1 <= tenant_id <= TENANT_MAX:
        raise BadClaimsError("Its tenant is not a number.")
    if not isinstance(roles, list) or len(roles) > ROLES_MAX or not all(map(_is_text, roles)):
        raise BadClaimsError("Its roles are not a list of names.")
    if not _is_text(claims["sub"]) or not _is_text(claims["jti"]):
        raise BadClaimsError("Its subject or its id is no text.")
    if float(claims["exp"]) - float(claims["iat"]) > LONGEST.total_seconds():
        raise BadClaimsError(f"It was made for more than {LONGEST.days} days.")
    kept: dict[str, Any] = {"sub": claims["sub"], "roles": sorted(set(roles))}
    if "limits" in claims:
        kept["limits"] = _limits(claims["limits"])
    for name in ("scopes", "ledgers"):
        if name in claims:
            kept[name] = _names(name, claims[name])
    return kept


def session_of(claims: dict[str, Any]) -> tuple[str | None, int]:
    """The session that it is of, and what the person was when it was given out.

    Behind a person's token stands a session, and behind a session a person: so whether they may
    still act is asked of every token that is theirs, whoever has made it.
    """
    if "sid" not in claims:
        if is_reserved(claims["sub"]):
            raise BadClaimsError("Its subject has no tokens but those of a session.")
        return None, 0
    if not claims["sub"].startswith(PERSON):
        raise BadClaimsError("It is of a session, and of no person.")
    session, version = claims["sid"], claims.get("version")
    if not _is_text(session) or type(version) is not int or not 0 < version <= VERSION_MAX:
        raise BadClaimsError("Its session is none.")
    return session, version


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= TEXT_MAX_LENGTH and value.isprintable()


def _names(claim: str, names: Any) -> list[str]:
    if not isinstance(names, list) or len(names) > NAMES_MAX or not all(map(_is_text, names)):
        raise BadClaimsError(f"Its {claim} are not a list of names.")
    return sorted(set(names))


def _limits(limits: Any) -> dict[str, int]:
    if not isinstance(limits, dict) or not all(
        _is_text(name) and type(limit) is int and 0 <= limit < 2**63
        for name, limit in limits.items()
    ):
        raise BadClaimsError("Its limits are not amounts by currency.")
    return limits
