"""`python -m tests.chaos`: simulate, plant bugs, let the jack hammer at Trident; say what held.

Exit codes: 0 no seed failed, every planted bug was caught, every invariant held and every run saw
enough; 1 otherwise.
"""

import sys

import click
from rich.console import Console

from tests.chaos import jackhammer, report, simulation
from tests.chaos.planted.run import plant
from tests.conftest import temporary_home


@click.command()
@click.option(
    "--simulation-seeds",
    default=simulation.SEEDS,
    show_default=True,
    type=click.IntRange(min=1),
    help="How many simulations.",
)
@click.option("--seeds", default=3, show_default=True, help="How many runs of the jack hammer.")
@click.option("--seconds", default=60.0, show_default=True, help="How long faults strike in each.")
@click.option("--seed", default=1, show_default=True, help="The first run's seed.")
def main(simulation_seeds: int, seeds: int, seconds: float, seed: int) -> None:
    """Simulate faults, put bugs in, strike a real stack: every promise must hold."""
    console = Console()
    console.rule("Simulation")
    ok = simulation.run_all(console, range(simulation_seeds))
    console.rule("Planted bugs")
    ok = plant(console) and ok
    console.rule("Jack hammer")
    ok = hammer(console, seeds, seconds, seed) and ok
    sys.exit(0 if ok else 1)


def hammer(console: Console, seeds: int, seconds: float, first: int) -> bool:
    """The jack hammer, once for each seed; whether all went well."""
    reports = []
    for seed in range(first, first + seeds):
        with temporary_home(on_disk=True) as home:  # it may grow for hours
            keep = report.RESULTS / f"logs-of-seed-{seed}"
            reports.append(jackhammer.run(home, seed, seconds, say=console.log, keep=keep))
    report.show(console, reports)
    console.print(f"Written to {report.write(reports)}")
    return all(not one.violations and one.demanding for one in reports)


if __name__ == "__main__":
    main()
