"""The supervisor: starts processes, starts them again when they die, and stops them in order.

It watches in a thread of its own, so the code that uses the stack need not know about it. If this
process itself is killed, its warden (cli/stack/warden.py) ends everything.
"""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from cli.stack import register
from cli.stack.child import Child, Spec, set_aside
from cli.stack.ending import end
from cli.stack.errors import NotUp
from cli.stack.home import Home
from cli.stack.register import Entry, mark_of
from cli.stack.root import ROOT
from cli.stack.saying import Say

# How often we look at the processes: a death is noticed within this time.
LOOK_S = 0.2
# How often their descendants are written down, and their logs measured.
TIDY_S = 5.0
# The pause before a restart doubles from the first to the longest, and begins anew after a life
# that lasted. A process that dies at once, for ever, costs one start in 30 s.
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
LASTING_LIFE_S = 60.0
# Deaths before it was ever up after which a start is given up. One is not enough: what an
# earlier, killed server left behind may need a second to go.
DEATHS_BEFORE_GIVING_UP = 3
# How long the command of `trident run -- COMMAND` may take to go when the stack has to.
ADOPTED_GRACE_S = 10.0
# How much of a log a message quotes.
QUOTED_LINES = 8
QUOTED_BYTES = 4_000


@dataclass
class _Post:
    """A place that is always to be filled: its Spec, who fills it now, and its bad luck."""

    spec: Spec
    child: Child | None = None
    pause_s: float = FIRST_PAUSE_S
    began: float = field(default_factory=time.monotonic)
    due: float = 0.0
    deaths: int = 0


class Supervisor:
    """Keeps processes running until `stop`. Safe to call from any thread."""

    def __init__(self, home: Home, say: Say) -> None:
        self._home = home
        self._say = say
        self._posts: dict[str, _Post] = {}
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._warden = _start_warden(home)
        self._tidied = time.monotonic()
        self._adopted: list[Entry] = []
        self._written: list[Entry] = []
        self._trouble = ""
        self._watcher = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._watcher.start()

    def start(self, spec: Spec) -> None:
        """Start a process and keep it running."""
        set_aside(spec.log)
        with self._lock:
            post = self._posts[spec.name] = _Post(spec)
            self._fill(post)

    def adopt(self, name: str, pid: int) -> None:
        """Stop a process with the others if it is still there then; it is not started again."""
        mark = mark_of(name, pid)
        if mark is not None:
            with self._lock:
                self._adopted.append(Entry(mark, 0, signal.SIGTERM, ADOPTED_GRACE_S))
                self._write_down()

    def wait_until(self, name: str, ready: Callable[[], bool], within_s: float) -> None:
        """Wait until `ready` says yes; raises NotUp after `within_s` seconds or repeated deaths."""
        deadline = time.monotonic() + within_s
        while not ready():
            if self._posts[name].deaths >= DEATHS_BEFORE_GIVING_UP:
                raise NotUp(self._obituary(name, "does not start"))
            if time.monotonic() > deadline:
                raise NotUp(self._obituary(name, f"is not up after {within_s:.0f} s"))
            time.sleep(LOOK_S)

    def pid(self, name: str) -> int | None:
        """The pid of a process, or None while it is down."""
        child = self._posts[name].child
        return None if child is None else child.mark.pid

    def stop(self) -> None:
        """Stop the app processes, then Valkey, then Postgres; then let the warden go."""
        with _shielded(self._hurry.set):
            self._stopping.set()
            self._watcher.join()
            children = [post.child for post in self._posts.values() if post.child is not None]
            end(self._entries(), in_a_hurry=self._hurry.is_set)
            for child in children:
                child.collect()
            self._home.processes.unlink(missing_ok=True)
            _end_warden(self._warden)

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                with self._lock:
                    self._look()
                self._trouble = ""
            except OSError as error:
                # A full disk or process table must not end the watch: the next look tries again.
                if str(error) != self._trouble:
                    self._trouble = str(error)
                    self._say(f"supervisor: {error}")

    def _look(self) -> None:
        for post in self._posts.values():
            status = None if post.child is None else post.child.collect()
            if status is not None:
                self._mourn(post, status)
            elif post.child is None and time.monotonic() >= post.due:
                self._fill(post)
                self._say(f"{post.spec.name} was started again (pid {self.pid(post.spec.name)})")
        if time.monotonic() - self._tidied > TIDY_S:
            self._tidy()

    def _mourn(self, post: _Post, status: int) -> None:
        if time.monotonic() - post.began > LASTING_LIFE_S:
            post.pause_s = FIRST_PAUSE_S
        post.child = None
        post.deaths += 1
        post.due = time.monotonic() + post.pause_s
        self._say(
            f"{post.spec.name} {_cause(status)}; it is started again in {post.pause_s:.0f} s"
            f" (log: {post.spec.log})"
        )
        post.pause_s = min(post.pause_s * 2, LONGEST_PAUSE_S)
        self._write_down()

    def _fill(self, post: _Post) -> None:
        post.began = time.monotonic()
        post.child = Child(post.spec)
        self._write_down()

    def _tidy(self) -> None:
        self._tidied = time.monotonic()
        for post in self._posts.values():
            set_aside(post.spec.log)
        if self._warden.poll() is not None:
            self._warden = _start_warden(self._home)
        self._write_down()

    def _write_down(self) -> None:
        entries = self._entries()
        if entries != self._written:
            register.write(self._home.processes, entries)
            self._written = entries

    def _entries(self) -> list[Entry]:
        children = [post.child for post in self._posts.values() if post.child is not None]
        return [*self._adopted, *(child.entry() for child in children)]

    def _obituary(self, name: str, what: str) -> str:
        log = self._posts[name].spec.log
        return f"{name} {what}. Its log, {log}, ends with:\n{_quote(log)}"


@contextmanager
def supervising(home: Home, say: Say) -> Iterator[Supervisor]:
    """A supervisor that stops everything at the end."""
    supervisor = Supervisor(home, say)
    try:
        yield supervisor
    finally:
        supervisor.stop()


@contextmanager
def _shielded(on_signal: Callable[[], None]) -> Iterator[None]:
    """Turn Ctrl-C and TERM into a call of `on_signal`: nothing breaks off in the middle."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are delivered to the main thread only.
        return

    def handle(_signal: int, _frame: FrameType | None) -> None:
        on_signal()

    before = {s: signal.signal(s, handle) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _start_warden(home: Home) -> "subprocess.Popen[bytes]":
    """It waits for the end of its standard input: that comes when we are gone, however we went."""
    with home.log("stack").open("ab") as log:
        return subprocess.Popen(  # noqa: S603  our own module
            [sys.executable, "-m", "cli.stack.warden", str(home.root)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _end_warden(warden: "subprocess.Popen[bytes]") -> None:
    assert warden.stdin is not None
    warden.stdin.close()
    warden.wait()


def _cause(status: int) -> str:
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


def _quote(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - QUOTED_BYTES))
        text = file.read().decode(errors="replace")
    return "\n".join(f"    {line}" for line in text.splitlines()[-QUOTED_LINES:])
