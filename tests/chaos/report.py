"""A run for people (tables, and the history behind each violation) and for programs (JSON)."""

import io
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.chaos.finding import Finding
from tests.chaos.jackhammer import Report

RESULTS = Path(__file__).parent / "results"
# Violations of one invariant that are shown with their history: the first tell the most.
SHOWN = 2
WIDTH = 160


def show(console: Console, reports: list[Report]) -> None:
    """All runs side by side, then what was violated."""
    seeds = [f"seed {report.seed}" for report in reports]
    figures = _table("The runs", "", seeds)
    for name in reports[0].figures:
        figures.add_row(name, *(_number(report.figures[name]) for report in reports))
    console.print(figures)
    faults = _table("Faults, and how often each struck", "", seeds)
    for kind in reports[0].struck:
        faults.add_row(kind, *(str(report.struck[kind]) for report in reports))
    console.print(faults)
    invariants = _table("Invariants, and how much each looked at", "", seeds)
    for at, finding in enumerate(reports[0].findings):
        cells = [_cell(report.findings[at]) for report in reports]
        invariants.add_row(f"{finding.invariant} [dim]({finding.of})[/dim]", *cells)
    console.print(invariants)
    for report in reports:
        show_faults(console, report)


def show_faults(console: Console, report: Report) -> None:
    """What the run violated, with the shortest history that shows it, and what it did not see."""
    for finding in report.findings:
        for violation in finding.violations[:SHOWN]:
            console.print(f"\n[bold red]VIOLATED[/] with seed {report.seed}: {finding.invariant}")
            console.print(f"  {escape(violation.message)}", highlight=False)
            for line in report.history.excerpt(violation.keys):
                console.print(f"  {escape(line)}", highlight=False, soft_wrap=True)
        more = len(finding.violations) - SHOWN
        if more > 0:
            console.print(f"  ... and {more} more violations of this invariant")
    for what, met in report.demands:
        if not met:
            console.print(f"[yellow]NOT REACHED[/] with seed {report.seed}: {what}")
    if report.violations:
        again = f"--seeds 1 --seed {report.seed} --seconds {report.seconds:.0f}"
        console.print(f"Once more with the same plan of faults: python -m tests.chaos {again}")


def as_text(report: Report) -> str:
    """What the run violated, as plain text."""
    console = Console(width=WIDTH, record=True, file=io.StringIO())
    show_faults(console, report)
    return console.export_text()


def write(reports: Iterable[Report]) -> Path:
    """The runs with the machine and the time that they belong to."""
    RESULTS.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = RESULTS / f"{now:%Y%m%dT%H%M%SZ}.json"
    about = {"at": now.isoformat(), "machine": platform.platform(), "cores": os.cpu_count()}
    document = {**about, "runs": [_as_json(report) for report in reports]}
    path.write_text(json.dumps(document, indent=2))
    return path


def _as_json(report: Report) -> dict[str, object]:
    return {
        "seed": report.seed,
        "seconds": report.seconds,
        "figures": report.figures,
        "struck": report.struck,
        "demands": [{"what": what, "met": met} for what, met in report.demands],
        "invariants": [asdict(finding) for finding in report.findings],
        "histories": [
            report.history.excerpt(violation.keys)
            for finding in report.findings
            for violation in finding.violations[:SHOWN]
        ],
        "faults": [strike._asdict() for strike in report.history.strikes],
    }


def _table(title: str, first: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _cell(finding: Finding) -> str:
    if finding.violations:
        return f"[bold red]{len(finding.violations):,} of {finding.examined:,}[/]"
    return f"[green]ok[/] {finding.examined:,}"


def _number(value: float) -> str:
    return f"{value:,.1f}" if value % 1 else f"{value:,.0f}"
