"""memory: how large the workers' processes have become, after all scenarios before this one."""

import psutil

from bench.bulk import prepared
from bench.figures import Figures
from bench.outage import worker
from cli.stack.supervisor import Supervisor

MB = 1_000_000
# Submissions are made in portions: a million of them at once would be 500 MB of ours.
PORTION = 100_000


def memory(supervisor: Supervisor, operations: int) -> Figures:
    """The largest of the pool's processes, before and after so many operations more."""
    cases = {"before": largest(supervisor)}
    for start in range(0, operations, PORTION):
        prepared("memory", min(PORTION, operations - start)).play()
    cases["after"] = {**largest(supervisor), "operations_more": operations}
    notes = [
        "Of the pool's processes the one with the largest RSS; USS is what it shares with nobody.",
        "The operations went through all of them together; each stage's runs go to any of them.",
    ]
    return Figures("memory", "memory: the largest worker process", cases, notes)


def largest(supervisor: Supervisor) -> dict[str, float]:
    """Its RSS and USS in MB, and how many there are."""
    children = psutil.Process(worker(supervisor)).children()
    memory = max((child.memory_full_info() for child in children), key=lambda info: info.rss)
    return {"processes": len(children), "rss_mb": memory.rss / MB, "uss_mb": memory.uss / MB}
