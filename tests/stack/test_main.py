"""The command `trident` itself."""

import subprocess
import sys
import time

import click
import pytest

from cli.main import COMMANDS, trident
from cli.stack.home import Home
from cli.stack.root import ROOT
from tests.stack.holding import holding

TRIDENT = (sys.executable, "-m", "cli.main")
# The help is wanted within 0.3 s on an idle machine; a busy one is given several times that.
HELP_WITHIN_S = 1.5


def test_help_lists_every_command_at_once() -> None:
    """`trident --help` names each command with a line of help, without loading them."""
    began = time.monotonic()
    done = subprocess.run(
        [*TRIDENT, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - began < HELP_WITHIN_S
    for name, (_, line) in COMMANDS.items():
        assert f"  {name} " in done.stdout
        assert line in done.stdout


@pytest.mark.usefixtures("env")
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there(name: str) -> None:
    """Each command of the table can be loaded, and has a help text of its own."""
    command = trident.get_command(click.Context(trident), name)
    assert command is not None
    assert command.name == name
    assert command.help


def test_what_is_wrong_with_the_stack_is_one_sentence(home: Home) -> None:
    """A TRIDENT_HOME that cannot be written ends `trident run` with status 2 and no traceback."""
    home.root.joinpath("file").touch()
    with holding(Home(home.root / "file"), "-m", "cli.main", "run") as held:
        status, output = held.stop()
    assert status == 2
    assert output.startswith("trident: TRIDENT_HOME")
    assert output.count("\n") == 1


def test_what_is_missing_in_the_environment_is_listed(home: Home) -> None:
    """Without a stack, `trident db upgrade` names every variable that it misses, with status 2."""
    with holding(home, "-m", "cli.main", "db", "upgrade") as held:
        status, output = held.stop()
    assert status == 2
    for name in ("TRIDENT_DATABASE_URL", "TRIDENT_BROKER_URL", "TRIDENT_KEKS"):
        assert name in output
