"""The load generator of rest and wait: wrk where the machine has it, and k6 otherwise.

It shares the cores with what it measures. k6 comes with our lock and takes a quarter of a core for
a thousand requests a second; wrk takes a sixth of that, but comes with the system only.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bench.bulk import ACCOUNTS
from models.ledger import LedgerRef

HERE = Path(__file__).parent
K6 = Path(sys.executable).parent / "k6"
# It may take so much longer than it was told, until its last answers are there.
LATE_S = 60.0
# wrk's own time limit for an answer, above what a waiting request may ask for.
ANSWER_S = 30
FINE = {f"status_{status:d}" for status in (http.client.OK, http.client.ACCEPTED)}
US_PER_MS = 1_000


class Answers(NamedTuple):
    """What the generator saw: by status how many, milliseconds, and its share of a core in %."""

    by_status: dict[str, int]
    p50_ms: float
    p99_ms: float
    core_share: float

    @property
    def answered(self) -> int:
        """All of them."""
        return sum(self.by_status.values())

    @property
    def errors(self) -> dict[str, int]:
        """Answers that are neither accepted nor final; status 0: none came."""
        return {status: n for status, n in self.by_status.items() if n and status not in FINE}


def play(
    env: Mapping[str, str], ledger: LedgerRef, connections: int, seconds: int, prefer: str = ""
) -> Answers:
    """Post to the ledger over so many connections, each as fast as it is answered."""
    url = f"{env['TRIDENT_URL']}/v1/ledgers/{ledger.name}/operations"
    with tempfile.NamedTemporaryFile(suffix=".json") as summary:
        told = {
            "BENCH_URL": url,
            "BENCH_TOKEN": env["TRIDENT_TOKEN"],
            "BENCH_CONNECTIONS": str(connections),
            "BENCH_SECONDS": str(seconds),
            "BENCH_ACCOUNTS": str(ACCOUNTS),
            "BENCH_PREFER": prefer,
            "BENCH_SUMMARY": summary.name,
        }
        wrk = shutil.which("wrk")
        command = k6_command() if wrk is None else wrk_command(wrk, url, connections, seconds)
        core_share = run(command, told, seconds)
        seen = json.loads(Path(summary.name).read_text())
    return read_k6(seen, core_share) if wrk is None else read_wrk(seen, core_share)


def k6_command() -> list[str]:
    """Without reports to its makers, and without a port of its own."""
    quiet = ("--quiet", "--no-usage-report", "--address", "", "--log-output", "stderr")
    return [str(K6), "run", *quiet, str(HERE / "load.js")]


def wrk_command(wrk: str, url: str, connections: int, seconds: int) -> list[str]:
    """One thread is enough for more than any of us can answer."""
    options = ["-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", f"{ANSWER_S}s"]
    return [wrk, *options, "-s", str(HERE / "load.lua"), url]


def run(command: list[str], told: Mapping[str, str], seconds: int) -> float:
    """Run the generator; its share of a core in %."""
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(  # noqa: S603 - the two programs above
        command,
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        timeout=seconds + LATE_S,
        check=False,
    )
    took, after = time.perf_counter() - began, os.times()
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{done.stderr}"
    used = after.children_user + after.children_system
    return 100 * (used - before.children_user - before.children_system) / took


def read_k6(metrics: dict[str, Any], core_share: float) -> Answers:
    """From its own summary."""
    took = metrics["http_req_duration"]["values"]
    by_status = {
        name: int(metric["values"]["count"])
        for name, metric in metrics.items()
        if name.startswith("status_")
    }
    return Answers(by_status, took["med"], took["p(99)"], core_share)


def read_wrk(seen: dict[str, int], core_share: float) -> Answers:
    """From what load.lua has written."""
    by_status = {name: count for name, count in seen.items() if name.startswith("status_")}
    return Answers(by_status, seen["p50_us"] / US_PER_MS, seen["p99_us"] / US_PER_MS, core_share)


def generator() -> str:
    """Its name and version."""
    wrk = shutil.which("wrk")
    if wrk is not None:
        # `wrk -v` prints its usage too, and fails.
        done = subprocess.run([wrk, "-v"], check=False, capture_output=True, text=True)  # noqa: S603
        return " ".join((done.stdout or done.stderr).split()[:2])
    done = subprocess.run([K6, "version"], check=True, capture_output=True, text=True)  # noqa: S603
    return " ".join(done.stdout.split()[:2])
