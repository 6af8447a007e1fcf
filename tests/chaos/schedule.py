"""A seeded scheduler of greenlets under virtual time: the same seed gives the same interleaving.

A task runs until it passes a switch point (`pause`), sleeps or waits; then the seed says who goes
on. Nothing else runs in between, so a run can be repeated step by step.

A process is the tasks that die together. A dead task is never resumed: no `except` and no `finally`
of the code under test runs any more, as with SIGKILL.
"""

import contextlib
import heapq
import itertools
import random
from collections.abc import Callable
from typing import Any

import greenlet

# What a switch point costs in virtual time: a statement on a near server.
STEP_S = 0.0002
EPOCH_S = 1_800_000_000.0  # some moment in 2027: what time.time() says at the beginning


class Process:
    """Tasks that die together. `made` holds what belongs to the process (its pool, its ringer)."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: list[Task] = []
        self.dead = False
        self.made: dict[str, Any] = {}


class Task:
    """One thread of control. `lingers`: its process is dead, its server has yet to notice."""

    __slots__ = ("dead", "greenlet", "in_message", "lingers", "name", "process", "turn")

    def __init__(
        self, name: str, process: Process, act: Callable[[], None], hub: greenlet.greenlet
    ) -> None:
        self.name = name
        self.process = process
        self.greenlet = greenlet.greenlet(act, hub)
        self.dead = False
        self.lingers = False
        self.in_message = False  # a message of several statements is at the server
        self.turn = 0  # which of its waits is the present one: a late waker is told apart
        process.tasks.append(self)


def over() -> bool:
    """While nobody runs the tasks."""
    return True


class Scheduler:
    """Who goes on, and what time it is."""

    def __init__(self, choices: random.Random, switch_chance: float) -> None:
        self.now = 0.0
        self.steps = 0
        self.current: Task
        self._choose = choices.random
        self._switch_chance = switch_chance
        self._ready: list[Task] = []
        # When, a number that tells equal times apart, and what: an act, or which wait of a task.
        self._timers: list[tuple[float, int, Callable[[], None] | tuple[Task, int]]] = []
        self._numbers = itertools.count()
        self._hub = greenlet.getcurrent()
        self._until: Callable[[], bool] = over
        self._tasks: list[Task] = []

    def start(self, name: str, process: Process, act: Callable[[], None]) -> Task:
        """A new task, ready to go."""
        task = Task(name, process, act, self._hub)
        self._tasks.append(task)
        self._ready.append(task)
        return task

    def run(self, until: Callable[[], bool]) -> bool:
        """Let tasks go on until `until`, or until none can any more; whether `until` came true."""
        self._until = until
        while not until():
            task = self._next()
            if task is None:
                break
            self.current = task
            task.greenlet.switch()
        self._until = over
        return until()

    def pause(self) -> None:
        """A switch point: the seed may let another task go on first."""
        self.steps += 1
        now = self.now = self.now + STEP_S
        timers, ready = self._timers, self._ready
        if timers and timers[0][0] <= now:
            self._ring_timers()
        if ready and self._choose() < self._switch_chance:
            at = int(self._choose() * len(ready))
            other, ready[at] = ready[at], self.current
            self.current = other
            other.greenlet.switch()

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        task = self.current
        # No clock is finer: who waits for the rest that rounding left would wait for ever.
        due = self.now + (seconds if seconds > STEP_S else STEP_S)
        heapq.heappush(self._timers, (due, next(self._numbers), (task, task.turn)))
        self.wait()

    def wait(self) -> None:
        """Until somebody wakes this task. The next one goes on from here, as the hub would say."""
        task = None if self._until() else self._next()
        if task is None:
            self._hub.switch()
        elif task is not self.current:
            self.current = task
            task.greenlet.switch()

    def wake(self, task: Task, turn: int) -> None:
        """Let a waiting task go on, if that wait of its own is still the present one."""
        if task.turn == turn and not task.dead:
            task.turn += 1
            self._ready.append(task)

    def at(self, due_s: float, act: Callable[[], None]) -> None:
        """Do something at a virtual time."""
        heapq.heappush(self._timers, (due_s, next(self._numbers), act))

    def kill(self, process: Process, lingers: Callable[[Task], bool]) -> None:
        """Kill the process. A task of it that `lingers` goes on to the end of its message.

        The current task comes last: burying it does not return.
        """
        process.dead = True
        for task in sorted(process.tasks, key=lambda task: task is self.current):
            if lingers(task):
                task.lingers = True
            else:
                self.bury(task)

    def bury(self, task: Task) -> None:
        """The task goes on no more. If it is the current one, this never returns."""
        if not task.dead:
            task.dead = True
            if task in self._ready:
                self._ready.remove(task)
        if task is self.current:
            self._hub.switch()

    def freeze(self) -> None:
        """Nobody goes on any more, so that what is there can be looked at."""
        self._ready.clear()
        self._timers.clear()

    def end(self) -> None:
        """Unwind what never came to its end, so that nothing is left for the garbage collector."""
        self.freeze()
        for task in self._tasks:
            if task.greenlet:
                unwind(task)

    def _next(self) -> Task | None:
        while not self._ready:
            if not self._timers:
                return None
            self.now = max(self.now, self._timers[0][0])
            self._ring_timers()
        ready = self._ready
        at = int(self._choose() * len(ready))
        ready[at], ready[-1] = ready[-1], ready[at]
        return ready.pop()

    def _ring_timers(self) -> None:
        timers, now = self._timers, self.now
        while timers and timers[0][0] <= now:
            act = heapq.heappop(timers)[2]
            if isinstance(act, tuple):
                self.wake(*act)
            else:
                act()


def unwind(task: Task) -> None:
    """End a task's greenlet from outside; the fakes refuse everything by now."""
    with contextlib.suppress(BaseException):  # its handlers meet servers that are gone
        task.greenlet.throw(greenlet.GreenletExit)


