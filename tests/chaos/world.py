"""One simulated installation: API processes, workers, a sweeper, a database and a broker.

The code that runs in its tasks is Trident's own; a plan says what happens to it.
"""

import json
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from types import MethodType, SimpleNamespace
from typing import Any

import psycopg2
import redis
from kombu.exceptions import OperationalError

import tasks.keep
import tasks.ring
import tasks.stages
import tasks.sweep
from api.parcel import Answer, Unstored
from api.writer import Writer
from pipeline.accept import Behind
from pipeline.stage import STAGES
from tests.chaos import seams
from tests.chaos.fake_broker import FakeBroker, request_of
from tests.chaos.fake_database import Connection, Database, Engine
from tests.chaos.fake_statements import STATEMENTS
from tests.chaos.fake_store import BadData, Cancelled, Guards
from tests.chaos.plan import LEDGERS, LOSSES, Plan
from tests.chaos.schedule import Clock, Process, Scheduler, Task, Threading
from tests.chaos.workload import KILLER, POISON, Group

API_PROCESSES = 2
WRITERS = 2  # threads of each; a ledger is never with two of a process, but with both processes'
RETRY_S = 0.05  # a client's pause before it sends a group again
RESTART_S = 0.1  # until a process that died is replaced
SWEEP_S = 1.0  # beat's period
AWAY_S = 2.0  # how long a broker stays away
# A run has so many fewer commits and bells than switch points.
FEW = 8
BENIGN_CHANCE = 0.1
AT_STATEMENTS = frozenset({"cut", "cancel"})
ANYWHERE = frozenset({"kill", "restart", "flush", "away"})
# After the faults all is final within so many seconds (a tenth of it, as a rule).
DRAIN_MAX_S = 60.0
# An operation that kills its process is found by halving, with up to 30 s between two attempts.
DRAIN_WITH_POISON_MAX_S = 7_200.0
STEPS_MAX = 300_000  # a hundred times what a run takes: beyond it something turns in circles


@lru_cache
def body_of(stage: str) -> Callable[[Any, Any, bool], None]:
    """The function behind the stage's Celery task, with the task as its first argument.

    Asking for it reads Celery's settings.
    """
    body = getattr(tasks.stages, stage).run
    if isinstance(body, MethodType):  # a bound task
        return body.__func__
    return lambda _, bell, careful: body(bell, careful)


@lru_cache
def sweep_body() -> Callable[[], None]:
    """The function behind beat's Celery task."""
    body: Callable[[], None] = tasks.sweep.sweep_task.run
    return body


