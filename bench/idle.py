"""idle: one operation at a time through the API, each waiting until the one before is notified.

Latencies count from the moment before the request is sent; posted and notified are when a reader
that asks every millisecond sees them.
"""

import http.client
import json
import time
from urllib.parse import urlsplit

from bench.measure import Figures, new_ledger, open_accounts, percentile, wait_for

PAUSE_S = 0.05  # long enough for the workers to be idle again
MS = 1_000.0


def idle(url: str, token: str, operations: int) -> Figures:
    """p50 and p99 in milliseconds of request → accepted, → posted, → notified."""
    ledger = new_ledger("bench-idle")
    source, destination = open_accounts(ledger, 2)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    seen: dict[str, list[float]] = {"accepted": [], "posted": [], "notified": []}
    for number in range(operations):
        body = {
            "kind": "transfer",
            "source": source,
            "destination": destination,
            "amount": 1,
            "currency": "EUR",
        }
        headers = {
            "Authorization": f"Bearer {token}",
            "Idempotency-Key": f"idle-{number}",
            "Content-Type": "application/json",
        }
        start = time.perf_counter()
        connection.request(
            "POST", f"/v1/ledgers/{ledger.name}/operations", json.dumps(body), headers
        )
        answer = connection.getresponse()
        operation = json.loads(answer.read())
        assert answer.status == http.client.ACCEPTED, operation
        seen["accepted"].append(time.perf_counter() - start)
        for name, stage in (("posted", "post"), ("notified", "notify")):
            wait_for(ledger, stage, operation["position"])
            seen[name].append(time.perf_counter() - start)
        time.sleep(PAUSE_S)
    figures = {"operations": float(operations)}
    for name, values in seen.items():
        figures[f"{name}_p50_ms"] = percentile(values, 0.50) * MS
        figures[f"{name}_p99_ms"] = percentile(values, 0.99) * MS
    return Figures("idle, one at a time", figures)
