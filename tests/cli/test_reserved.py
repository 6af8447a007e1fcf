"""Ledgers of Trident's own: no command reads them, writes to them, or makes a report of them."""

from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS
from cli.main import trident as root
from models.ledger import EVENTS
from tests.cli.conftest import Trident

# Whoever runs the installation proves the events, too.
THAT_SEE_IT = {("verify",)}
# What fills in whatever is required; it is a file as well.
FILE = "operations.csv"
# What else a command asks for, with options of which it takes one.
MORE: dict[tuple[str, ...], tuple[str, ...]] = {("statement",): ("an-account",)}


def commands(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command, with the words that call it."""
    context = click.Context(command)
    if not isinstance(command, click.Group):
        yield words, command
        return
    for name in command.list_commands(context):
        made = command.get_command(context, name)
        assert made is not None
        yield from commands(made, (*words, name))


def filled_in(command: click.Command) -> list[str]:
    """Words for everything that it requires."""
    words = []
    for parameter in command.params:
        if not parameter.required or parameter.name == "ledger":
            continue
        kind = parameter.type
        value = kind.choices[0] if isinstance(kind, click.Choice) else FILE
        value = "1" if isinstance(kind, click.types.IntParamType) else value
        words += [value] if isinstance(parameter, click.Argument) else [parameter.opts[0], value]
    return words


WITH_LEDGER = {
    words: command
    for words, command in commands(root)
    if any(parameter.name == "ledger" for parameter in command.params)
}


def test_there_are_such_commands() -> None:
    """All commands were looked through."""
    assert {words[0] for words, _ in commands(root)} == set(COMMANDS)
    assert len(WITH_LEDGER) > 10
    assert WITH_LEDGER.keys() >= THAT_SEE_IT


@pytest.mark.parametrize("words", sorted(WITH_LEDGER.keys() - THAT_SEE_IT), ids=" ".join)
def test_no_command_finds_it(trident: Trident, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Exit 2, as for a ledger that is not there; the names of the others are no secret."""
    (tmp_path / FILE).write_text("idempotency_key,source,destination,amount,currency\n")
    more = [*filled_in(WITH_LEDGER[words]), *MORE.get(words, ())]
    result = trident(*words, *more, "--ledger", EVENTS)
    assert result.exit_code == 2, result.output
    assert f"no ledger '{EVENTS}'" in result.stderr
