"""Make a failing plan small: fewer operations, faults, losses, clients and workers.

Whatever is taken away changes the interleaving, so each smaller plan is tried under some schedules.
"""

from collections.abc import Iterator
from dataclasses import replace

from tests.chaos.plan import Plan
from tests.chaos.simulation import Outcome, simulate
from tests.chaos.workload import OPERATIONS

SCHEDULES = 12  # tried for each smaller plan
LOSS_CHANCE = 0.02
RUNS_MAX = 4_000  # all in all: some ten seconds, because plans get small soon


class Shrinker:
    """Keeps the smallest plan that breaks the promise `invariant`."""

    def __init__(self, plan: Plan, invariant: str, *, money_alone: bool) -> None:
        self._invariant = invariant
        self._money_alone = money_alone
        self._runs = 0
        self.best = plan

    def fails(self, plan: Plan) -> bool:
        """Whether the plan breaks the promise under one of some schedules; it is the best then."""
        for schedule in (plan.schedule, *range(SCHEDULES)):
            if self._runs >= RUNS_MAX:
                return False
            self._runs += 1
            tried = replace(plan, schedule=schedule)
            violated = simulate(tried, money_alone=self._money_alone).violated
            if violated is not None and violated.invariant == self._invariant:
                self.best = tried
                return True
        return False

    def run(self) -> None:
        """Smaller and smaller, until nothing more can be taken away."""
        before = None
        while before != self.best:
            before = self.best
            for smaller in self._smaller():
                if smaller != self.best:
                    self.fails(smaller)
            self._take_operations_away()

    def _take_operations_away(self) -> None:
        kept = self.best.kept
        numbers = sorted(range(OPERATIONS) if kept is None else kept)
        size = max(len(numbers) // 2, 1)
        while size:
            at = 0
            while at < len(numbers) > 1:
                rest = numbers[:at] + numbers[at + size :]
                if rest and self.fails(replace(self.best, kept=frozenset(rest))):
                    numbers = rest
                else:
                    at += size
            size //= 2

    def _smaller(self) -> Iterator[Plan]:
        for fault in sorted(self.best.faults):
            yield replace(self.best, faults=self.best.faults - {fault})
        for losses in (0, 1, 2, 4):
            if losses < self.best.losses_max:
                yield replace(self.best, losses_max=losses)
        for number in (1, 2, 3):
            if number < self.best.clients:
                yield replace(self.best, clients=number)
            if number < self.best.workers:
                yield replace(self.best, workers=number)
        # No smaller, but it fails under more schedules, so that more can be taken away.
        yield replace(self.best, loss_chance=max(LOSS_CHANCE, self.best.loss_chance))
        yield replace(self.best, few=Plan.few)
        yield replace(self.best, run_operations=Plan.run_operations, run_bytes=Plan.run_bytes)
        yield replace(self.best, max_lag=Plan.max_lag, careful_after=Plan.careful_after)


def shrink(plan: Plan, invariant: str, *, money_alone: bool = False) -> Outcome:
    """The smallest plan found, run once more with its history."""
    shrinker = Shrinker(plan, invariant, money_alone=money_alone)
    shrinker.run()
    return simulate(shrinker.best, traced=True, money_alone=money_alone)
