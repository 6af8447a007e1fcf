"""TRIDENT_HOME: what lies where in it, and the lock that lets one stack in at a time."""

import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from cli.stack.errors import AlreadyRunning, HomeUnusable
from cli.stack.register import Mark, mark_of

# How long a start waits for the warden of a killed stack to end what that one left: Postgres may
# need this long to write its last checkpoint.
WARDEN_WAIT_S = 90
LOCK_LOOK_S = 0.2
# Others may pass through: as root, Postgres runs as another user, whose folder lies inside.
HOME_MODE = 0o711


@dataclass(frozen=True)
class Home:
    """The folder that holds all that one stack keeps."""

    root: Path

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data directory."""
        return self.root / "postgres"

    @property
    def valkey(self) -> Path:
        """Valkey's append-only file and its configuration."""
        return self.root / "valkey"

    @property
    def logs(self) -> Path:
        """One file for each process, and stack.log for what starts and stops them."""
        return self.root / "logs"

    @property
    def secrets(self) -> Path:
        """The generated passwords, readable by their owner only."""
        return self.root / "secrets.json"

    @property
    def keks(self) -> Path:
        """The generated key-encryption keys, likewise: the current one first, one a line."""
        return self.root / "keks"

    @property
    def env(self) -> Path:
        """The environment of the running stack; models/settings.py reads it."""
        return self.root / "env.json"

    @property
    def processes(self) -> Path:
        """Pid and start time of every process that the running stack started."""
        return self.root / "processes.json"

    @property
    def lock(self) -> Path:
        """Held by the stack that runs here."""
        return self.root / "lock"

    def log(self, name: str) -> Path:
        """The log of the process `name`."""
        return self.logs / f"{name}.log"

    def prepare(self) -> None:
        """Make the folders; raises HomeUnusable when they cannot be written."""
        try:
            self.root.mkdir(mode=HOME_MODE, parents=True, exist_ok=True)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self.valkey.mkdir(mode=0o700, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise HomeUnusable(
                f"TRIDENT_HOME {self.root} cannot be written: {error.strerror} ({error.filename})."
                " Set TRIDENT_HOME to a folder that you may write, on a disk with space left."
            ) from None


class Lock:
    """The lock of a home, held. Its file tells others who holds it and under which address."""

    def __init__(self, file: int) -> None:
        self._file = file

    def say(self, url: str | None = None) -> None:
        """Write down who we are, and the API's address once it is known."""
        me = mark_of("supervisor", os.getpid())
        assert me is not None
        text = json.dumps({"pid": me.pid, "created": me.created, "url": url}).encode()
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, text, 0)


@contextmanager
def locked(home: Home) -> Iterator[Lock]:
    """Hold the home's lock; raises AlreadyRunning while another living stack has it."""
    file = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _acquire(home, file)
        lock = Lock(file)
        lock.say()
        yield lock
        os.ftruncate(file, 0)
    finally:
        os.close(file)


def try_lock(file: int) -> bool:
    """Take the lock on an open file, or say that somebody else has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _acquire(home: Home, file: int) -> None:
    deadline = time.monotonic() + WARDEN_WAIT_S
    while not try_lock(file):
        holder = _holder(file)
        # A holder that is dead has a warden that is just tidying up after it: wait for that.
        if _alive(holder) or time.monotonic() > deadline:
            raise AlreadyRunning(_refusal(home, holder))
        time.sleep(LOCK_LOOK_S)


def _holder(file: int) -> dict[str, Any]:
    try:
        return dict(json.loads(os.pread(file, 4096, 0) or b"{}"))
    except ValueError:
        return {}


def _alive(holder: dict[str, Any]) -> bool:
    if "pid" not in holder:
        # Just taken, or just let go: the next look knows.
        return False
    process = Mark("supervisor", holder["pid"], holder["created"]).process()
    return process is not None and process.status() != psutil.STATUS_ZOMBIE


def _refusal(home: Home, holder: dict[str, Any]) -> str:
    who = f"process {holder.get('pid', 'unknown')}"
    where = f", at {holder['url']}" if holder.get("url") else ""
    return (
        f"A stack already runs in {home.root} ({who}{where}). Use that one, stop it with Ctrl-C,"
        " or set TRIDENT_HOME to another folder to run a second one beside it."
    )
