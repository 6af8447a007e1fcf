"""`trident events`: who did what beside the books."""

import datetime as dt
from collections.abc import Iterator, Sequence
from itertools import islice

import click
import orjson
from sqlalchemy import Connection

from cli.asking import DataCommand, Unfulfillable, format_options, patient_reading, tenant_option
from cli.operations import SHOWN_DEFAULT, Moment
from cli.printing import plain, print_csv, print_json, print_table, table
from cli.statement import utc
from models.key_ring import KeyRingError, key_ring
from models.operation import show_id
from models.sealed import TamperedError
from models.tenant import tenant_id_of
from pipeline.events import ACTIONS, Told, Wanted, read_page
from pipeline.events import whence as opened

COLUMNS = (
    "position",
    "event",
    "at",
    "action",
    "outcome",
    "actor",
    "target",
    "detail",
    "sealed",
)
# What a person needs of an event; programs get all of it.
SHOWN = ("at", "action", "outcome", "actor", "target", "detail")
# What is personal of it.
WHENCE = ("address", "agent")
# Events that are read at a time.
PAGE = 500


@click.command(cls=DataCommand)
@tenant_option
@click.option("--action", type=click.Choice(tuple(ACTIONS)), help="What was done or refused.")
@click.option("--actor", metavar="NAME", help="Who it was, such as cli:ada.")
@click.option("--since", type=Moment(), help="At this time or later.")
@click.option("--until", type=Moment(), help="Before this time.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=SHOWN_DEFAULT,
    show_default=True,
    help="How many to show at most.",
)
@click.option(
    "--whence", is_flag=True, help="Show from where they asked as well, which is personal."
)
@click.option("--all", "every", is_flag=True, help="All of them, however many.")
@format_options
def events(
    tenant: str,
    action: str | None,
    actor: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    limit: int,
    whence: bool,
    every: bool,
    form: str,
) -> None:
    """Show what people and programs did beside the books, newest first.

    Events are sealed in an audit chain of their own; `trident verify` proves it.
    """
    tenant_id = tenant_id_of(tenant)
    wanted = Wanted(PAGE, action=action, actor=actor, since=since, until=until)
    more = WHENCE if whence else ()
    try:
        with patient_reading(tenant_id) as connection:
            found = islice(_all(connection, tenant_id, wanted, more), None if every else limit)
            if form == "table":
                _print_table(found, more)
            else:
                (print_csv if form == "csv" else print_json)((*COLUMNS, *more), found)
    except (KeyRingError, TamperedError) as error:
        raise Unfulfillable(str(error)) from None


def _all(
    connection: Connection, tenant_id: int, wanted: Wanted, more: Sequence[str]
) -> Iterator[tuple[str | int | None, ...]]:
    """The records; `more` columns are those of whence."""
    following: int | None = 0
    while following is not None:
        found, following = read_page(connection, tenant_id, wanted)
        origins = opened(connection, key_ring(), tenant_id, found) if more else {}
        for told in found:
            origin = origins.get(told.position, [None] * len(more))
            yield *_record(told), *origin
        wanted = wanted._replace(before=following)


def _record(told: Told) -> tuple[str | int | None, ...]:
    body = told.body
    return (
        told.position,
        show_id(told.id),
        utc(told.at),
        body["action"],
        body["outcome"],
        body["actor"],
        body.get("target"),
        orjson.dumps(body["detail"]).decode() if "detail" in body else None,
        "yes" if told.sealed else "no",
    )


def _print_table(records: Iterator[tuple[str | int | None, ...]], more: Sequence[str]) -> None:
    made = table("", (*SHOWN, *more))
    for record in records:
        cells = dict(zip((*COLUMNS, *more), record, strict=True))
        made.add_row(*(plain(cells[column]) for column in (*SHOWN, *more)))
    if made.row_count:
        print_table(made)
    else:
        click.echo("There are no such events.")
