"""`trident statement`: what was posted to an account, or to all, with the balance after it."""

from collections.abc import Iterator
from itertools import groupby

import click
from sqlalchemy import Connection

from cli.asking import (
    DataCommand,
    Unfulfillable,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.moments import period_of, period_options
from cli.period import print_period
from cli.printing import grouped, plain, print_csv, print_json, print_table, table
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline import accounts, money
from pipeline.ledger import Account
from pipeline.reports.exports import utc
from pipeline.statement import Line, lines, whole

COLUMNS = (
    "account",
    "position",
    "operation",
    "idempotency_key",
    "posted_at",
    "effective_date",
    "description",
    "amount",
    "balance",
)
# What a person needs of a line; programs get all of it.
SHOWN = ("effective_date", "position", "description", "amount", "balance")


@click.command(cls=DataCommand)
@click.argument("account", required=False)
@click.option("--all", "every", is_flag=True, help="All accounts, by code.")
@ledger_option
@tenant_option
@period_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "pdf"]),
    default="table",
    show_default=True,
    help="table and pdf for people; csv and json for programs.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def statement(
    account: str | None,
    every: bool,
    ledger: str,
    tenant: str,
    since: str | None,
    until: str | None,
    basis: str,
    form: str,
) -> None:
    """Show what was posted to ACCOUNT, or to all accounts with --all.

    Each line has the balance after it. Amounts stand on the account's normal side: + raises the
    balance. Where an operation names no effective date, it is the day on which it was accepted.

    With --since, --until or --basis effective, and as a PDF, it is the statement of a period: its
    opening balance, its lines with debits and credits, their totals and the closing balance.
    """
    if (account is None) is not every:
        raise Unfulfillable("Name one account, or give --all.")
    of_period = form == "pdf" or basis == "effective" or bool(since or until)
    if of_period and every:
        raise Unfulfillable("The statement of a period is of one account: leave --all out.")
    bounds = period_of(since, until, basis)
    books = the_ledger(tenant, ledger)
    with patient_reading(books.tenant_id) as connection:
        found = _accounts(connection, books, account)
        if of_period:
            print_period(connection, books, next(found), basis, bounds, form)
        elif form == "table":
            _print_tables(books, lines(connection, books, map(whole, found)), account)
        else:
            records = map(record, lines(connection, books, map(whole, found)))
            (print_csv if form == "csv" else print_json)(COLUMNS, records)


def _accounts(connection: Connection, books: LedgerRef, code: str | None) -> Iterator[Account]:
    """All accounts, or the one of that code; raises Unfulfillable if there is none."""
    found = accounts.accounts(connection, books, code=code)
    if code is None:
        return found
    named = list(found)
    if not named:
        raise Unfulfillable(
            f"Ledger {books.name} has no account {code!r}. `trident balances` lists those it has."
        )
    return iter(named)


def record(line: Line) -> tuple[str | int, ...]:
    """One line for programs: times in UTC, amounts as decimals."""
    return (
        line.account,
        line.position,
        show_id(line.operation),
        line.idempotency_key,
        utc(line.posted_at),
        line.effective_date,
        line.description,
        money.show(line.amount, line.currency),
        money.show(line.balance, line.currency),
    )


def _print_tables(books: LedgerRef, found: Iterator[Line], account: str | None) -> None:
    shown = 0
    for code, of_account in groupby(found, key=lambda line: line.account):
        _print_table(code, list(of_account))
        shown += 1
    if not shown:
        click.echo(f"Nothing was posted to {account or f'ledger {books.name}'} yet.")


def _print_table(code: str, of_account: list[Line]) -> None:
    title = f"{code}, {of_account[0].currency}"
    made = table(title, SHOWN, numeric=("position", "amount", "balance"))
    for line in of_account:
        amount, balance = (
            grouped(money.show(minor, line.currency)) for minor in (line.amount, line.balance)
        )
        first = (line.effective_date, line.position, line.description)
        made.add_row(*(plain(cell) for cell in (*first, amount, balance)))
    print_table(made)
