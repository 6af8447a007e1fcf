"""The processes of a simulation: API with the clients it serves, workers and a sweeper.

The code that runs in their tasks is Trident's own.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial
from types import MethodType, SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import psycopg2
import redis
from kombu.exceptions import OperationalError

import tasks.due
import tasks.keep
import tasks.ring
import tasks.stages
import tasks.sweep
from api.parcel import Answer, Unstored
from api.writer import Writer
from models.ledger import LedgerRef
from models.operation import make_id, show_id
from pipeline.receipt import Accepted, Behind, Submission
from pipeline.strict_json import canonical
from tests.chaos.fake_broker import request_of
from tests.chaos.fake_driver import Engine
from tests.chaos.faulty_servers import Servers
from tests.chaos.plan import Plan
from tests.chaos.schedule import Process, Scheduler
from tests.chaos.workload import KEY, Group, is_large

API_PROCESSES = 2
WRITERS = 2  # threads of each; a ledger is never with two of a process, but with both processes'
RETRY_S = 0.05  # a client's pause before it sends a group again
SWEEP_S = 1.0  # beat's period
DUE_S = 0.3  # beat's for the scheduler: shorter than in life, as a run is
# How a body names an operation by its key.
NAMES = f'"target":"{KEY}'.encode()
# What a client names that was not told the id: it has the right form, and nobody has it.
NOBODYS = show_id(make_id(1, 1_000_000, 0))


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


@lru_cache
def due_body() -> Callable[[], None]:
    """The function behind the scheduler's Celery task."""
    body: Callable[[], None] = tasks.due.due_task.run
    return body


