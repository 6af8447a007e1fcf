"""The faults: each kind strikes at a seeded time, and whatever it did is taken back in the end."""

import heapq
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import psutil
import psycopg2
import redis

from tests.chaos.history import HEALED, History
from tests.chaos.installation import Installation, Options

# Each kind strikes at least this often: once in each of as many equal parts of the run.
TIMES = 3
# Kinds that cost little strike once more in each part.
OFTEN = ("broker flushed", "backends terminated", "connections cut")
# The last strikes leave time for those that found nobody to strike and are tried again.
LAST_STRIKE = 0.85
AGAIN_S = 0.7
STOPPED_S = (5.0, 20.0)
DELAYED_S = (1.0, 3.0)
DELAY_MAX_S = 0.15
# A ledger whose commit was swallowed takes nothing in before its connection ends.
SWALLOWED_MAX = 2
HOLD_S = (3.0, 8.0)
CUT_SHARE = (0.3, 1.0)
TERMINATED_MAX = 3
# From two minutes to six hours, ahead or behind.
SKEW_S = (120.0, 6 * 3600.0)
# For how long a process has a wrong clock: being set right again is the other half of the fault.
SKEWED_S = (3.0, 10.0)
# The app processes that are killed as a whole.
KILLS = {"worker killed": "worker", "API killed": "web", "beat killed": "beat"}
# Which processes SIGSTOP hits, in turn. One that is served by a child: the child.
STOPPABLE = ("worker", "worker child", "web", "beat")

Undo = Callable[[], None]


class NobodyError(Exception):
    """There was nobody to strike: the process is down just now, or no connection is open."""


