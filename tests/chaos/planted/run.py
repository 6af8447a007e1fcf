"""Put the planted bugs in, one after the other, and show what caught each."""

from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

from models.logs import set_up_logs
from tests.chaos.planted import deciding, hunt, interleaving, ruling, scenarios
from tests.chaos.planted.report import Caught, EscapedError
from tests.chaos.simulation import pool

ESCAPED = "ESCAPED"
PLANTED = *interleaving.PLANTED, *deciding.PLANTED, *ruling.PLANTED
NUMBERS = range(len(PLANTED))


def plant(console: Console, only: str | None = None) -> bool:
    """Put each bug in, or some of them, and say what caught it; whether none escaped."""
    set_up_logs("FATAL")  # alarms are what is expected here
    rows: list[Caught] = []
    if only != "simulated":
        rows += [attempt(name, partial(scenarios.catch, name)) for name in scenarios.SCENARIOS]
    if only != "servers":
        with pool() as simulators:
            rows += simulators.map(hunt_for, NUMBERS, 1)
    table = Table("planted bug", "caught by", "after")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    return not any(row.by.startswith(ESCAPED) for row in rows)


def show_histories(console: Console) -> None:
    """The shortest history that shows each of those that the simulation finds."""
    with pool() as simulators:
        for planted, history in zip(PLANTED, simulators.map(history_of, NUMBERS, 1), strict=True):
            console.rule(planted.name)
            console.print(history, markup=False, highlight=False)


def attempt(name: str, catch: Callable[[], Caught]) -> Caught:
    """The bug caught, or escaped."""
    try:
        return catch()
    except EscapedError as error:
        return Caught(name, f"{ESCAPED}: {error}", "")


def hunt_for(number: int) -> Caught:
    """In a process of the pool: one of those that the simulation finds."""
    planted = PLANTED[number]
    return attempt(planted.name, partial(hunt.catch, planted))


def history_of(number: int) -> str:
    """In a process of the pool: its shortest history."""
    return hunt.history(PLANTED[number])