class Clock:
    """What `import time` gives the code under test."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def time(self) -> float:
        """Seconds since 1970."""
        return EPOCH_S + self._scheduler.now

    def monotonic(self) -> float:
        """Seconds since the simulation began."""
        return self._scheduler.now

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self._scheduler.sleep(seconds)


class Condition:
    """threading.Condition among greenlets. Between switch points nobody else runs anyway."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._waiting: list[tuple[Task, int]] = []

    def __enter__(self) -> None:
        """Nobody to exclude."""

    def __exit__(self, *_: object) -> None:
        """Nobody to let in."""

    def wait(self, timeout: float | None = None) -> None:
        """Until notified, or the time is up."""
        task = self._scheduler.current
        turn = task.turn
        self._waiting.append((task, turn))
        if timeout is None:
            self._scheduler.wait()
        else:
            self._scheduler.sleep(timeout)
        if (task, turn) in self._waiting:
            self._waiting.remove((task, turn))

    def notify(self) -> None:
        """Wake one who waits."""
        if self._waiting:
            self._scheduler.wake(*self._waiting.pop(0))

    def notify_all(self) -> None:
        """Wake all who wait."""
        while self._waiting:
            self.notify()


class Lock:
    """threading.Lock among greenlets."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._freed = Condition(scheduler)
        self._held = False

    def acquire(self, timeout: float | None = None) -> bool:
        """Take it; whether it could be had in time."""
        if self._held:
            self._freed.wait(timeout)
        taken = not self._held
        self._held = True
        return taken

    def release(self) -> None:
        """Give it back."""
        self._held = False
        self._freed.notify()


class Threading:
    """What `import threading` gives the code under test: greenlets of the current process."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def Condition(self) -> Condition:
        """A condition."""
        return Condition(self._scheduler)

    def Lock(self) -> Lock:
        """A lock."""
        return Lock(self._scheduler)

    def Thread(self, *, target: Callable[[], None], name: str, daemon: bool) -> "Starting":
        """A thread of the current process."""
        assert daemon, "a simulated process waits for no thread"
        return Starting(self._scheduler, name, target)


class Starting:
    """A thread that is made and can be started."""

    def __init__(self, scheduler: Scheduler, name: str, target: Callable[[], None]) -> None:
        self._scheduler = scheduler
        self._name = name
        self._target = target

    def start(self) -> None:
        """Go."""
        process = self._scheduler.current.process
        self._scheduler.start(f"{process.name}'s {self._name}", process, self._target)
