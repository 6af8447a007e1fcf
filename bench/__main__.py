"""`make bench`: start a stack of its own, run the scenarios, print tables, write JSON beside."""

import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.bulk import bulk
from bench.idle import idle
from bench.measure import Figures
from bench.statements import statements
from cli import stack

RESULTS = Path(__file__).parent / "results"


@click.command()
@click.option("--operations", default=100_000, show_default=True, help="Transfers in bulk.")
@click.option("--idle-operations", default=200, show_default=True, help="Single operations.")
@click.option(
    "--bank",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="BENCH_BANK",
    help="A folder of bank statements to import as well (see bench/statements.py).",
)
def main(operations: int, idle_operations: int, bank: Path | None) -> None:
    """Measure Trident on this machine, on servers of its own."""
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix="trident-bench-") as home,
        stack.start(Path(home), any_ports=True, say=console.log) as env,
    ):
        os.environ.update(env)
        outcomes = [
            idle(env["TRIDENT_URL"], env["TRIDENT_TOKEN"], idle_operations),
            bulk(operations),
        ]
        if bank is not None:
            outcomes.append(statements(bank))
    for outcome in outcomes:
        console.print(table(outcome))
    console.print(f"Written to {write(outcomes)}")


def table(outcome: Figures) -> Table:
    """One scenario's figures for people."""
    shown = Table(title=outcome.scenario, title_justify="left", show_header=False, min_width=44)
    shown.add_column()
    shown.add_column(justify="right")
    for name, value in outcome.figures.items():
        shown.add_row(name.replace("_", " "), f"{value:,.1f}" if value % 1 else f"{value:,.0f}")
    return shown


def write(outcomes: list[Figures]) -> Path:
    """The figures with the machine and the time that they belong to."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    about = {"at": now.isoformat(), "machine": platform.platform(), "cores": os.cpu_count()}
    document = {**about, "scenarios": [outcome.as_json() for outcome in outcomes]}
    path.write_text(json.dumps(document, indent=2))
    return path


if __name__ == "__main__":
    main()
