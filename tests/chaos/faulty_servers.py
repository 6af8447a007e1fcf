"""The servers of a simulation, and where the faults of its plan strike.

A fault strikes at the edges: before a statement or a command, and after a commit.
"""

import random
from collections.abc import Callable, Iterable

from tests.chaos.fake_broker import FakeBroker
from tests.chaos.fake_database import Database, Session
from tests.chaos.fake_guards import Guards
from tests.chaos.fake_store import BadData, Cancelled
from tests.chaos.plan import LEDGERS, LOSSES, Plan
from tests.chaos.schedule import Process, Scheduler, Task
from tests.chaos.statements.table import STATEMENTS
from tests.chaos.workload import KILLER, POISON

RESTART_S = 0.1  # until a process that died is replaced
AWAY_S = 2.0  # how long a broker stays away
# A run has so many fewer commits and bells than switch points.
FEW = 8
BENIGN_CHANCE = 0.1
AT_STATEMENTS = frozenset({"cut", "cancel"})
ANYWHERE = frozenset({"kill", "restart", "flush", "away"})


class Heads:
    """What pipeline.heads keeps outside the database."""

    def __init__(self, step: Callable[[str], None]) -> None:
        self._step = step
        self.kept: dict[str, bytes] = {}

    def get(self, name: str) -> bytes | None:
        """What is kept."""
        self._step("read the kept head")
        return self.kept.get(name)

    def put(self, name: str, data: bytes) -> None:
        """Keep it."""
        self._step("keep the head")
        self.kept[name] = data


class Servers:
    """Database, broker and the store of heads; `trace`, if there is one, takes the history."""

    def __init__(
        self, plan: Plan, rng: random.Random, scheduler: Scheduler, trace: list[str] | None
    ) -> None:
        self._plan = plan
        self._rng = rng
        self._scheduler = scheduler
        self._trace = trace
        self._losses_at_statements = sorted(plan.faults & {*AT_STATEMENTS, *ANYWHERE})
        self._losses_at_commands = sorted(plan.faults & ANYWHERE)
        self._losses_left = plan.losses_max
        self.database = Database(scheduler, Guards(plan.guards), STATEMENTS, self)
        self.broker = FakeBroker(scheduler, self.on_command, self.strikes_bell, rng.random)
        self.heads = Heads(self.on_command)
        for ledger in LEDGERS[: plan.ledgers]:
            self.database.add_ledger(ledger[:2], ledger.name)

    def end_faults(self) -> None:
        """From now on nothing is lost, and the broker is there."""
        self._losses_left = 0
        self.broker.away_until = 0.0

    def on_statement(self, session: Session, what: str) -> None:
        """A statement is about to take effect."""
        if self._trace is not None:
            self.note(what)
        if self._losses_left:
            self.strike(session)

    def on_send(self) -> None:
        """A message is about to be sent."""
        if self._losses_left and self.strikes_loss("memory"):
            self.note("FAULT memory")
            raise MemoryError

    def on_post(self, bodies: Iterable[str]) -> None:
        """`post` is about to work on these operations."""
        if self._plan.poison:
            for body in bodies:
                if POISON in body:
                    self.note("FAULT poison")
                    raise BadData("invalid input syntax")
                if KILLER in body:
                    self.note("FAULT killer")
                    self.kill(self._scheduler.current.process)

    def on_command(self, what: str) -> None:
        """A command to the broker is about to be sent."""
        self._scheduler.pause()
        if self._plan.broker_s:
            self._scheduler.sleep(self._plan.broker_s)
        self.note(what)
        if self._losses_left:
            self.strike(None)

    def on_committed(self, session: Session) -> None:
        """A transaction is committed, and its client does not know it yet."""
        if self._losses_left and self.strikes_loss("unknown"):
            self.note("the answer to COMMIT is lost")
            session.sever()

    def strike(self, session: Session | None) -> None:
        """Perhaps something is lost here."""
        possible = self._losses_at_statements if session else self._losses_at_commands
        if self._rng.random() >= self._plan.loss_chance * len(possible):
            return
        fault = possible[int(self._rng.random() * len(possible))]
        self._losses_left -= 1
        self.note(f"FAULT {fault}")
        if fault == "cancel":
            raise Cancelled("canceling statement due to statement timeout")
        if fault == "cut":
            assert session is not None
            session.sever()
        else:
            self.strike_server(fault)

    def strike_server(self, fault: str) -> None:
        """A whole server or process."""
        if fault == "kill":
            self.kill(self._scheduler.current.process)
        elif fault == "restart":
            self.database.restart()
        elif fault == "flush":
            self.broker.flush()
        else:
            self.broker.away_until = self._scheduler.now + AWAY_S

    def kill(self, process: Process) -> None:
        """SIGKILL. What its connections have sent, the server may still carry out."""
        if process.dead:
            return
        lingering: set[Task] = set()
        sessions = self.database.sessions
        sessions[:] = [session for session in sessions if not session.severed]
        for session in sessions:
            if session.process is not process:
                continue
            if session.task is not None and self._rng.random() < 0.5:
                lingering.add(session.task)
            else:
                session.sever()
        self._scheduler.at(self._scheduler.now + RESTART_S, process.made["again"])
        self._scheduler.kill(process, lingering.__contains__)

    def strikes_loss(self, fault: str) -> bool:
        """Whether the loss happens here."""
        chance = self._plan.loss_chance * FEW
        happens = fault in self._plan.faults and self._rng.random() < chance
        self._losses_left -= happens
        return happens

    def strikes_bell(self, fault: str) -> bool:
        """Whether it happens to this bell."""
        if fault in LOSSES:
            happens = self._losses_left > 0 and self.strikes_loss(fault)
        else:
            happens = fault in self._plan.faults and self._rng.random() < BENIGN_CHANCE
        if happens:
            self.note(f"FAULT {fault}")
        return happens

    def note(self, what: str) -> None:
        """A line of the history."""
        if self._trace is not None:
            ms = self._scheduler.now * 1_000
            self._trace.append(f"{ms:9.1f} ms  {self._scheduler.current.name}: {what}")
