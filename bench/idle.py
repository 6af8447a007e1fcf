"""idle: one operation at a time through the API, each waiting until the one before is notified."""

import time
from collections.abc import Mapping

from bench.figures import Figures
from bench.measure import new_ledger, open_accounts, wait_for
from bench.singles import singles
from models.ledger import LedgerRef

PAUSE_S = 0.05  # long enough for the workers to be idle again
LOOK_EVERY_S = 0.02


def idle(env: Mapping[str, str], operations: int) -> Figures:
    """p50 and p99 in milliseconds of request → accepted, → posted, → notified."""
    ledger = new_ledger("idle")
    source, destination = open_accounts(ledger, 2)
    figures = one_at_a_time(env, ledger, (source, destination), operations)
    notes = ["From before the request is sent; posted, notified: when the stage wrote its run."]
    return Figures("idle", "idle: one operation at a time", {"idle": figures}, notes)


def one_at_a_time(
    env: Mapping[str, str], ledger: LedgerRef, pair: tuple[str, str], operations: int
) -> dict[str, float]:
    """The latencies of so many transfers, with the workers at rest before each."""
    with singles(env, ledger, pair) as client:
        for _ in range(operations):
            wait_for(ledger, "notify", client.send().position, LOOK_EVERY_S)
            time.sleep(PAUSE_S)
        return client.latencies()
