"""What every request passes, before its route and after: a name, rates, CORS, headers of answers.

Every operation goes through here, so the headers that all answers have are put on as they leave
for the server, where an answer's headers are a plain list: Werkzeug compares each name that is set
with all names that are there.
"""

import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

from flask import Flask, Response, after_this_request, g, request

from api.answers import LEAVING, REQUEST_ID
from api.errors import DATABASE_ERRORS, Problem
from api.gateway.cors import ORIGIN, Cors
from api.gateway.proxies import Wsgi, counted_as
from api.gateway.rates import AwayError, Bound, OverError, Rates, Standing
from api.tenancy import Tenancy
from api.tokens import Principal
from models.settings import Settings
from models.tenant import TenantState
from pipeline.permissions import allowed

# Where somebody without a token asks to be let in: counted strictly, and not at all without Valkey.
LOG_INS = frozenset(
    {
        "/v1/sessions",
        "/v1/invitations/accept",
        "/v1/password-resets",
        "/v1/password-resets/accept",
    },
)
# Where a tenant's rates are settled.
SETTINGS = "/v1/tenant"

# Nothing that the API answers is a page, to be put into a frame or to load anything.
HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
# For a year browsers come back by https alone.
STRICT_TRANSPORT = ("Strict-Transport-Security", "max-age=31536000")
# Where a request's environment keeps how far its bounds are used up.
STANDING = "trident.standing"
# A name that a caller brings is kept if it is harmless in a header and in a log.
HARMLESS = re.compile(r"[A-Za-z0-9._:-]{1,128}")
REQUEST_ID_BYTES = 8
# Whose bounds are remembered, and from where, about 1 kB each.
REMEMBERED_MAX = 10_000


class Dressed:
    """The application, whose requests have names, and whose answers have the headers of all."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        given = environ.get("HTTP_X_REQUEST_ID", "")
        named = given if HARMLESS.fullmatch(given) else f"req_{secrets.token_hex(REQUEST_ID_BYTES)}"
        environ[REQUEST_ID] = named

        def start(status: str, headers: list[tuple[str, str]], failed: Any = None) -> Any:
            own = {name for name, _ in headers}
            headers += [header for header in HEADERS if header[0] not in own]
            headers += environ.get(LEAVING, ())
            headers.append(("X-Request-Id", named))
            if environ["wsgi.url_scheme"] == "https":
                headers.append(STRICT_TRANSPORT)
            standing: Standing | None = environ.get(STANDING)
            if standing is not None:
                (name, _, most), left, seconds = standing
                headers.append(("RateLimit-Policy", f'"{name}";q={most};w=60'))
                headers.append(("RateLimit", f'"{name}";r={left};t={seconds}'))
            return start_response(status, headers, failed)

        return self._app(environ, start)


class Gate:
    """The gate of one process."""

    def __init__(self, settings: Settings, cors: Cors, tenancy: Tenancy, rates: Rates) -> None:
        self._most = settings.rate_limits
        self._cors = cors
        self._tenancy = tenancy
        self._rates = rates
        self._bounds: dict[tuple[int, str, str], tuple[TenantState | None, list[Bound]]] = {}

    def install(self, app: Flask) -> None:
        """Stand before every route of the app."""
        app.before_request(self._enter)

    def admit(self, who: Principal) -> None:
        """Count a request of a principal; raises Problem when there are too many of them."""
        g.tenant_id = who.tenant_id
        environ = request.environ
        bounds = self._bounds_of(who, environ.get("REMOTE_ADDR", ""))
        if environ["REQUEST_METHOD"] == "PATCH" and _settles(who):
            tenant = self._tenancy.of(who.tenant_id)
            bounds = [one._replace(most=self._allowed(tenant, one.name)) for one in bounds]
        self._take(environ, bounds)

    def stop(self) -> None:
        """End its thread."""
        self._rates.stop()

    def _enter(self) -> Response | None:
        environ = request.environ
        if ORIGIN in environ:
            after_this_request(self._let)
        address = environ.get("REMOTE_ADDR", "")
        self._take(environ, _of_address(address, self._most["address"]))
        if environ["REQUEST_METHOD"] == "POST" and request.path in LOG_INS:
            login = Bound("login", f"l:{counted_as(address)}", self._most["login"])
            self._take_strictly(environ, login)
        return self._cors.preflight() if ORIGIN in environ else None

    def _let(self, response: Response) -> Response:
        with suppress(*DATABASE_ERRORS):  # then the page does not get to read the answer
            self._cors.let(response.headers, g.get("tenant_id"))
        return response

    def _bounds_of(self, who: Principal, address: str) -> list[Bound]:
        """What a principal's request counts under: made anew when the tenant was looked at anew."""
        tenant, asks = self._tenancy.of(who.tenant_id), (who.tenant_id, who.subject, address)
        known = self._bounds.get(asks)
        if known is not None and known[0] is tenant:
            return known[1]
        names = {
            "tenant": f"t:{who.tenant_id}",
            "key": f"k:{who.tenant_id}:{who.subject}",
            "address": f"a:{who.tenant_id}:{counted_as(address)}",
        }
        bounds = [Bound(name, by, self._bound(tenant, name)) for name, by in names.items()]
        if len(self._bounds) >= REMEMBERED_MAX:
            self._bounds.clear()
        self._bounds[asks] = tenant, bounds
        return bounds

    def _bound(self, tenant: TenantState | None, name: str) -> int:
        """The tenant's own, within what the installation allows it, or else what holds for all."""
        most = self._allowed(tenant, name)
        return most if tenant is None else min(tenant.settings.rate_limits.get(name, most), most)

    def _allowed(self, tenant: TenantState | None, name: str) -> int:
        """How far the installation lets it go."""
        document = {} if tenant is None else tenant.allowed.get("rate_limits") or {}
        most: int = document.get(name, self._most[name])
        return most

    def _take(self, environ: dict[str, Any], bounds: Sequence[Bound]) -> None:
        try:
            environ[STANDING] = self._rates.take(bounds)
        except OverError as over:
            environ[STANDING] = over.standing
            raise _too_many(over.standing) from None

    def _take_strictly(self, environ: dict[str, Any], bound: Bound) -> None:
        try:
            environ[STANDING] = self._rates.take_strictly(bound)
        except OverError as over:
            environ[STANDING] = over.standing
            raise _too_many(over.standing) from None
        except AwayError:
            raise Problem(
                "log_ins_uncounted",
                "Nobody is let in while it cannot be counted how often. Try again in a second.",
            ) from None


def _settles(who: Principal) -> bool:
    """Whether it is about the tenant's settings, by somebody who may change them.

    The tenant's own rates do not hold there: who has settled one that is too low could not take it
    back otherwise.
    """
    return request.path == SETTINGS and allowed(who.roles, "tenant.settings", who.scopes)


# Clients ask again and again.
@lru_cache(maxsize=REMEMBERED_MAX)
def _of_address(address: str, most: int) -> tuple[Bound]:
    return (Bound("address", f"a:{counted_as(address)}", most),)


def _too_many(standing: Standing) -> Problem:
    name, _, most = standing.bound
    what = {
        "tenant": "in the name of this tenant",
        "key": "with this key or token",
        "address": "from this address",
        "login": "to be let in from this address",
    }[name]
    problem = Problem(
        "rate_limited",
        f"There may be {most} requests a minute {what}. Try again in {standing.seconds} s.",
        limit=name,
    )
    problem.headers["Retry-After"] = str(standing.seconds)
    return problem
