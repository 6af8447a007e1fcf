"""What every request passes, before its route and after: rates, CORS, headers of answers.

Every operation goes through here, so the headers that all answers have are put on as they leave
for the server, where an answer's headers are a plain list: Werkzeug compares each name that is set
with all names that are there.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from flask import Flask, Response, g, request

from api.answers import LEAVING
from api.errors import DATABASE_ERRORS, Problem
from api.gateway.cors import ORIGIN, Cors
from api.gateway.proxies import Wsgi, counted_as
from api.gateway.rates import AwayError, Bound, OverError, Rates, Standing
from api.tenancy import Tenancy
from api.tokens import Principal
from models.settings import Settings
from models.tenant import TenantState

# Where somebody without a token asks to be let in: counted strictly, and not at all without Valkey.
LOG_INS = frozenset(
    {
        "/v1/sessions",
        "/v1/invitations/accept",
        "/v1/password-resets",
        "/v1/password-resets/accept",
    },
)

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


class Dressed:
    """The application, whose answers carry the headers of all answers."""

    def __init__(self, app: Wsgi) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], failed: Any = None) -> Any:
            own = {name for name, _ in headers}
            headers += [header for header in HEADERS if header[0] not in own]
            headers += environ.get(LEAVING, ())
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

    def install(self, app: Flask) -> None:
        """Stand before every route of the app."""
        app.before_request(self._enter)
        app.after_request(self._leave)

    def admit(self, who: Principal) -> None:
        """Count a request of a principal; raises Problem when there are too many of them."""
        g.tenant_id = who.tenant_id
        tenant = self._tenancy.of(who.tenant_id)
        environ = request.environ
        address = counted_as(environ.get("REMOTE_ADDR", ""))
        self._take(
            environ,
            Bound("tenant", f"t:{who.tenant_id}", self._bound(tenant, "tenant")),
            Bound("key", f"k:{who.tenant_id}:{who.subject}", self._bound(tenant, "key")),
            Bound("address", f"a:{who.tenant_id}:{address}", self._bound(tenant, "address")),
        )

    def stop(self) -> None:
        """End its thread."""
        self._rates.stop()

    def _enter(self) -> Response | None:
        environ = request.environ
        address = counted_as(environ.get("REMOTE_ADDR", ""))
        self._take(environ, Bound("address", f"a:{address}", self._most["address"]))
        if environ["REQUEST_METHOD"] == "POST" and request.path in LOG_INS:
            self._take_strictly(environ, Bound("login", f"l:{address}", self._most["login"]))
        return self._cors.preflight() if ORIGIN in environ else None

    def _leave(self, response: Response) -> Response:
        if ORIGIN in request.environ:
            with suppress(*DATABASE_ERRORS):  # then the page does not get to read the answer
                self._cors.let(response.headers, g.get("tenant_id"))
        return response

    def _bound(self, tenant: TenantState | None, name: str) -> int:
        """The tenant's own, within what the installation allows it, or else what holds for all."""
        most = self._most[name]
        if tenant is None:
            return most
        settled = tenant.settings.rate_limits.get(name, most)
        allowed = tenant.allowed.get("rate_limits") or {}
        return settled if name in allowed else min(settled, most)

    def _take(self, environ: dict[str, Any], *bounds: Bound) -> None:
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
