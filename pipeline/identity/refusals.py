"""Refused log-ins, and resets that were asked for in vain, as the tenant's admins are told of them:
each one, but of a flood not every one.

What somebody without a password can make Trident keep for ever must have a bound. Beyond it they
are counted, and the next that is told says how many were not. From an address that is locked, where
nothing is looked at, one is told for each person and lock.
"""

import threading
import time
from collections import OrderedDict
from typing import Any

import structlog

from pipeline.identity.lockout import LONGEST_DELAY_S

# A large tenant's people mistype a few times a minute; who guesses from many addresses gets an
# argon2 look for each try, some 25 a second, which would be two million events a day.
TOLD_A_MINUTE = 60
MINUTE_S = 60.0
# Pairs of a locked address and a person that are remembered, some 300 bytes each: an address is
# locked after twenty looks, of which there are 25 a second. The first that was told goes first.
LOCKED_MAX = 10_000

alert = structlog.get_logger("trident.alert")


class Refusals:
    """What one process has told, by tenant. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minutes: dict[int, tuple[float, int]] = {}
        self._left_out: dict[int, int] = {}
        self._locked: OrderedDict[tuple[int, str | None, str], float] = OrderedDict()

    def detail(self, tenant_id: int, why: str) -> dict[str, Any] | None:
        """What the event of a refusal says; None: leave this one out."""
        left_out = self.left_out(tenant_id)
        if left_out is None:
            return None
        return {"reason": why} | ({"left_out": left_out} if left_out else {})

    def locked(self, tenant_id: int, person_id: str | None, network: str) -> dict[str, Any] | None:
        """What the event of a try from a locked address says; None: leave this one out, for one of
        this person and address was told within the time that a lock takes."""
        whose, now = (tenant_id, person_id, network), time.monotonic()
        with self._lock:
            told = self._locked.get(whose)
            if told is not None and now - told < LONGEST_DELAY_S:
                self._left_out[tenant_id] = self._left_out.get(tenant_id, 0) + 1
                return None
            self._locked.pop(whose, None)
            self._locked[whose] = now
            if len(self._locked) > LOCKED_MAX:
                self._locked.popitem(last=False)
        alert.error("sign_in_address_locked", tenant=tenant_id, person=person_id)
        return self.detail(tenant_id, "locked_address")

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
            # The first beyond the bound is one more than are told.
            self._minutes[tenant_id] = began, TOLD_A_MINUTE + 1
            self._left_out[tenant_id] = self._left_out.get(tenant_id, 0) + 1
        if told == TOLD_A_MINUTE:
            alert.error("sign_ins_flood", tenant=tenant_id)
        return None


refusals = Refusals()
