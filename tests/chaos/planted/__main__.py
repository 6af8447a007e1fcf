"""Put every planted bug in, one after the other, and say what caught it; exit status 1 if one
escapes.

    python -m tests.chaos.planted                     the table
    python -m tests.chaos.planted --only simulated    of those that the simulation finds
    python -m tests.chaos.planted --history           and the shortest history of each of these
"""

import argparse
import sys
from collections.abc import Callable
from functools import partial

from rich.console import Console
from rich.table import Table

from models.logs import set_up_logs
from tests.chaos.planted import hunt, servers
from tests.chaos.planted.interleaving import PLANTED
from tests.chaos.planted.report import Caught, EscapedError
from tests.chaos.simulation import prepare

ESCAPED = "ESCAPED"


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.planted", description=__doc__)
    parser.add_argument("--only", choices=("servers", "simulated"))
    parser.add_argument("--history", action="store_true", help="show the histories too")
    given = parser.parse_args()
    set_up_logs("FATAL")  # alarms are what is expected here
    rows: list[Caught] = []
    # In this order: a simulation replaces parts of modules for good.
    if given.only != "simulated":
        rows += [attempt(name, partial(servers.catch, name)) for name in servers.SCENARIOS]
    if given.only != "servers":
        prepare()
        rows += [attempt(planted.name, partial(hunt.catch, planted)) for planted in PLANTED]
    table = Table("planted bug", "caught by", "after")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    for planted in PLANTED if given.history else ():
        console.rule(planted.name)
        console.print(hunt.history(planted), markup=False, highlight=False)
    return 1 if any(row.by.startswith(ESCAPED) for row in rows) else 0


def attempt(name: str, catch: Callable[[], Caught]) -> Caught:
    """The bug caught, or escaped."""
    try:
        return catch()
    except EscapedError as error:
        return Caught(name, f"{ESCAPED}: {error}", "")


if __name__ == "__main__":
    sys.exit(main())
