"""The tenants in whose names requests ask: what is settled for each, looked at again and again.

What a tenant has settled bounds what comes in here, at the edge. The log knows nothing of it, so
what became of an operation never depends on what is settled today.
"""

import time
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Engine

from api.errors import Problem
from models.db import tenant_reading
from models.tenant import TenantState, tenant_state
from pipeline.currencies import currencies_of
from pipeline.strict_json import canonical

# For how long nobody looks again. What was changed, or deleted, holds everywhere within two of it.
RECHECK_S = 1.0
# A tenant is some 500 bytes and more where it has many settings.
REMEMBERED_MAX = 100_000


class Tenancy:
    """The tenants that this process has met. Safe for threads: each step is one dict operation."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[int, tuple[TenantState | None, float]] = {}

    def of(self, tenant_id: int) -> TenantState | None:
        """The tenant as it was at most a second or two ago; None if there is none."""
        known, now = self._known.get(tenant_id), time.monotonic()
        if known is not None:
            if now < known[1]:
                return known[0]
            self._known[tenant_id] = known[0], now + RECHECK_S  # one looks, the others go on
        with tenant_reading(tenant_id, self._engine) as connection:
            found = tenant_state(connection, tenant_id)
        self.remember(tenant_id, found)
        return found

    def remember(self, tenant_id: int, found: TenantState | None) -> None:
        """It is so now."""
        if len(self._known) >= REMEMBERED_MAX:
            self._known.clear()
        self._known[tenant_id] = found, time.monotonic() + RECHECK_S

    def check_currencies(self, tenant_id: int, kind: str, body: dict[str, Any]) -> None:
        """Refuse what names a currency that the tenant does not have; raises Problem."""
        tenant = self.of(tenant_id)
        settled = None if tenant is None else tenant.settings.currencies
        if settled is None:
            return
        for currency in currencies_of(kind, body):
            if currency not in settled:
                raise Problem(
                    "currency_not_allowed",
                    f"{currency} is none of the tenant's currencies, which are"
                    f" {', '.join(sorted(settled)) or 'none'}; an admin sets them by"
                    " PATCH /v1/tenant.",
                    param="currency",
                )

    def recorded(self, tenant_id: int, stored: bytes) -> bytes:
        """What the log keeps of a principal: with the tenant's limits if it has none of its own;
        those that it has go no further than the installation allows the tenant."""
        tenant = self.of(tenant_id)
        limits = None if tenant is None else tenant.settings.limits
        if tenant is None or limits is None:
            return stored
        return _limited(stored, _pairs(limits), _pairs(tenant.allowed.get("limits")))


Pairs = tuple[tuple[str, int], ...]


def _pairs(limits: dict[str, int] | None) -> Pairs | None:
    return None if limits is None else tuple(sorted(limits.items()))


# A process meets few principals, again and again.
@lru_cache(maxsize=1024)
def _limited(stored: bytes, limits: Pairs, allowed: Pairs | None) -> bytes:
    principal = orjson.loads(stored)
    own, most = principal.get("limits"), dict(allowed or ())
    if own is None:
        principal["limits"] = dict(limits)
    elif allowed is not None:
        principal["limits"] = {code: min(own[code], most[code]) for code in own if code in most}
    return canonical(principal)
