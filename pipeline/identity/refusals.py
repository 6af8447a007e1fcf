"""Refused log-ins, and resets that were asked for in vain, as the tenant's admins are told of them:
each one, but of a flood not every one.

What somebody without a password can make Trident keep for ever must have a bound. Beyond it they
are counted, and the next that is told says how many were not.
"""

import threading
import time
from typing import Any

import structlog

# A large tenant's people mistype a few times a minute; who guesses from many addresses gets an
# argon2 look for each try, some 25 a second, which would be two million events a day.
TOLD_A_MINUTE = 60
MINUTE_S = 60.0

alert = structlog.get_logger("trident.alert")


class Refusals:
    """What one process has told, by tenant. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[int, tuple[float, int]] = {}
        self._left_out: dict[int, int] = {}

    def detail(self, tenant_id: int, why: str) -> dict[str, Any] | None:
        """What the event of a refusal says; None: leave this one out."""
        left_out = self.left_out(tenant_id)
        if left_out is None:
            return None
        return {"reason": why} | ({"left_out": left_out} if left_out else {})

    def left_out(self, tenant_id: int) -> int | None:
        """How many were left out since the last one that was told; None: leave this one out."""
        now = time.monotonic()
        with self._lock:
            began, told = self._minutes.get(tenant_id, (now, 0))
            if now - began >= MINUTE_S:
                began, told = now, 0
            if told < TOLD_A_MINUTE:
                self._minutes[tenant_id] = began, told + 1
                return self._left_out.pop(tenant_id, 0)
            self._left_out[tenant_id] = left_out = self._left_out.get(tenant_id, 0) + 1
        if left_out == 1:
            alert.error("sign_ins_flood", tenant=tenant_id)
        return None


refusals = Refusals()
