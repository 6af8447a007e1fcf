"""processes.json: who was started, by pid AND start time, so that nobody else is ever ended.

A pid alone is not a name: the kernel gives it to a stranger once its process is gone.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from cli.stack.files import write_private

# Two readings of one process's start time may differ by clock ticks and by a slewing clock. No pid
# comes round again this quickly.
SAME_START_S = 1.0


@dataclass(frozen=True)
class Mark:
    """One process: its name for people, its pid, and its start time in seconds since the epoch."""

    name: str
    pid: int
    created: float

    def process(self) -> psutil.Process | None:
        """The process itself, or None when it is gone or its pid belongs to somebody else now."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) <= SAME_START_S
        except psutil.NoSuchProcess:
            return None
        return process if same else None


@dataclass(frozen=True)
class Entry:
    """A started process, how it wants to be stopped, and the processes that it started itself."""

    mark: Mark
    rank: int  # the order of stopping: all of rank 0 first
    stop_signal: int
    grace_s: float
    family: list[Mark] = field(default_factory=list)


def mark_of(name: str, pid: int) -> Mark | None:
    """The mark of a living process."""
    try:
        return Mark(name, pid, psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return None


def family_of(mark: Mark) -> list[Mark]:
    """The marks of all descendants of a process."""
    process = mark.process()
    if process is None:
        return []
    try:
        children = process.children(recursive=True)
        return [Mark(mark.name, child.pid, child.create_time()) for child in children]
    except psutil.NoSuchProcess:
        return []


def write(path: Path, entries: Iterable[Entry]) -> None:
    """Store what runs now."""
    write_private(path, json.dumps([asdict(entry) for entry in entries], indent=2))


def read(path: Path) -> list[Entry]:
    """What the last stack in this home wrote; [] when it ended in good order."""
    try:
        rows = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    return [_entry(row) for row in rows]


def _entry(row: dict[str, Any]) -> Entry:
    family = [Mark(**mark) for mark in row.pop("family")]
    return Entry(mark=Mark(**row.pop("mark")), family=family, **row)
