"""Access tokens: what `trident token` prints and the API reads. JWTs (RFC 7519), signed HS256.

The claims are those that flask-jwt-extended expects, and ours: `tenant` (its number), `roles`, and
`limits` where one operation may move only so much.
"""

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import jwt

from models.settings import settings

ALGORITHM = "HS256"
# Which of the keys signed it: there is one, and a token without a key id is refused.
KEY_ID = "main"
ISSUER = "trident"
AUDIENCE = "trident"


def mint(
    subject: str,
    tenant_id: int,
    roles: Iterable[str],
    lifetime: dt.timedelta,
    limits: Mapping[str, int] | None = None,
    secret: str | None = None,
) -> str:
    """A signed access token for `subject`, valid from now for `lifetime`.

    `limits` are minor units by currency: the most that one operation may move. A currency that
    they do not name may not be moved at all; no limits, no bound. `secret` signs it, or that of
    the settings, which may raise SettingsError.
    """
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
    if limits:
        claims["limits"] = dict(limits)
    return jwt.encode(claims, secret or settings().jwt_secret, ALGORITHM, headers={"kid": KEY_ID})