class Processes:
    """All of them, and what their clients have been told."""

    def __init__(
        self, plan: Plan, rng: random.Random, scheduler: Scheduler, servers: Servers
    ) -> None:
        self._plan = plan
        self._rng = rng
        self._scheduler = scheduler
        self._servers = servers
        self.events: Counter[str] = Counter()
        self.left: dict[int, list[Group]] = defaultdict(list)  # by client, the next one last
        self.receipts: list[tuple[Group, list[Answer]]] = []
        self._told: dict[str, UUID] = {}  # ids by the key of the operation
        self._newest: dict[LedgerRef, UUID] = {}  # the hold that was told last
        self._large: dict[LedgerRef, UUID] = {}  # what was told last that may need approvals
        self._spelled: dict[Submission, Submission] = {}
        self.failures: list[str] = []
        for group in reversed(plan.groups()):
            self.left[group.client].append(group)
        self.groups_left = sum(map(len, self.left.values()))

    def start(self) -> None:
        """Start them all."""
        for number in range(API_PROCESSES):
            self.start_api(f"api {number}", number)
        for number in range(self._plan.workers):
            self.start_process(f"worker {number}", self.work)
        if self._plan.sweeper:
            self.start_process("sweeper", self.sweep)
            self.start_process("scheduler", self.schedule)

    def engine(self) -> Engine:
        """The pool of the process that asks."""
        process = self._scheduler.current.process
        if "engine" not in process.made:
            process.made["engine"] = Engine(self._servers.database, process)
        engine: Engine = process.made["engine"]
        return engine

    def start_process(self, name: str, act: Callable[[], None]) -> None:
        """A process of one task; who kills it starts it again."""
        process = Process(name)
        process.made["again"] = partial(self.start_process, name, act)
        self._scheduler.start(name, process, self.guarded(act))

    def start_api(self, name: str, number: int) -> None:
        """An API process with the clients whose requests it serves."""
        process = Process(name)
        process.made["again"] = partial(self.start_api, name, number)
        for client in range(number, self._plan.clients, API_PROCESSES):
            act = partial(self.submit, client)
            self._scheduler.start(f"{name}, client {client}", process, self.guarded(act))

    def guarded(self, act: Callable[[], None]) -> Callable[[], None]:
        """Nothing that a task raises gets lost."""

        def run() -> None:
            try:
                act()
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                if not self._servers.database.over:
                    self.failures.append(f"{type(error).__name__}: {error}")

        return run

    def submit(self, client: int) -> None:
        """A request's thread: each group, as often as it takes to get its receipts."""
        left = self.left[client]
        while left:
            self._scheduler.sleep(self._rng.random() * self._plan.pause_max_s)
            group = self.spelled(left[-1])
            if len(group.submissions) == 1:
                answers = [self.writer().put(group.ledger, group.submissions[0])]
            else:
                answers = self.writer().put_all(group.ledger, group.submissions)
            if any(isinstance(answer, Unstored | Behind) for answer in answers):
                self._scheduler.sleep(RETRY_S)
                continue
            self.receipts.append((group, answers))
            for submission, answer in zip(group.submissions, answers, strict=True):
                if isinstance(answer, Accepted):
                    self._told[submission.key] = answer.id
                    if submission.kind == "hold":
                        self._newest[group.ledger] = answer.id
                    if is_large(submission):
                        self._large[group.ledger] = answer.id
            left.pop()
            self.groups_left -= 1

    def spelled(self, group: Group) -> Group:
        """The group with ids for the keys that it names: who repeats it, repeats these."""
        if not any(NAMES in one.body for one in group.submissions):
            return group
        submissions = tuple([self._with_ids(group.ledger, one) for one in group.submissions])
        return Group(group.first, group.client, group.ledger, submissions)

    def _with_ids(self, ledger: LedgerRef, one: Submission) -> Submission:
        if NAMES not in one.body:
            return one
        spelled = self._spelled.get(one)
        if spelled is None:
            body = orjson.loads(one.body)
            for kind, named in (
                (one.kind, body),
                *((inner["kind"], inner) for inner in body.get("operations", ())),
            ):
                if "target" in named:
                    named["target"] = self._id_of(ledger, kind, named["target"])
            spelled = self._spelled[one] = replace(one, body=canonical(body))
        return spelled

    def _id_of(self, ledger: LedgerRef, kind: str, name: str) -> str:
        id_ = self._told.get(name.removeprefix(KEY))
        if id_ is None and kind in ("capture", "release", "expire"):
            id_ = self._newest.get(ledger)
        if id_ is None and kind in ("approve", "refuse"):
            id_ = self._large.get(ledger)
        return NOBODYS if id_ is None else show_id(id_)

    def writer(self) -> Any:
        """The group-commit writer of the process, and its ringer, made on first use."""
        made = self._scheduler.current.process.made
        if "writer" not in made:
            engine: Any = self.engine()
            ringer = tasks.ring.ringer.__wrapped__()
            made["writer"] = Writer(engine, ringer.add, self._plan.max_lag, threads=WRITERS)
        return made["writer"]

    def keeper(self) -> Any:
        """The keeper of heads of the process, made on first use."""
        made = self._scheduler.current.process.made
        if "keeper" not in made:
            made["keeper"] = tasks.keep.keeper.__wrapped__()
        return made["keeper"]

    def start_writer(self, thread: Any) -> None:
        """What `start` of a writer's thread does here."""
        process = self._scheduler.current.process
        self._scheduler.start(f"{process.name}'s writer", process, self.guarded(thread.run))

    def work(self) -> None:
        """A pool child: one message after the other."""
        while True:
            message = self._servers.broker.take()
            try:
                request = request_of(message)
                task = SimpleNamespace(request=request)
                body_of(message.stage)(task, message.bell, message.careful)
            except Exception as error:  # noqa: BLE001 - as Celery does: the chain ends here
                if not isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
                    self.events[f"{message.stage} raised {type(error).__name__}"] += 1
                continue
            self._servers.broker.publish_next(message, request.chain)

    def sweep(self) -> None:
        """Beat and the sweeper's task."""
        self.every(SWEEP_S, sweep_body())

    def schedule(self) -> None:
        """Beat and the scheduler's task."""
        self.every(DUE_S, due_body())

    def every(self, period_s: float, errand: Callable[[], None]) -> None:
        """Beat asks for it again and again, whatever comes of it."""
        while True:
            self._scheduler.sleep(period_s)
            try:
                errand()
            except (psycopg2.Error, redis.RedisError, OperationalError, MemoryError):
                continue
