"""Where the time of the cores goes: seconds of CPU by part of the stack.

On a machine that has other things to do, rates fall and these figures hardly move.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from cli.stack.supervisor import Supervisor

PARTS = {"postgres": "postgres", "worker": "workers"}
# Who feeds the log and waits for the end: this process, with children of its own that have ended.
OWN = "feeder"
US_PER_S = 1_000_000


@contextmanager
def metered(supervisor: Supervisor, operations: int) -> Iterator[dict[str, float]]:
    """Fills in what was used meanwhile: microseconds of CPU for each operation, by part."""
    figures: dict[str, float] = {}
    before = _used(supervisor)
    yield figures
    for part, seconds in _used(supervisor).items():
        figures[f"cpu_us_{part}"] = (seconds - before[part]) * US_PER_S / operations
    figures["cpu_us_in_all"] = sum(figures.values())


def _used(supervisor: Supervisor) -> dict[str, float]:
    own = os.times()
    used = {OWN: own.user + own.system + own.children_user + own.children_system}
    for name, part in PARTS.items():
        pid = supervisor.pid(name)
        assert pid is not None, f"{name} is down: see its log"
        used[part] = _family(psutil.Process(pid))
    return used


def _family(parent: psutil.Process) -> float:
    """Of a process and its children, those that have ended (its own account of them) included."""
    times = parent.cpu_times()
    used = times.user + times.system + times.children_user + times.children_system
    for child in parent.children(recursive=True):
        times = child.cpu_times()
        used += times.user + times.system
    return used
