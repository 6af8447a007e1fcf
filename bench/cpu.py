"""Where the time of the cores goes: seconds of CPU by part of the stack.

On a machine that has other things to do, rates fall and these figures hardly move.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import psutil

from cli.stack.supervisor import Supervisor

US_PER_S = 1_000_000


@contextmanager
def metered(
    supervisor: Supervisor, operations: int, others: Sequence[int] = ()
) -> Iterator[dict[str, float]]:
    """Fills in what was used meanwhile: microseconds of CPU for each operation, by part.

    `others` are pids of workers that are not Trident's. The feeder is this process: it accepts.
    """
    figures: dict[str, float] = {}
    before = _used(supervisor, others)
    yield figures
    for part, seconds in _used(supervisor, others).items():
        figures[f"cpu_us_{part}"] = (seconds - before[part]) * US_PER_S / operations
    figures["cpu_us_in_all"] = sum(figures.values())


def _used(supervisor: Supervisor, others: Sequence[int]) -> dict[str, float]:
    own = os.times()
    postgres, worker = supervisor.pid("postgres"), supervisor.pid("worker")
    assert postgres is not None, "postgres is down: see its log"
    assert worker is not None, "worker is down: see its log"
    return {
        "feeder": own.user + own.system,
        "workers": sum(_family(pid) for pid in (worker, *others)),
        "postgres": _family(postgres),
    }


def _family(pid: int) -> float:
    """Of a process, its children, and those that have ended, which it has in its own account."""
    parent = psutil.Process(pid)
    used = 0.0
    for child in parent.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            used += times.user + times.system
    times = parent.cpu_times()
    return used + times.user + times.system + times.children_user + times.children_system
