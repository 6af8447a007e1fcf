"""`python -m tests.chaos`: let the jack hammer at Trident, and print what held.

Exit codes: 0 every invariant held and every run saw enough; 1 otherwise.
"""

import sys

import click
from rich.console import Console

from tests.chaos import jackhammer, report
from tests.conftest import temporary_home


@click.command()
@click.option("--seeds", default=3, show_default=True, help="How many runs.")
@click.option("--seconds", default=60.0, show_default=True, help="How long faults strike in each.")
@click.option("--seed", default=1, show_default=True, help="The first run's seed.")
def main(seeds: int, seconds: float, seed: int) -> None:
    """Strike a real stack with every fault there is, and hold it to every promise."""
    console = Console()
    ok = hammer(console, seeds, seconds, seed)
    sys.exit(0 if ok else 1)


def hammer(console: Console, seeds: int, seconds: float, first: int) -> bool:
    """The jack hammer, once for each seed; whether all went well."""
    console.rule("Jack hammer")
    reports = []
    for seed in range(first, first + seeds):
        with temporary_home() as home:
            keep = report.RESULTS / f"logs-of-seed-{seed}"
            reports.append(jackhammer.run(home, seed, seconds, say=console.log, keep=keep))
    report.show(console, reports)
    console.print(f"Written to {report.write(reports)}")
    return all(not one.violations and one.demanding for one in reports)


if __name__ == "__main__":
    main()
