"""Two tenants who do the same at the same time: same ledger name, same keys, same bodies."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from flask import Flask
from werkzeug.test import TestResponse

from tests.api.caller import Caller, token

UNSURE = 503
# It is stored. Whether it is final by now is a matter of time, and of no tenant.
STORED = frozenset({200, 202})


class Told(NamedTuple):
    """What one of them was told: how often each status by key, and the ids of operations."""

    statuses: dict[str, Counter[int]]
    ids: set[str]


class Twins(Caller):
    """A caller of the first tenant; whatever it asks, the second tenant asks at the same time.

    The first one's answers are given back. What both were told about operations is kept.
    """

    def __init__(self, app: Flask, ledger: str, second_tenant: int) -> None:
        super().__init__(app, ledger)
        self.second_tenant = second_tenant
        self.second = Caller(app, ledger, token(tenant_id=second_tenant))
        self.told = Told({}, set()), Told({}, set())
        self.lock = threading.Lock()

    def call(self, method: str, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        """One request of each, in a thread of its own: how deep JSON may be hangs on the stack."""
        first = super().call
        with ThreadPoolExecutor(2) as pool:
            asked = [
                pool.submit(call, method, path, body, **kwargs)
                for call in (first, self.second.call)
            ]
        mine, theirs = (one.result() for one in asked)
        key = kwargs.get("key")
        if key is not None and path == "operations":
            with self.lock:
                for told, answer in zip(self.told, (mine, theirs), strict=True):
                    status = 202 if answer.status_code in STORED else answer.status_code
                    told.statuses.setdefault(key, Counter())[status] += 1
                    told.ids.add((answer.json or {}).get("id", ""))
        return mine

    def with_roles(self, *roles: str, **claims: Any) -> Caller:
        """Both with these roles; what they are told is kept with what these are told."""
        made = Twins(self.app, self.ledger, self.second_tenant)
        made.bearer = token(roles, **claims)
        made.second.bearer = token(roles, tenant_id=self.second_tenant, **claims)
        made.told, made.lock = self.told, self.lock
        return made

    def check(self) -> None:
        """Each was told for each key what the other was told, of operations of its own.

        A key for which one of them could not be told once (503) is left out: how often that
        happens is not the tenant's matter. Nobody is ever told of an error within (500).
        """
        first, second = (one.statuses for one in self.told)
        assert set(first) == set(second)
        for key, statuses in first.items():
            assert 500 not in statuses + second[key]
            if UNSURE not in statuses + second[key]:
                assert statuses == second[key], f"{key}: {statuses} and {second[key]}"
        assert self.told[0].ids & self.told[1].ids <= {""}
