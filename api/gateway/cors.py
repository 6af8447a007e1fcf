"""Pages of other hosts that may call the API: each tenant says which (its setting cors_origins).

A browser asks beforehand, without a token, so nobody knows for which tenant: an origin that any
tenant allows is told what a request may look like. The answer to the request itself is let through
only to pages that the tenant of the token allows, or whose session it begins. One that is of no
tenant (a refused token or log-in, a document) is the same for everybody: any such page may read it.
Cookies play no part: no answer allows them.
"""

import time
from typing import Any

from flask import Response, request
from sqlalchemy import Engine, text

from api.tenancy import Tenancy

# How long an origin that a tenant has just settled may be unknown to preflights.
RECHECK_S = 2.0
# How long a browser need not ask beforehand again; none remembers it for more than two hours.
PREFLIGHT_S = 600

# Where a request's environment says which page asks.
ORIGIN = "HTTP_ORIGIN"
ORIGINS = text("SELECT cors_origins()")
METHODS = "GET, POST, PATCH, PUT, DELETE"
# What a page may send beside the plainest of headers, and read of an answer.
SENT = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Request-Id"
READ = (
    "ETag, Idempotent-Replayed, Location, Preference-Applied, RateLimit, RateLimit-Policy,"
    " Retry-After, X-Request-Id"
)


class Cors:
    """What this process knows of the origins that tenants allow."""

    def __init__(self, engine: Engine, tenancy: Tenancy) -> None:
        self._engine = engine
        self._tenancy = tenancy
        self._origins: frozenset[str] = frozenset()
        self._look_at = float("-inf")

    def preflight(self) -> Response | None:
        """The answer to a browser that asks beforehand; None if it is none, or from nowhere."""
        origin = request.environ.get(ORIGIN)
        asked = request.environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        if request.method != "OPTIONS" or not origin or not asked or not self._known(origin):
            return None
        answer = Response(status=204)
        answer.headers["Access-Control-Allow-Origin"] = origin
        answer.headers["Access-Control-Allow-Methods"] = METHODS
        answer.headers["Access-Control-Allow-Headers"] = SENT
        answer.headers["Access-Control-Max-Age"] = str(PREFLIGHT_S)
        return answer

    def let(self, headers: Any, tenant_id: int | None) -> None:
        """Let the page that asked read the answer, if the tenant allows it."""
        origin = request.environ.get(ORIGIN)
        if not origin:
            return
        headers.add("Vary", "Origin")  # caches keep the answers to different pages apart
        tenant = None if tenant_id is None else self._tenancy.of(tenant_id)
        allowed = () if tenant is None else tenant.settings.cors_origins
        if self._known(origin) if tenant_id is None else origin in allowed:
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = READ

    def _known(self, origin: str) -> bool:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + RECHECK_S  # one looks, the others go by what was found before
            with self._engine.begin() as connection:
                self._origins = frozenset(connection.execute(ORIGINS).scalars())
        return origin in self._origins
