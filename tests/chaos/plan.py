"""Everything that decides how a simulation goes. Equal plans go the same way, step by step."""

import random
from dataclasses import dataclass, replace

from models.ledger import LedgerRef
from tests.chaos.workload import Group, groups_of

# What happens to bells: harmless without the sweeper too.
BENIGN = frozenset({"double", "delay", "reorder"})
# What loses bells, processes, connections, answers or the broker: the sweeper makes up for it.
LOSSES = frozenset(
    {"drop", "kill", "cut", "cancel", "memory", "unknown", "restart", "flush", "away"}
)
POISONED = 0.02  # of the plans: finding such an operation takes many runs
# The first two are of one tenant: they may share a run.
LEDGERS = [
    LedgerRef(1, 7, "main"),
    LedgerRef(1, 8, "second"),
    LedgerRef(2, 9, "other"),
    LedgerRef(1, 10, "third"),
]


@dataclass(frozen=True)
class Plan:
    """One simulation. `schedule` seeds interleaving and faults, `seed` what is submitted."""

    seed: int
    schedule: int
    faults: frozenset[str]
    losses_max: int  # so many LOSSES happen at the most
    sweeper: bool
    loss_chance: float = 0.002  # of each of them at each switch point
    ledgers: int = 1
    clients: int = 3
    workers: int = 3
    group_max: int = 8
    pause_max_s: float = 0.02  # between two groups of a client
    broker_s: float = 0.0  # how long a command to the broker takes: meanwhile ledgers gather
    switch_chance: float = 0.5  # that a switch point lets another go on
    run_operations: int = 10_000  # pipeline.stage.RUN_OPERATIONS
    few: int = 200  # pipeline.through.FEW; with 0 nothing goes through all stages at once
    many: int = 200  # pipeline.judge.FEW; of more than so many, validate takes post along
    bells_enough: int = 4  # tasks.ring.BELLS_ENOUGH
    max_lag: int = 10_000
    run_bytes: int = 2 * 1024 * 1024  # pipeline.stage.RUN_BYTES
    careful_after: int = 3  # tasks.sweep.CAREFUL_AFTER
    poison: bool = False  # some operations fail the run that they are in, or kill its process
    guards: bool = True  # the database's guards and unique keys
    kept: frozenset[int] | None = None  # only these operations are submitted; None: all

    def groups(self) -> list[Group]:
        """What the clients submit."""
        ledgers = LEDGERS[: self.ledgers]
        groups = groups_of(self.seed, ledgers, self.clients, self.group_max, self.poison)
        if self.kept is None:
            return groups
        kept = (group.only(self.kept) for group in groups)
        return [group for group in kept if group.submissions]


def plan_of(seed: int) -> Plan:
    """The plan of a seed. Each fourth loses nothing and has no sweeper: bells alone must do.

    Half of these are short.
    """
    rng = random.Random(f"plan {seed}")
    quiet = seed % 4 == 0
    some = frozenset(fault for fault in sorted(BENIGN) if rng.random() < 0.7)
    if not quiet:
        some |= frozenset(fault for fault in sorted(LOSSES) if rng.random() < 0.5)
    plan = Plan(
        seed=seed,
        schedule=seed,
        faults=some,
        losses_max=0 if quiet else rng.choice((1, 4, 16, 40)),
        sweeper=not quiet,
        loss_chance=rng.choice((0.001, 0.002, 0.01)),
        ledgers=rng.choice((1, 2, 2, 3, 4)),
        clients=rng.choice((1, 3, 5)),
        workers=rng.choice((2, 3, 4)),
        group_max=rng.choice((4, 8, 16)),
        pause_max_s=rng.choice((0.0, 0.02, 0.1)),
        broker_s=rng.choice((0.0, 0.002, 0.02, 0.05)),
        switch_chance=rng.choice((0.1, 0.3, 0.6, 0.9)),
        run_operations=rng.choice((10_000, 10_000, 24, 5)),
        run_bytes=rng.choice((2 * 1024 * 1024, 2 * 1024 * 1024, 500)),
        few=rng.choice((200, 200, 20, 3, 1, 0)),
        bells_enough=rng.choice((4, 4, 1)),
        max_lag=rng.choice((10_000, 10_000, 40)),
        poison=not quiet and rng.random() < POISONED,
        careful_after=rng.choice((3, 3, 1)),
        many=rng.choice((200, 200, 3, 0)),
    )
    return short(plan, rng) if seed % 8 == 0 else plan


def short(plan: Plan, rng: random.Random) -> Plan:
    """Little is submitted, all at once, and worked in several rounds.

    A bell that is lost shows only if no other comes after it: that is where a history ends.
    """
    return replace(
        plan,
        kept=frozenset(range(rng.choice((20, 30, 40)))),
        ledgers=min(plan.ledgers, 2),
        clients=5,
        workers=max(plan.workers, 3),
        pause_max_s=rng.choice((0.0, 0.01)),
        broker_s=0.0,
        switch_chance=min(plan.switch_chance, 0.3),
        run_bytes=rng.choice((300, 500)),
        few=200,
        max_lag=10_000,
    )
