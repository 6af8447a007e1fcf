"""Single operations through the API, as an app sends them, and how long each of them took.

Latencies count from the moment before the request is sent. Posted and notified are when the stage's
run was written, looked up afterwards (measure.py).
"""

import http.client
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

from bench.measure import MS, Pair, percentile, run_at, wait_for
from models.ledger import LedgerRef

ANSWER_S = 30.0
STAGES = {"posted": "post", "notified": "notify"}
_keys = itertools.count(1)


class Sent(NamedTuple):
    """One operation that was accepted; times in seconds since 1970."""

    position: int
    sent: float
    answered: float


class Singles:
    """One client of one ledger, which keeps its connection."""

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        token: str,
        ledger: LedgerRef,
        pair: Pair,
    ) -> None:
        self.ledger = ledger
        self.sent: list[Sent] = []
        self._connection = connection
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        source, destination = pair
        members = {"kind": "transfer", "source": source, "destination": destination}
        self._body = json.dumps({**members, "amount": 1, "currency": "EUR"})

    def send(self) -> Sent:
        """One transfer of a cent, accepted."""
        key = f"single-{next(_keys)}"
        path = f"/v1/ledgers/{self.ledger.name}/operations"
        began = time.time()
        self._connection.request(
            "POST", path, self._body, {**self._headers, "Idempotency-Key": key}
        )
        answer = self._connection.getresponse()
        operation = json.loads(answer.read())
        ended = time.time()
        assert answer.status == http.client.ACCEPTED, operation
        self.sent.append(Sent(operation["position"], began, ended))
        return self.sent[-1]

    def latencies(self) -> dict[str, float]:
        """p50 and p99 in milliseconds, from the request to accepted, posted, notified."""
        wait_for(self.ledger, "notify", self.sent[-1].position)
        seen = {"accepted": [one.answered - one.sent for one in self.sent]}
        for name, stage in STAGES.items():
            seen[name] = [run_at(self.ledger, stage, one.position) - one.sent for one in self.sent]
        figures = {"operations": float(len(self.sent))}
        for name, values in seen.items():
            figures[f"{name}_p50_ms"] = percentile(values, 0.50) * MS
            figures[f"{name}_p99_ms"] = percentile(values, 0.99) * MS
        return figures


@contextmanager
def singles(
    env: Mapping[str, str], ledger: LedgerRef, pair: Pair, token: str = ""
) -> Iterator[Singles]:
    """A client of the stack's API; with every role in the default tenant unless `token` says."""
    netloc = urlsplit(env["TRIDENT_URL"]).netloc
    connection = http.client.HTTPConnection(netloc, timeout=ANSWER_S)
    try:
        yield Singles(connection, token or env["TRIDENT_TOKEN"], ledger, pair)
    finally:
        connection.close()
