"""Deterministic simulation of intake, stages, bells and sweeper under faults.

    python -m tests.chaos.simulation --seeds 10000     all of them, on every core
    python -m tests.chaos.simulation --seed 4711       this one; if it fails, its shortest history

A seed decides what is submitted, who goes on at each switch point and what is lost. A seed that
fails is shrunk: fewer operations, faults and workers, as long as it fails.
"""

import argparse
import gc
import multiprocessing
import resource
import sys
import time
from contextlib import suppress
from typing import Any, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from tests.chaos import seams
from tests.chaos.checks import check, check_money
from tests.chaos.plan import Plan, plan_of
from tests.chaos.world import Violated, World

SEEDS = 10_000
MILLISECONDS = 1_000
CHUNK = 25  # seeds that a process takes at a time
# What is left of a world is collected when so many have piled up.
COLLECT_EVERY = 500


class Outcome(NamedTuple):
    """What came of a plan: the broken promise, if one is broken."""

    plan: Plan
    violated: Violated | None
    steps: int
    operations: int
    trace: list[str]


def simulate(plan: Plan, *, traced: bool = False, money_alone: bool = False) -> Outcome:
    """Run a plan, here and now. `money_alone`: ledgers may stand still, and guards step in."""
    world = World(plan, traced=traced, lenient=money_alone)
    violated = None
    try:
        if money_alone:
            with suppress(Violated):
                world.run()
            check_money(world)
        else:
            world.run()
            check(world)
    except Violated as error:
        violated = error
    finally:
        world.end()
    operations = sum(len(books.log) for books in world.servers.database.books.values())
    outcome = Outcome(plan, violated, world.scheduler.steps, operations, world.trace or [])
    world.forget()
    return outcome


def run_seed(seed: int) -> tuple[int, str | None, int, int]:
    """One seed in a process of the pool: its number, what is violated, steps, operations."""
    outcome = simulate(plan_of(seed))
    if seed % COLLECT_EVERY == 0:
        gc.collect()
    violated = None if outcome.violated is None else str(outcome.violated)
    return seed, violated, outcome.steps, outcome.operations


def prepare() -> None:
    """Once in each process that simulates."""
    seams.set_environment()
    gc.disable()


def pool(processes: int | None = None) -> Any:
    """Processes that simulate: what they replace is replaced nowhere else. Default: the cores."""
    return multiprocessing.get_context("spawn").Pool(processes, prepare)


def failure_of(seed: int) -> str:
    """The seed again, and the shortest history that breaks the same promise."""
    from tests.chaos.shrink import shrink  # noqa: PLC0415 - needed by a failure alone

    plan = plan_of(seed)
    outcome = simulate(plan)
    said = f"seed {seed}: {outcome.violated or 'all promises hold'} ({outcome.steps} steps)"
    if outcome.violated is None:
        return said
    smallest = shrink(plan, outcome.violated.invariant)
    shrunk = f"shrunk to: {smallest.plan}"
    return "\n".join([said, shrunk, *smallest.trace, f"=> {smallest.violated}"])


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many seeds to run")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--seed", type=int, help="run this seed alone, and shrink it if it fails")
    parser.add_argument("--trace", action="store_true", help="with --seed: show its whole history")
    parser.add_argument("--processes", type=int, help="how many at a time; default: the cores")
    given = parser.parse_args()
    if given.seed is not None:
        prepare()
        if given.trace:
            click.echo("\n".join(simulate(plan_of(given.seed), traced=True).trace))
        else:
            click.echo(failure_of(given.seed))
        return 0
    seeds = range(given.first, given.first + given.seeds)
    return 0 if run_all(Console(), seeds, given.processes) else 1


def run_all(console: Console, seeds: range, processes: int | None = None) -> bool:
    """Run them in no particular order, and say what came of them; whether none failed."""
    start, cpu_before = time.monotonic(), cpu_of_children_s()
    failed: list[int] = []
    steps = operations = 0
    with pool(processes) as simulators:
        for seed, violated, its_steps, its_operations in simulators.imap_unordered(
            run_seed, seeds, CHUNK
        ):
            steps += its_steps
            operations += its_operations
            if violated is not None:
                failed.append(seed)
                click.echo(f"seed {seed}: {violated}")
    table = Table("operations", "switch points", "seconds", "CPU a seed")
    table.title = f"{len(seeds)} seeds, {len(failed)} failed"
    cpu_ms = (cpu_of_children_s() - cpu_before) * MILLISECONDS / len(seeds)
    seconds = time.monotonic() - start
    table.add_row(f"{operations:,}", f"{steps:,}", f"{seconds:.1f}", f"{cpu_ms:.1f} ms")
    console.print(table)
    if failed:
        with pool(1) as simulator:
            click.echo(simulator.apply(failure_of, (min(failed),)))
    return not failed


def cpu_of_children_s() -> float:
    """What the processes that ended have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
