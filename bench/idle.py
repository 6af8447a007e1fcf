"""idle: one operation at a time through the API, each waiting until the one before is notified.

Latencies count from the moment before the request is sent. Posted and notified are when the stage's
run was written, a fraction of a millisecond before its commit, by the clock of the same machine:
a reader that asks often enough to see it would take a core away from what it measures.
"""

import http.client
import json
import time
from urllib.parse import urlsplit

from sqlalchemy import text

from bench.measure import TENANT, Figures, new_ledger, open_accounts, percentile, wait_for
from models.db import tenant_reading
from models.ledger import LedgerRef

PAUSE_S = 0.05  # long enough for the workers to be idle again
LOOK_EVERY_S = 0.02
MS = 1_000.0
STAGES = {"posted": "post", "notified": "notify"}

RUN_AT = text(
    "SELECT extract(epoch FROM at)::float FROM runs WHERE tenant_id = :tenant"
    " AND ledger_id = :ledger AND stage = :stage AND to_position >= :position"
    " ORDER BY from_position LIMIT 1"
)


def idle(url: str, token: str, operations: int) -> Figures:
    """p50 and p99 in milliseconds of request → accepted, → posted, → notified."""
    ledger = new_ledger("bench-idle")
    accounts = open_accounts(ledger, 2)
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)
    seen: dict[str, list[float]] = {"accepted": [], "posted": [], "notified": []}
    for number in range(operations):
        sent = time.time()
        position = post(connection, token, ledger, accounts, f"idle-{number}")
        seen["accepted"].append(time.time() - sent)
        wait_for(ledger, "notify", position, LOOK_EVERY_S)
        for name, stage in STAGES.items():
            seen[name].append(run_at(ledger, stage, position) - sent)
        time.sleep(PAUSE_S)
    figures = {"operations": float(operations)}
    for name, values in seen.items():
        figures[f"{name}_p50_ms"] = percentile(values, 0.50) * MS
        figures[f"{name}_p99_ms"] = percentile(values, 0.99) * MS
    return Figures("idle, one at a time", figures)


def post(
    connection: http.client.HTTPConnection,
    token: str,
    ledger: LedgerRef,
    accounts: list[str],
    key: str,
) -> int:
    """One transfer of a cent; its position."""
    source, destination = accounts
    body = {
        "kind": "transfer",
        "source": source,
        "destination": destination,
        "amount": 1,
        "currency": "EUR",
    }
    headers = {
        "Authorization": f"Bearer {token}",
        "Idempotency-Key": key,
        "Content-Type": "application/json",
    }
    path = f"/v1/ledgers/{ledger.name}/operations"
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    operation = json.loads(answer.read())
    assert answer.status == http.client.ACCEPTED, operation
    return int(operation["position"])


def run_at(ledger: LedgerRef, stage: str, position: int) -> float:
    """When the stage's run over the position was written, in seconds since 1970."""
    scope = {"tenant": TENANT, "ledger": ledger.ledger_id, "stage": stage, "position": position}
    with tenant_reading(TENANT) as connection:
        return float(connection.execute(RUN_AT, scope).scalar_one())
