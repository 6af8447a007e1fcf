"""Ending processes: politely, in order, and the ones that do not go by force."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress

import psutil

from cli.stack import register
from cli.stack.home import Home
from cli.stack.register import Entry, Mark, family_of

# How often we look whether a process has gone.
LOOK_S = 0.05


def end(entries: Iterable[Entry], *, in_a_hurry: Callable[[], bool] = lambda: False) -> list[str]:
    """End the processes and their descendants, rank by rank; returns the names of those found.

    Each gets its stop signal and its grace, then SIGKILL. In a hurry (asked again and again) the
    grace of rank 0 ends at once; servers keep theirs, which is short, because they hold data.
    """
    found: list[str] = []
    entries = list(entries)
    for rank in sorted({entry.rank for entry in entries}):
        found += _end_rank([entry for entry in entries if entry.rank == rank], in_a_hurry)
    return found


def end_leftovers(home: Home) -> list[str]:
    """End what an earlier stack in this home left behind; returns the names of those found.

    Only whoever holds the home's lock may call this.
    """
    found = end(register.read(home.processes))
    home.processes.unlink(missing_ok=True)
    home.env.unlink(missing_ok=True)
    return found


def _end_rank(entries: list[Entry], in_a_hurry: Callable[[], bool]) -> list[str]:
    families = [mark for entry in entries for mark in (*entry.family, *family_of(entry.mark))]
    living = [entry for entry in entries if not gone(entry.mark)]
    for entry in living:
        _send(entry.mark, entry.stop_signal)
    began = time.monotonic()
    waiting = living
    while waiting := [entry for entry in waiting if not gone(entry.mark)]:
        hurry = entries[0].rank == 0 and in_a_hurry()
        late = [entry for entry in waiting if hurry or time.monotonic() - began > entry.grace_s]
        for entry in late:
            _kill(entry.mark)
        time.sleep(LOOK_S)
    left = {mark for mark in families if not gone(mark)}
    for mark in left:
        _kill(mark)
    return sorted({entry.mark.name for entry in living} | {mark.name for mark in left})


def gone(mark: Mark) -> bool:
    """Has the process ended? (One that only waits for its parent to notice has.)"""
    process = mark.process()
    try:
        return process is None or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _send(mark: Mark, signal: int) -> None:
    process = mark.process()
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal)


def _kill(mark: Mark) -> None:
    process = mark.process()
    if process is not None:
        with suppress(psutil.NoSuchProcess):
            process.kill()