class Faults:
    """A thread that lets the planned faults strike until it is told to stop."""

    def __init__(
        self,
        installation: Installation,
        options: Options,
        history: History,
        seed: int,
        seconds: float,
    ) -> None:
        self._installation = installation
        self._history = history
        self._choose = random.Random(f"{seed}/faults")
        running = installation.processes
        self._stoppable = [name for name in STOPPABLE if name.split()[0] in running]
        self._choose.shuffle(self._stoppable)
        self._clocks = list(running)
        self._choose.shuffle(self._clocks)
        every: dict[str, Callable[[], str]] = {
            **{kind: partial(self._kill, name) for kind, name in KILLS.items()},
            "pool child killed": lambda: self._kill("worker child"),
            "process stopped": self._stop_process,
            "broker flushed": self._flush,
            "broker killed": lambda: self._kill("valkey"),
            "Postgres killed": lambda: self._kill("postgres"),
            "backends terminated": self._terminate,
            "network slow": self._slow_down,
            "connections cut": self._cut,
            "answers swallowed": self._swallow,
            "database clock off": self._skew_database,
            "process clock off": self._skew_process,
        }
        absent = [kind for kind, name in KILLS.items() if name not in running]
        self._kinds = {
            kind: act
            for kind, act in every.items()
            if kind not in absent and kind in (options.faults or every)
        }
        self.struck: Counter[str] = Counter(dict.fromkeys(self._kinds, 0))
        self._due = plan(self._choose, list(self._kinds), seconds)
        self._undo: list[tuple[float, int, Undo]] = []
        self._undone = 0
        self._halt = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-faults")
        self._thread.start()

    @property
    def all_struck(self) -> bool:
        """Whether each kind struck as often as was planned."""
        return not self._due

    def stop(self) -> None:
        """No more strikes; undo those that last."""
        self._halt.set()
        self._thread.join()
        if "broker flushed" in self._kinds:
            # Nobody asks for anything any more: who lags now has the sweeper alone to ring for him.
            with suppress(redis.RedisError):
                self._history.strike("broker flushed", f"{self._flush()}, for the last time")
        for _, _, undo in self._undo:
            undo()
        self._history.strike(HEALED, "no more faults from here on")

    def _run(self) -> None:
        began = time.monotonic()
        while not self._halt.is_set():
            now = time.monotonic() - began
            while self._undo and self._undo[0][0] <= time.monotonic():
                heapq.heappop(self._undo)[2]()
            if self._due and self._due[0][0] <= now:
                self._strike(heapq.heappop(self._due)[1], now)
            self._halt.wait(0.02)

    def _strike(self, kind: str, now: float) -> None:
        try:
            note = self._kinds[kind]()
        except (NobodyError, psycopg2.Error, redis.RedisError, psutil.NoSuchProcess):
            heapq.heappush(self._due, (now + AGAIN_S, kind))
        else:
            self.struck[kind] += 1
            self._history.strike(kind, note)

    def _later(self, seconds: float, undo: Undo) -> None:
        self._undone += 1
        heapq.heappush(self._undo, (time.monotonic() + seconds, self._undone, undo))

    def _process(self, name: str) -> psutil.Process:
        """The one process that does the work of this name; raises NobodyError."""
        main = self._installation.process(name.removesuffix(" child"))
        if main is None:
            raise NobodyError
        children = main.children()
        if name == "worker child":
            if not children:
                raise NobodyError
            return self._choose.choice(children)
        return main

    def _is_up(self, name: str) -> bool:
        return self._installation.process(name.removesuffix(" child")) is not None

    def _kill(self, name: str) -> str:
        process = self._process(name)
        if name == "web" and (children := process.children()) and self._choose.random() < 0.5:
            process = children[0]  # Granian's own child, which serves
        process.kill()
        return f"SIGKILL to {name} (pid {process.pid})"

    def _stop_process(self) -> str:
        name = next(filter(self._is_up, self._stoppable), self._stoppable[0])
        process = self._process(name)
        if name == "web" and (children := process.children()):
            process = children[0]
        self._stoppable.remove(name)
        self._stoppable.append(name)
        seconds = self._choose.uniform(*STOPPED_S)
        process.suspend()

        def go_on() -> None:
            with suppress(psutil.NoSuchProcess):
                process.resume()
            self._history.strike("process goes on", f"SIGCONT to {name} (pid {process.pid})")

        self._later(seconds, go_on)
        return f"SIGSTOP to {name} (pid {process.pid}) for {seconds:.1f} s"

    def _flush(self) -> str:
        self._installation.broker.flushall()
        return "FLUSHALL"

    def _terminate(self) -> str:
        backends = self._installation.as_superuser(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'trident' ORDER BY pid"
        )
        if not backends:
            raise NobodyError
        many = self._choose.randint(1, min(TERMINATED_MAX, len(backends)))
        pids = [row[0] for row in self._choose.sample(backends, many)]
        self._installation.as_superuser("SELECT pg_terminate_backend(p) FROM unnest(%s) p", pids)
        return f"pg_terminate_backend of {many} backends"

    def _slow_down(self) -> str:
        seconds = self._choose.uniform(*DELAYED_S)
        self._installation.proxy.delay(DELAY_MAX_S)
        self._later(seconds, lambda: self._installation.proxy.delay(0.0))
        return f"up to {DELAY_MAX_S * 1000:.0f} ms for each message, for {seconds:.1f} s"

    def _cut(self) -> str:
        many = self._installation.proxy.cut(self._choose.uniform(*CUT_SHARE))
        if not many:
            raise NobodyError
        return f"{many} connections to Postgres reset"

    def _swallow(self) -> str:
        many, hold_s = self._choose.randint(1, SWALLOWED_MAX), self._choose.uniform(*HOLD_S)
        self._installation.proxy.swallow(many, hold_s)
        return f"the answers to the next {many} commits are lost, for {hold_s:.1f} s"

    def _skew_database(self) -> str:
        seconds = self._skew()
        self._installation.set_database_clock(seconds)
        return f"clock_timestamp() is off by {seconds:+.0f} s"

    def _skew_process(self) -> str:
        name, seconds = self._clocks[0], self._skew()
        self._clocks.append(self._clocks.pop(0))
        file = self._installation.clock_file(name)
        file.write_text(str(seconds))

        def set_right() -> None:
            file.unlink(missing_ok=True)
            self._history.strike("process clock right", f"the clock of {name} is right again")

        self._later(self._choose.uniform(*SKEWED_S), set_right)
        return f"the clock of {name} is off by {seconds:+.0f} s"

    def _skew(self) -> float:
        return self._choose.choice((-1, 1)) * self._choose.uniform(*SKEW_S)


def plan(choose: random.Random, kinds: list[str], seconds: float) -> list[tuple[float, str]]:
    """When each kind strikes, in seconds from the beginning; a heap."""
    part = seconds * LAST_STRIKE / TIMES
    strikes = [*kinds, *(kind for kind in OFTEN if kind in kinds)]
    due = [
        (part * number + choose.uniform(0, part), kind)
        for number in range(TIMES)
        for kind in strikes
    ]
    heapq.heapify(due)
    return due
