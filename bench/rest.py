"""rest and wait: single POSTs over many connections at once, from a load generator of its own.

The generator is k6 (rest.js). It shares the cores with what it measures, so its part is named.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import text

from bench.bulk import ACCOUNTS
from bench.figures import Figures
from bench.measure import new_ledger, open_accounts, pace, reached
from models.db import tenant_reading
from models.ledger import LedgerRef

SCRIPT = Path(__file__).with_suffix(".js")
K6 = Path(sys.executable).parent / "k6"
REST_CONNECTIONS = (1, 16, 64, 256)
WAIT_CONNECTIONS = (1, 16, 64)
WAIT = "wait=5"
# k6 may take so much longer than it was told, until its last answers are there.
LATE_S = 60.0
FINE = {http.client.OK, http.client.ACCEPTED}

ACCEPTED_AT = text(
    "SELECT extract(epoch FROM min(accepted_at))::float,"
    " extract(epoch FROM max(accepted_at))::float FROM operations WHERE tenant_id = :tenant AND ledger_id = :ledger AND position > :after"
)


class Answers(NamedTuple):
    """What the generator saw: by status how many, milliseconds, and its share of a core in %."""

    by_status: dict[str, int]
    p50_ms: float
    p99_ms: float
    core_share: float

    @property
    def errors(self) -> dict[str, int]:
        """Answers that are neither accepted nor final."""
        fine = {str(int(status)) for status in FINE}
        return {status: n for status, n in self.by_status.items() if status not in fine}


def rest(env: Mapping[str, str], seconds: int) -> Figures:
    """Accepted as fast as the connections ask; then until all is posted."""
    cases = {shown(n): accepting(env, n, seconds) for n in REST_CONNECTIONS}
    notes = [
        "accepted/s: from the first accept to the last. posted/s: to the last posted.",
        "Accept latencies as the generator saw them; drain: from the last accept to its posting.",
        f"Generator: {generator()}; its part is of one core, on the same machine.",
    ]
    return Figures("rest", f"rest: single POSTs for {seconds} s", cases, notes)


def wait(env: Mapping[str, str], seconds: int) -> Figures:
    """Each request asks to be answered when its operation is final."""
    cases = {shown(n): waiting(env, n, seconds) for n in WAIT_CONNECTIONS}
    notes = [f"Prefer: {WAIT}; final: posted or rejected in the answer.", f"{generator()}."]
    return Figures("wait", f"wait: POSTs that wait to be final, for {seconds} s", cases, notes)


def shown(connections: int) -> str:
    """A column's heading."""
    return f"{connections} conn."


def accepting(env: Mapping[str, str], connections: int, seconds: int) -> dict[str, float]:
    """The figures of one number of connections."""
    ledger = new_ledger("rest")
    open_accounts(ledger, ACCOUNTS)
    before = reached(ledger, "accept")
    answers = play(env, ledger, connections, seconds)
    last = reached(ledger, "accept")
    began, accepted = accepted_between(ledger, before)
    paced = pace(last - before, began, accepted, [(ledger, last)])
    assert last - before >= sum(answers.by_status.values()) - sum(answers.errors.values())
    return {
        "accepted_per_s": paced.figures["accepted_per_s"],
        "accept_p50_ms": answers.p50_ms,
        "accept_p99_ms": answers.p99_ms,
        "posted_per_s": paced.figures["posted_per_s"],
        "drain_s": paced.posted - paced.accepted,
        "errors": sum(answers.errors.values()),
        **{f"errors_{status}": n for status, n in answers.errors.items()},
        "generator_%_of_core": answers.core_share,
    }


def waiting(env: Mapping[str, str], connections: int, seconds: int) -> dict[str, float]:
    """The figures of one number of connections that wait."""
    ledger = new_ledger("wait")
    open_accounts(ledger, ACCOUNTS)
    before = reached(ledger, "accept")
    answers = play(env, ledger, connections, seconds, prefer=WAIT)
    began, accepted = accepted_between(ledger, before)
    answered = sum(answers.by_status.values())
    return {
        "answered_per_s": answered / (accepted - began),
        "p50_ms": answers.p50_ms,
        "p99_ms": answers.p99_ms,
        "final_%": 100 * answers.by_status.get(str(int(http.client.OK)), 0) / answered,
        "errors": sum(answers.errors.values()),
        **{f"errors_{status}": n for status, n in answers.errors.items()},
        "generator_%_of_core": answers.core_share,
    }


def accepted_between(ledger: LedgerRef, after: int) -> tuple[float, float]:
    """When the first and the last operation after a position were accepted."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "after": after}
    with tenant_reading(ledger.tenant_id) as connection:
        first, last = connection.execute(ACCEPTED_AT, scope).one()
    return first, last


def play(
    env: Mapping[str, str], ledger: LedgerRef, connections: int, seconds: int, prefer: str = ""
) -> Answers:
    """One run of the generator."""
    with tempfile.NamedTemporaryFile(suffix=".json") as summary:
        told = {
            "BENCH_URL": f"{env['TRIDENT_URL']}/v1/ledgers/{ledger.name}/operations",
            "BENCH_TOKEN": env["TRIDENT_TOKEN"],
            "BENCH_CONNECTIONS": str(connections),
            "BENCH_SECONDS": str(seconds),
            "BENCH_ACCOUNTS": str(ACCOUNTS),
            "BENCH_PREFER": prefer,
            "BENCH_SUMMARY": summary.name,
        }
        core_share = run_k6(told, seconds)
        return read(json.loads(Path(summary.name).read_text()), core_share)


def run_k6(told: dict[str, str], seconds: int) -> float:
    """Run it without reports to its makers or a port of its own; its share of a core in %."""
    quiet = ("--quiet", "--no-usage-report", "--address", "", "--log-output", "stderr")
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(  # noqa: S603 - the program of a locked package
        [str(K6), "run", *quiet, str(SCRIPT)],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=seconds + LATE_S,
        check=False,
    )
    took, after = time.perf_counter() - began, os.times()
    assert done.returncode == 0, f"k6 ended with {done.returncode}:\n{done.stderr}"
    used = after.children_user + after.children_system
    return 100 * (used - before.children_user - before.children_system) / took


def read(metrics: dict[str, Any], core_share: float) -> Answers:
    """From k6's summary."""
    took = metrics["http_req_duration"]["values"]
    by_status = {
        name.removeprefix("status_"): int(metric["values"]["count"])
        for name, metric in metrics.items()
        if name.startswith("status_")
    }
    return Answers(by_status, took["med"], took["p(99)"], core_share)


def generator() -> str:
    """Its name and version."""
    done = subprocess.run([str(K6), "version"], check=True, capture_output=True, text=True)  # noqa: S603
    return " ".join(done.stdout.split()[:2])
