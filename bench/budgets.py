"""What Trident promises to cost on two cores with everything on one machine, and whether it does.

A budget names a figure of a scenario; a scenario that was not run leaves its budgets unmeasured.
"""

from collections.abc import Mapping
from typing import NamedTuple

from rich.table import Table

from bench.figures import Figures, shown_number


class Budget(NamedTuple):
    """One promise. `at_most`: smaller is better. `aim` is where the figure should come to."""

    what: str
    scenario: str
    case: str
    figure: str
    bound: float
    aim: float
    at_most: bool = False

    def measured(self, outcomes: Mapping[str, Figures]) -> float | None:
        """The figure, or None where its scenario or case was not run."""
        outcome = outcomes.get(self.scenario)
        return None if outcome is None else outcome.cases.get(self.case, {}).get(self.figure)

    def kept(self, value: float, bound: float) -> bool:
        """Whether a value is on the right side of a bound."""
        return value <= bound if self.at_most else value >= bound


AT_MOST = True
MANY, BESIDE = "1,000 ledgers", "beside an import"

BUDGETS = (
    Budget("bulk, one ledger, /s", "bulk", "one ledger", "notified_per_s", 8_000, 12_000),
    Budget("bulk, four ledgers, /s", "bulk", "four ledgers", "notified_per_s", 9_000, 14_000),
    Budget("1,000 ledgers, accepted /s", "tenants", MANY, "accepted_per_s", 990, 1_000),
    Budget("1,000 ledgers, posted p99 ms", "tenants", MANY, "posted_p99_ms", 1_000, 300, AT_MOST),
    Budget("64 connections, posted /s", "rest", "64 conn.", "posted_per_s", 900, 2_000),
    Budget("64 connections, accept p99 ms", "rest", "64 conn.", "accept_p99_ms", 150, 150, AT_MOST),
    Budget("idle, posted p50 ms", "idle", "idle", "posted_p50_ms", 25, 10, AT_MOST),
    Budget("idle, posted p99 ms", "idle", "idle", "posted_p99_ms", 60, 60, AT_MOST),
    Budget("beside an import, p99 ms", "tenants", BESIDE, "posted_p99_ms", 500, 150, AT_MOST),
    Budget("share of the limit, %", "limit", "Trident", "share_of_limit_%", 60, 80),
    Budget("times a naive chain", "naive", "Trident", "times_the_better", 45, 65),
    Budget("half from one account, %", "hot", "half from one", "of_uniform_%", 80, 95),
    Budget("half to one account, %", "hot", "half to one", "of_uniform_%", 80, 95),
    Budget("bytes per transfer", "bulk", "one ledger", "bytes_per_transfer", 900, 600, AT_MOST),
    Budget("backlog, % of the bulk rate", "outage", "outage", "of_bulk_%", 90, 100),
    Budget("worker process, MB", "memory", "after", "rss_mb", 150, 150, AT_MOST),
)


def table(outcomes: Mapping[str, Figures]) -> Table:
    """Each budget with what was measured, and whether it was reached."""
    shown = Table(title="against the budgets (two cores)", title_justify="left")
    for heading in ("what", "measured", "budget", "aim", "reached"):
        shown.add_column(heading, justify="left" if heading in {"what", "reached"} else "right")
    for budget in BUDGETS:
        value = budget.measured(outcomes)
        sign = "≤" if budget.at_most else "≥"
        bounds = (f"{sign} {shown_number(budget.bound)}", f"{sign} {shown_number(budget.aim)}")
        shown.add_row(budget.what, shown_number(value), *bounds, verdict(budget, value))
    return shown


def verdict(budget: Budget, value: float | None) -> str:
    """In a word."""
    if value is None:
        return "not measured"
    if budget.kept(value, budget.aim):
        return "[green]yes, and the aim[/]"
    return "[green]yes[/]" if budget.kept(value, budget.bound) else "[bold red]NO[/]"


def as_json(outcomes: Mapping[str, Figures]) -> list[dict[str, object]]:
    """For the results file."""
    rows = []
    for budget in BUDGETS:
        value = budget.measured(outcomes)
        reached = None if value is None else budget.kept(value, budget.bound)
        rows.append({**budget._asdict(), "measured": value, "reached": reached})
    return rows
