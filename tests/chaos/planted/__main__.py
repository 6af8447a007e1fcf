"""Put every planted bug in, one after the other, and say what caught it; exit status 1 if one
escapes.

    python -m tests.chaos.planted                     the table
    python -m tests.chaos.planted --only simulated    of those that the simulation finds
    python -m tests.chaos.planted --history           and the shortest history of each of these
"""

import argparse
import sys

from rich.console import Console

from tests.chaos.planted.run import plant, show_histories


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.planted", description=__doc__)
    parser.add_argument("--only", choices=("servers", "simulated"))
    parser.add_argument("--history", action="store_true", help="show the histories too")
    given = parser.parse_args()
    console = Console()
    caught = plant(console, given.only)
    if given.history:
        show_histories(console)
    return 0 if caught else 1


if __name__ == "__main__":
    sys.exit(main())
