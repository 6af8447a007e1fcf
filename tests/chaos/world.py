"""One simulated installation, from the first submission until all is final.

The code that runs in it is Trident's own; a plan says what happens to it.
"""

import json
import random

from models.operation import show_id
from pipeline.accept import key_hash
from pipeline.idempotency import DUE
from pipeline.stage import STAGES
from tests.chaos import seams
from tests.chaos.fake_store import Books
from tests.chaos.faulty_servers import Servers
from tests.chaos.plan import Plan
from tests.chaos.processes import Processes
from tests.chaos.schedule import Clock, Scheduler, Threading
from tests.chaos.statements.due import due_of

# After the faults all is final within so many seconds (a tenth of it, as a rule).
DRAIN_MAX_S = 60.0
# An operation that kills its process is found by halving, with up to 30 s between two attempts.
DRAIN_WITH_POISON_MAX_S = 7_200.0
STEPS_MAX = 300_000  # a hundred times what a run takes: beyond it something turns in circles


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
        self.trace: list[str] | None = [] if traced else None
        self.scheduler = Scheduler(self.rng, plan.switch_chance)
        self.clock = Clock(self.scheduler)
        self.threading = Threading(self.scheduler)
        self.servers = Servers(plan, self.rng, self.scheduler, self.trace)
        self.processes = Processes(plan, self.rng, self.scheduler, self.servers)
        seams.put_in(self)

    def run(self) -> None:
        """All is submitted under faults; then, without faults, all becomes final."""
        self.processes.start()
        self.scheduler.run(lambda: self.all_submitted() or self.hopeless())
        self.raise_found()
        if not self.all_submitted():
            raise Violated("no deadlock", f"clients wait for ever: {self.standing()}")
        self.servers.end_faults()
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
        database = self.servers.database
        return bool(
            self.processes.failures
            or database.waits_for_itself
            or (database.guards.stepped_in and not self.lenient)
            or self.scheduler.steps > STEPS_MAX
        )

    def raise_found(self) -> None:
        """Raise what was found on the way."""
        database = self.servers.database
        if self.processes.failures:
            raise Violated("no unexpected error", self.processes.failures[0])
        if database.waits_for_itself:
            raise Violated("no task waits for itself", database.waits_for_itself[0])
        if database.guards.stepped_in and not self.lenient:
            raise Violated("no guard of the database steps in", database.guards.stepped_in[0])

    def all_submitted(self) -> bool:
        """Whether every group has its receipts."""
        return not self.processes.groups_left

    def all_final(self) -> bool:
        """Whether the last stage has come to the end of every log, and all that is due in it."""
        return all(
            books.last_position("accept") == books.last_position("notify")
            and not (self.plan.sweeper and self.left_due(books))
            for books in self.servers.database.books.values()
        )

    def left_due(self, books: Books) -> bool:
        """Whether something is due that no operation was made of yet."""
        for _, target in due_of(self.servers.database, books):
            name, number = show_id(books.log[target - 1].id), books.pending[target].number
            if key_hash(DUE.format(name, number)) not in books.keys:
                return True
        return False

    def all_kept(self) -> bool:
        """Whether the newest block of each ledger is known outside."""
        newest = {
            f"{scope[0]}-{scope[1]}.json": books.blocks[-1].height
            for scope, books in self.servers.database.books.items()
            if books.blocks
        }
        return newest == {
            name: json.loads(kept)["height"] for name, kept in self.servers.heads.kept.items()
        }

    def standing(self) -> str:
        """How far each ledger has come."""
        return "; ".join(
            f"ledger {scope[1]}: "
            + ", ".join(f"{s} {books.last_position(s)}" for s in ("accept", *STAGES))
            for scope, books in self.servers.database.books.items()
        )

    def end(self) -> None:
        """Unwind what still waits."""
        self.servers.database.over = True
        self.scheduler.end()

    def forget(self) -> None:
        """Let go of everything: its parts know one another, and waiting for the garbage collector
        costs a tenth of the time."""
        servers = self.servers
        fakes = servers.broker, servers.heads, servers.database
        for part in (self.scheduler, *fakes, servers, self.processes, self):
            vars(part).clear()
