"""`trident demo`: a small company's month, posted, shown and verified."""

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from cli import stack
from cli.signals import interrupted_by_signals
from cli.stack.home import HOME_MODE
from cli.stack.root import ROOT
from models import db, settings

# Each step is a command that anybody may type; it runs in this process.
STEPS = (
    ("Open the accounts of a small bank", ("accounts", "import", "examples/accounts.csv")),
    ("Post a bakery's October", ("import", "examples/operations.csv")),
    ("The trial balance", ("balances",)),
    ("Check the audit chain, and every balance against its postings", ("verify",)),
)
# `import` reports so that some operations were refused: the example has two of them.
EXIT_REFUSED = 3


@click.command()
def demo() -> None:
    """Start everything, post the operations in examples/, show what came of it, and stop.

    It uses a temporary TRIDENT_HOME, so it can be repeated and run beside `make run`; if
    TRIDENT_HOME is set, that one.
    """
    console = Console(highlight=False, soft_wrap=True)
    with interrupted_by_signals(), _home() as home:
        console.print("[bold]Starting Trident[/bold]")
        with stack.start(home, say=lambda line: console.print(f"  {line}", markup=False)) as env:
            _use(env)
            for title, command in STEPS:
                console.print(f"\n[bold]{title}[/bold]   [dim]$ trident {' '.join(command)}[/dim]")
                _run(command)
            db.dispose_engines()
            console.print("\n[bold]Stopping[/bold]")
    console.print("Done. `make run` starts Trident and leaves it running.")


@contextmanager
def _home() -> Iterator[Path]:
    if "TRIDENT_HOME" in os.environ:
        yield settings.home()
    else:
        with tempfile.TemporaryDirectory(prefix="trident-demo-") as name:
            home = Path(name)
            home.chmod(HOME_MODE)
            yield home


def _use(env: Mapping[str, str]) -> None:
    """Let the commands find this stack."""
    os.environ.update(env)
    settings.settings.cache_clear()


def _run(command: tuple[str, ...]) -> None:
    """Run one command of `trident`; ends the demo with its status if it fails."""
    # Imported here because it imports us.
    from cli.main import trident  # noqa: PLC0415

    words = [str(ROOT / word) if word.startswith("examples/") else word for word in command]
    try:
        status = trident.main(words, prog_name="trident", standalone_mode=False)
    except SystemExit as end:
        status = end.code
    if status not in (None, 0, EXIT_REFUSED):
        sys.exit(status)
