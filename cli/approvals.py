"""`trident approvals`: what waits for other people than who submitted it."""

import click

from cli.asking import (
    DataCommand,
    format_options,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.printing import plain, print_csv, print_json, print_table, table
from cli.statement import utc
from models.operation import show_id
from pipeline import money
from pipeline.kinds import kind_of
from pipeline.waiting import Waiting, waiting

COLUMNS = (
    "operation",
    "position",
    "kind",
    "amounts",
    "description",
    "submitted_by",
    "submitted_at",
    "rule",
    "by_role",
    "approved_by",
    "missing",
    "expires_at",
)
# What a person needs to decide; programs get all of it.
SHOWN = ("operation", "kind", "amounts", "description", "submitted_by", "approved_by", "missing")
# More than anybody looks through; the API has pages.
LISTED_MAX = 10_000


@click.command(cls=DataCommand)
@ledger_option
@tenant_option
@format_options
def approvals(ledger: str, tenant: str, form: str) -> None:
    """Show what waits for approvals, the longest waiting first.

    POST …/approvals/OPERATION/approve or /refuse decides it, with a token of somebody else than who
    submitted it.
    """
    books = the_ledger(tenant, ledger)
    with patient_reading(books.tenant_id) as connection:
        found = [record(one) for one in waiting(connection, books, 0, LISTED_MAX)]
    if form == "table":
        _print_table(books.name, found)
    else:
        (print_csv if form == "csv" else print_json)(COLUMNS, found)


def record(one: Waiting) -> tuple[str | int, ...]:
    """One line for programs: several amounts or people are joined by spaces."""
    amounts = kind_of(one.kind).amounts(one.body).items()
    return (
        show_id(one.id),
        one.position,
        one.kind,
        " ".join(f"{currency}:{money.show(amount, currency)}" for currency, amount in amounts),
        one.body.get("description", ""),
        one.submitted_by,
        utc(one.accepted_at),
        "" if one.rule is None else one.rule.name,
        "" if one.rule is None else one.rule.by_role,
        " ".join(one.approved_by),
        one.remaining,
        "" if one.due_at is None else utc(one.due_at),
    )


def _print_table(name: str, found: list[tuple[str | int, ...]]) -> None:
    if not found:
        click.echo(f"Nothing waits for approvals in ledger {name}.")
        return
    made = table(f"Ledger {name}", SHOWN, numeric=("missing",))
    for line in found:
        cells = dict(zip(COLUMNS, line, strict=True))
        made.add_row(*(plain(cells[column]) for column in SHOWN))
    print_table(made)
