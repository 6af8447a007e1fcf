"""One process of the stack: how it is started, and how its end is noticed."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cli.stack.register import Entry, Mark, family_of, mark_of
from cli.stack.user import User, running_as

# A log that has grown over this is set aside as NAME.log.1, so that a stack that is left running
# for months keeps at most twice this for each process.
LOG_LIMIT_BYTES = 50_000_000


@dataclass(frozen=True)
class Spec:
    """What to run. `rank` orders the stopping: 0 before 1 before 2."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    log: Path
    rank: int
    stop_signal: int = signal.SIGTERM
    grace_s: float = 10.0
    user: User | None = None


class Child:
    """A started Spec, in a session of its own: a Ctrl-C at the terminal reaches only us.

    It writes straight into its log file, so it never blocks or dies on a pipe when we are gone.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        with spec.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  the commands are our own
                list(spec.command),
                env=dict(spec.env),
                cwd=spec.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **running_as(spec.user),
            )
        # It cannot be gone yet: its pid stays until we have collected it.
        mark = mark_of(spec.name, self._process.pid)
        assert mark is not None
        self.mark: Mark = mark
        self._seen = psutil.Process(mark.pid)

    def entry(self) -> Entry:
        """What processes.json keeps about this process."""
        spec = self.spec
        return Entry(self.mark, spec.rank, spec.stop_signal, spec.grace_s, family_of(self.mark))

    def collect(self) -> int | None:
        """None while it runs; otherwise its exit status (-n: killed by signal n).

        Whoever is left of its session is killed first, while the ended process still holds the id:
        a Granian worker outlives a killed master and would go on holding the port.
        """
        if self._process.returncode is None:
            if self._seen.status() != psutil.STATUS_ZOMBIE:
                return None
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.mark.pid, signal.SIGKILL)
        return self._process.wait()


def set_aside(log: Path) -> None:
    """Move a grown log's text to NAME.log.1. Its writer appends, so it goes on at the new end."""
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        shutil.copyfile(log, log.with_suffix(".log.1"))
        os.truncate(log, 0)
