"""`trident schedules`: what happens later, and what came of it the last time."""

from collections.abc import Iterator

import click
from sqlalchemy import Connection

from cli.asking import (
    DataCommand,
    format_options,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.printing import plain, print_csv, print_json, print_table, table
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.schedules import STATES, Schedule, page

COLUMNS = ("schedule", "state", "next", "when", "zone", "does", "last", "outcome", "description")
# So many schedules are read at a time.
PAGE = 500
# Behind every position of a log.
END = 2**40


@click.command(cls=DataCommand)
@ledger_option
@tenant_option
@click.option("--state", type=click.Choice(STATES), help="Only schedules in this state.")
@format_options
def schedules(ledger: str, tenant: str, state: str | None, form: str) -> None:
    """Show the schedules of a ledger, newest first.

    `next` is when it happens next, `when` its one time or its rule, `last` when it happened last;
    `outcome` says what came of that: posted, or the code with which it was refused.
    """
    books = the_ledger(tenant, ledger)
    with patient_reading(books.tenant_id) as connection:
        found = (one for one in every(connection, books) if state in (None, one.state))
        if form == "table":
            _print_table(books, found)
        else:
            (print_csv if form == "csv" else print_json)(COLUMNS, map(record, found))


def every(connection: Connection, books: LedgerRef) -> Iterator[Schedule]:
    """All schedules of the ledger, newest first."""
    before = END
    while found := page(connection, books, before, PAGE):
        yield from found
        before = found[-1].position


def record(one: Schedule) -> tuple[str | None, ...]:
    """One line; times are UTC."""
    last, body = one.last, one.body
    return (
        show_id(one.id),
        one.state,
        None if one.next_at is None else one.next_at.isoformat(timespec="seconds"),
        body.get("rule", body.get("at")),
        body.get("time_zone"),
        body["operation"]["kind"],
        None if last is None else last.accepted_at.isoformat(timespec="seconds"),
        None if last is None else last.code or last.outcome,
        body.get("description"),
    )


def _print_table(books: LedgerRef, found: Iterator[Schedule]) -> None:
    made = table(f"Schedules of ledger {books.name}", COLUMNS)
    for one in found:
        made.add_row(*map(plain, record(one)))
    if made.row_count:
        print_table(made)
    else:
        click.echo(f"Ledger {books.name} has no such schedule.")