class Violated(Exception):
    """A promise was broken; `invariant` names it, the message says how."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


class World:
    """Everything of one run. `lenient`: guards of the database may step in."""

    def __init__(self, plan: Plan, *, traced: bool = False, lenient: bool = False) -> None:
        self.plan = plan
        self.lenient = lenient
        self.rng = random.Random(f"schedule {plan.schedule}")
        self.events: Counter[str] = Counter()
        self.trace: list[str] | None = [] if traced else None
        self.losses_left = plan.losses_max
        self.losses_at_statements = sorted(plan.faults & {*AT_STATEMENTS, *ANYWHERE})
        self.losses_at_commands = sorted(plan.faults & ANYWHERE)
        self.scheduler = Scheduler(self.rng, plan.switch_chance)
        self.clock = Clock(self.scheduler)
        self.threading = Threading(self.scheduler)
        self.guards = Guards(plan.guards)
        self.database = Database(self.scheduler, self.guards, STATEMENTS, self)
        self.broker = FakeBroker(
            self.scheduler, self.on_command, self.strikes_bell, self.rng.random
        )
        self.heads = Heads(self)
        self.left: dict[int, list[Group]] = defaultdict(list)  # by client, the next one last
        self.receipts: list[tuple[Group, list[Answer]]] = []
        self.failures: list[str] = []
        for ledger in LEDGERS[: plan.ledgers]:
            self.database.add_ledger(ledger[:2], ledger.name)
        for group in reversed(plan.groups()):
            self.left[group.client].append(group)
        seams.put_in(self)

    # The run.

    def run(self) -> None:
        """All is submitted under faults; then, without faults, all becomes final."""
        for number in range(API_PROCESSES):
            self.start_api(f"api {number}", number)
        for number in range(self.plan.workers):
            self.start_process(f"worker {number}", self.work)
        if self.plan.sweeper:
            self.start_process("sweeper", self.sweep)
        self.scheduler.run(lambda: self.all_submitted() or self.hopeless())
        self.raise_found()
        if not self.all_submitted():
            raise Violated("no deadlock", f"clients wait for ever: {self.standing()}")
        self.losses_left = 0
        self.broker.away_until = 0.0
        within_s = DRAIN_WITH_POISON_MAX_S if self.plan.poison else DRAIN_MAX_S
        end_s = self.scheduler.now + within_s
        self.scheduler.run(
            lambda: self.all_final() or self.hopeless() or self.scheduler.now > end_s
        )
        self.raise_found()
        if not self.all_final():
            how = "with the sweeper" if self.plan.sweeper else "without losses and sweeper"
            raise Violated("all becomes final", f"{how}, it stays at {self.standing()}")
        if not self.plan.losses_max:
            self.scheduler.run(lambda: self.all_kept() or self.scheduler.now > end_s)
            self.raise_found()
            if not self.all_kept():
                raise Violated("heads", "the newest head is not kept, though nothing was lost")

    def hopeless(self) -> bool:
        """Whether the run has gone wrong already, or turns in circles."""
        return bool(
            self.failures
            or self.database.waits_for_itself
            or (self.guards.stepped_in and not self.lenient)
            or self.scheduler.steps > STEPS_MAX
        )

    def raise_found(self) -> None:
        """Raise what was found on the way."""
        if self.failures:
            raise Violated("no unexpected error", self.failures[0])
        if self.database.waits_for_itself:
            raise Violated("no task waits for itself", self.database.waits_for_itself[0])
        if self.guards.stepped_in and not self.lenient:
            raise Violated("no guard of the database steps in", self.guards.stepped_in[0])

    def all_submitted(self) -> bool:
        """Whether every group has its receipts."""
        return not any(self.left.values())

    def all_final(self) -> bool:
        """Whether the last stage has come to the end of every log."""
        return all(
            books.last_position("accept") == books.last_position("notify")
            for books in self.database.books.values()
        )

    def all_kept(self) -> bool:
        """Whether the newest block of each ledger is known outside."""
        newest = {
            f"{scope[0]}-{scope[1]}.json": books.blocks[-1].height
            for scope, books in self.database.books.items()
            if books.blocks
        }
        return newest == {
            name: json.loads(kept)["height"] for name, kept in self.heads.kept.items()
        }

    def standing(self) -> str:
        """How far each ledger has come."""
        return "; ".join(
            f"ledger {scope[1]}: "
            + ", ".join(f"{s} {books.last_position(s)}" for s in ("accept", *STAGES))
            for scope, books in self.database.books.items()
        )

    def end(self) -> None:
        """Unwind what still waits."""
        self.database.over = True
        self.scheduler.end()

    def forget(self) -> None:
        """Let go of everything: its parts know one another, and waiting for the garbage collector
        costs a tenth of the time."""
        for part in (self.scheduler, self.broker, self.heads, self.database, self):
            vars(part).clear()

    # The processes.

    def engine(self) -> Engine:
        """The pool of the process that asks."""
        process = self.scheduler.current.process
        if "engine" not in process.made:
            process.made["engine"] = Engine(self.database, process)
        engine: Engine = process.made["engine"]
        return engine

    def start_process(self, name: str, act: Callable[[], None]) -> None:
        """A process of one task; who kills it starts it again."""
        process = Process(name)
        process.made["again"] = partial(self.start_process, name, act)
        self.scheduler.start(name, process, self.guarded(act))

    def start_api(self, name: str, number: int) -> None:
        """An API process with the clients whose requests it serves."""
        process = Process(name)
        process.made["again"] = partial(self.start_api, name, number)
        for client in range(number, self.plan.clients, API_PROCESSES):
            act = partial(self.submit, client)
            self.scheduler.start(f"{name}, client {client}", process, self.guarded(act))

    def guarded(self, act: Callable[[], None]) -> Callable[[], None]:
        """Nothing that a task raises gets lost."""

        def run() -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                if not self.database.over:
                    self.failures.append(f"{type(error).__name__}: {error}")

        return run

    def submit(self, client: int) -> None:
        """A request's thread: each group, as often as it takes to get its receipts."""
        left = self.left[client]
        while left:
            self.scheduler.sleep(self.rng.random() * self.plan.pause_max_s)
            group = left[-1]
            if len(group.submissions) == 1:
                answers = [self.writer().put(group.ledger, group.submissions[0])]
            else:
                answers = self.writer().put_all(group.ledger, group.submissions)
            if any(isinstance(answer, Unstored | Behind) for answer in answers):
                self.scheduler.sleep(RETRY_S)
                continue
            self.receipts.append((group, answers))
            left.pop()

    def writer(self) -> Any:
        """The group-commit writer of the process, and its ringer, made on first use."""
        made = self.scheduler.current.process.made
        if "writer" not in made:
            engine: Any = self.engine()
            ringer = tasks.ring.ringer.__wrapped__()
            made["writer"] = Writer(engine, ringer.add, self.plan.max_lag, threads=WRITERS)
        return made["writer"]

    def keeper(self) -> Any:
        """The keeper of heads of the process, made on first use."""
        made = self.scheduler.current.process.made
        if "keeper" not in made:
            made["keeper"] = tasks.keep.keeper.__wrapped__()
        return made["keeper"]

    def start_writer(self, thread: Any) -> None:
        """What `start` of a writer's thread does here."""
        process = self.scheduler.current.process
        self.scheduler.start(f"{process.name}'s writer", process, self.guarded(thread.run))

    def work(self) -> None:
        """A pool child: one message after the other."""
        while True:
            message = self.broker.take()
            try:
                request = request_of(message)
                task = SimpleNamespace(request=request)
                body_of(message.stage)(task, message.bell, message.careful)
            except Exception as error:  # noqa: BLE001 - as Celery does: the chain ends here
                if not isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
                    self.events[f"{message.stage} raised {type(error).__name__}"] += 1
                continue
            self.broker.publish_next(message, request.chain)

    def sweep(self) -> None:
        """Beat and the sweeper's task."""
        while True:
            self.scheduler.sleep(SWEEP_S)
            try:
                sweep_body()()
            except (psycopg2.Error, redis.RedisError, OperationalError, MemoryError):
                continue

    # The faults.

    def on_statement(self, connection: Connection, what: str) -> None:
        """A statement is about to take effect."""
        if self.trace is not None:
            self.note(what)
        if self.losses_left:
            self.strike(connection)

    def on_send(self) -> None:
        """A message is about to be sent."""
        if self.losses_left and self.strikes_loss("memory"):
            self.note("FAULT memory")
            raise MemoryError

    def on_post(self, bodies: Iterable[str]) -> None:
        """`post` is about to work on these operations."""
        if self.plan.poison:
            for body in bodies:
                if POISON in body:
                    self.note("FAULT poison")
                    raise BadData("invalid input syntax")
                if KILLER in body:
                    self.note("FAULT killer")
                    self.kill(self.scheduler.current.process)

    def on_command(self, what: str) -> None:
        """A command to the broker is about to be sent."""
        self.scheduler.pause()
        if self.plan.broker_s:
            self.scheduler.sleep(self.plan.broker_s)
        self.note(what)
        if self.losses_left:
            self.strike(None)

    def on_committed(self, connection: Connection) -> None:
        """A transaction is committed, and its client does not know it yet."""
        if self.losses_left and self.strikes_loss("unknown"):
            self.note("the answer to COMMIT is lost")
            connection.sever()

    def strike(self, connection: Connection | None) -> None:
        """Perhaps something is lost here."""
        possible = self.losses_at_statements if connection else self.losses_at_commands
        if self.rng.random() >= self.plan.loss_chance * len(possible):
            return
        fault = possible[int(self.rng.random() * len(possible))]
        self.losses_left -= 1
        self.note(f"FAULT {fault}")
        if fault == "cancel":
            raise Cancelled("canceling statement due to statement timeout")
        if fault == "cut":
            assert connection is not None
            connection.sever()
        else:
            self.strike_server(fault)

    def strike_server(self, fault: str) -> None:
        """A whole server or process."""
        if fault == "kill":
            self.kill(self.scheduler.current.process)
        elif fault == "restart":
            self.database.restart()
        elif fault == "flush":
            self.broker.flush()
        else:
            self.broker.away_until = self.scheduler.now + AWAY_S

    def kill(self, process: Process) -> None:
        """SIGKILL. What its connections have sent, the server may still carry out."""
        if process.dead:
            return
        lingering: set[Task] = set()
        connections = self.database.connections
        connections[:] = [connection for connection in connections if not connection.severed]
        for connection in connections:
            if connection.process is not process:
                continue
            if connection.task is not None and self.rng.random() < 0.5:
                lingering.add(connection.task)
            else:
                connection.sever()
        self.scheduler.at(self.scheduler.now + RESTART_S, process.made["again"])
        self.scheduler.kill(process, lingering.__contains__)

    def strikes_loss(self, fault: str) -> bool:
        """Whether the loss happens here."""
        chance = self.plan.loss_chance * FEW
        happens = fault in self.plan.faults and self.rng.random() < chance
        self.losses_left -= happens
        return happens

    def strikes_bell(self, fault: str) -> bool:
        """Whether it happens to this bell."""
        if fault in LOSSES:
            happens = self.losses_left > 0 and self.strikes_loss(fault)
        else:
            happens = fault in self.plan.faults and self.rng.random() < BENIGN_CHANCE
        if happens:
            self.note(f"FAULT {fault}")
        return happens

    def note(self, what: str) -> None:
        """A line of the history."""
        if self.trace is not None:
            ms = self.scheduler.now * 1_000
            self.trace.append(f"{ms:9.1f} ms  {self.scheduler.current.name}: {what}")


class Heads:
    """What pipeline.heads keeps outside the database."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.kept: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """What is kept."""
        self._world.on_command("read the kept head")
        return self.kept.get(name)

    def put(self, name: str, data: bytes) -> None:
        """Keep it."""
        self._world.on_command("keep the head")
        self.kept[name] = data
