"""A scenario's outcome, for people as a table and for machines as JSON."""

from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table

# From here on a decimal place says nothing.
WHOLE_FROM = 100


@dataclass
class Figures:
    """One scenario's outcome: by case (a column), the figures by name with the unit in the name."""

    scenario: str
    title: str
    cases: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def of(self, figure: str, case: str | None = None) -> float:
        """One figure; of the only case if none is named. Raises KeyError."""
        if case is None:
            (case,) = self.cases
        return self.cases[case][figure]

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)

    def table(self) -> Table:
        """For people: a row for each figure, a column for each case."""
        shown = Table(title=self.title, title_justify="left", show_header=len(self.cases) > 1)
        shown.add_column(min_width=22)
        for case in self.cases:
            shown.add_column(case, justify="right", min_width=8)
        names = dict.fromkeys(name for figures in self.cases.values() for name in figures)
        for name in names:
            cells = (shown_number(figures.get(name)) for figures in self.cases.values())
            shown.add_row(name.replace("_per_s", "/s").replace("_", " "), *cells)
        return shown


def shown_number(value: float | None) -> str:
    """With thousands set apart, and as many decimals as say something."""
    if value is None:
        return ""
    if value == int(value) or abs(value) >= WHOLE_FROM:
        return f"{value:,.0f}"
    return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.2f}"
