"""`trident permissions`: who may do what, as the code has it."""

from collections.abc import Iterator

import click

from cli.asking import DataCommand
from cli.printing import plain, print_csv, print_json, print_table, table
from pipeline.permissions import ROLES, TABLE

COLUMNS = ("action", *ROLES, "what")
INTRODUCTION = """\
# Permissions

This page is printed from the code by `trident permissions --format markdown`. A principal has
roles, and may do what one of them permits. What is not in the table is refused, to everybody. The
API asks it for each request, and authorize again for the principal that was recorded with an
operation.

A token may carry `scopes` as well, a list of actions or of beginnings such as `reports.*`: then it
may do only what is both permitted to its roles and among them. Where it carries `ledgers`, there
are no others for it: they are 404. A route that takes operations of every kind takes the
permission of the one that is sent; what a group or a schedule holds needs its own as well. The
OpenAPI document names the permission of each route in `x-permission`.
"""


@click.command(cls=DataCommand)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "markdown"]),
    default="table",
    show_default=True,
    help="table for people; csv and json for programs; markdown for docs/permissions.md.",
)
def permissions(form: str) -> None:
    """Show which role may do what."""
    if form == "markdown":
        click.echo("\n".join(markdown()))
    elif form == "table":
        made = table("", COLUMNS[:-1])
        for line in records():
            made.add_row(*map(plain, line[:-1]))
        print_table(made)
    else:
        (print_csv if form == "csv" else print_json)(COLUMNS, records())


def records() -> list[tuple[str, ...]]:
    """A line for each action: `yes` for the roles that may do it."""
    return [
        (action, *("yes" if role in row.roles else "" for role in ROLES), row.what)
        for action, row in TABLE.items()
    ]


def markdown() -> Iterator[str]:
    """The lines of docs/permissions.md."""
    yield INTRODUCTION
    yield from ("## Roles", "", "| role | may |", "|---|---|")
    yield from (f"| `{role}` | {what} |" for role, what in ROLES.items())
    yield from ("", "## Actions", "", "Trident alone does what no role may.", "")
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|---|{':-:|' * len(ROLES)}---|"
    for action, *marks, what in records():
        yield f"| `{action}` | {' | '.join(marks)} | {what} |"
