"""Processes of ours that hold a stack, to be killed together with it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from cli.stack.ending import end, gone
from cli.stack.home import Home
from cli.stack.register import Entry, Mark, family_of, mark_of, read
from cli.stack.root import ROOT

# A fresh home takes about 3 s on two idle cores, and several times that on busy ones.
PATIENCE_S = 60.0

# Holds the two servers until its standard input ends.
SERVERS = (
    "import sys; from cli.stack import servers\nwith servers(any_ports=True): sys.stdin.read()"
)


class Held:
    """A process that holds a stack in `home`."""

    def __init__(self, home: Home, process: "subprocess.Popen[str]", mark: Mark) -> None:
        self.home = home
        self.process = process
        self.mark = mark

    def env(self) -> dict[str, str]:
        """The environment of its stack, once that is up."""
        wait_until(lambda: self.home.env.exists() or self.process.poll() is not None)
        assert self.home.env.exists(), self.process.communicate()[0]
        return dict(json.loads(self.home.env.read_text()))

    def pid(self, name: str) -> int | None:
        """The pid of one of its processes."""
        return {e.mark.name: e.mark.pid for e in read(self.home.processes)}.get(name)

    def family(self) -> list[Mark]:
        """Everything that it has started, descendants and warden included."""
        return family_of(self.mark)

    def wait_for_line(self, text: str) -> None:
        """Read what it prints until a line holds this text."""
        assert self.process.stdout is not None
        assert any(text in line for line in self.process.stdout), f"{text!r} was not printed"

    def kill(self) -> None:
        """kill -9."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> tuple[int, str]:
        """End it in good order; returns its status and what it printed."""
        output, _ = self.process.communicate("", PATIENCE_S)
        return self.process.returncode, output


@contextmanager
def holding(home: Home, *command: str, **env: str) -> Iterator[Held]:
    """Run Python with these arguments in `home`; ends it, and all that it started, at the end."""
    process = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "TRIDENT_HOME": str(home.root), **env},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    mark = mark_of("held", process.pid)
    assert mark is not None
    try:
        yield Held(home, process, mark)
    finally:
        end([Entry(mark, 0, signal.SIGTERM, PATIENCE_S)])
        if process.stdin is not None and not process.stdin.closed:
            process.communicate()
        if home.processes.exists():
            end(read(home.processes))


def wait_until(condition: Callable[[], Any], within_s: float = PATIENCE_S) -> None:
    """Wait until something is so; fails the test when it does not come to pass."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not so within {within_s} s"
        time.sleep(0.05)


def all_gone(marks: list[Mark]) -> bool:
    """Has every one of these processes ended?"""
    return all(gone(mark) for mark in marks)


def connections(port: int) -> list[psutil.Process]:
    """Who listens on a port of this machine."""
    return [
        psutil.Process(c.pid)
        for c in psutil.net_connections("tcp4")
        if c.pid and c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN
    ]
