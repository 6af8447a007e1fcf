"""`trident report`: trial balance, balance sheet and income statement."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
import orjson

from cli.asking import (
    DataCommand,
    format_options,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.moments import (
    depth_option,
    moment_of,
    moment_options,
    period_of,
    period_options,
    print_incomplete,
    print_moment,
)
from cli.printing import Record, grouped, plain, print_csv, print_table, table
from pipeline import money
from pipeline.reports import books, documents, income
from pipeline.reports.balances import held
from pipeline.reports.books import Row, Totals

Function = TypeVar("Function", bound=Callable[..., Any])

TRIAL = ("account", "type", "currency", "debit", "credit")
SHEET = ("section", "account", "currency", "balance")
SECTIONS = {"asset": "assets", "liability": "liabilities", "equity": "equity"}
RESULTS = {"income": "income", "expense": "expenses"}


@click.group()
def report() -> None:
    """Trial balance, balance sheet and income statement, at any date."""


def _options(function: Function) -> Function:
    for decorate in (format_options, depth_option, tenant_option, ledger_option):
        function = decorate(function)
    return function


@report.command("trial-balance", cls=DataCommand)
@moment_options
@_options
def trial_balance(
    ledger: str,
    tenant: str,
    depth: int | None,
    form: str,
    at: dt.datetime | None,
    effective: dt.date | None,
) -> None:
    """Every account's balance on the debit or the credit side, and whether they are equal."""
    the_books = the_ledger(tenant, ledger)
    with patient_reading(the_books.tenant_id) as connection:
        moment = moment_of(connection, the_books, at, effective)
        rows = books.rows(held(connection, the_books, moment), depth)
    totals = books.totals(rows)
    if form == "json":
        _print(documents.trial_balance(the_books, moment, rows, totals, money.show))
        return
    lines: list[Record] = [_trial_line(row) for row in rows]
    if form == "csv":
        print_csv(TRIAL, lines)
        return
    sums: list[Record] = [
        ("total", "", one.currency, *_shown(one.currency, one.debit, one.credit)) for one in totals
    ]
    print_moment(moment)
    title = f"Trial balance of ledger {the_books.name}"
    _print_table(title, TRIAL, lines, sums, numeric=("debit", "credit"))
    for one in totals:
        click.echo(_verdict(one))
    print_incomplete(moment.complete)


@report.command("balance-sheet", cls=DataCommand)
@moment_options
@_options
def balance_sheet(
    ledger: str,
    tenant: str,
    depth: int | None,
    form: str,
    at: dt.datetime | None,
    effective: dt.date | None,
) -> None:
    """Assets against liabilities, equity and the current result.

    The current result is income less expense that is not closed into equity yet.
    """
    the_books = the_ledger(tenant, ledger)
    with patient_reading(the_books.tenant_id) as connection:
        moment = moment_of(connection, the_books, at, effective)
        rows = books.rows(held(connection, the_books, moment), depth)
    totals = books.totals(rows)
    if form == "json":
        _print(documents.balance_sheet(the_books, moment, rows, totals, money.show))
        return
    lines = _sections(rows, SECTIONS)
    results: list[Record] = [
        ("current result", "", one.currency, *_shown(one.currency, one.result)) for one in totals
    ]
    if form == "csv":
        print_csv(SHEET, [*lines, *results])
        return
    sums: list[Record] = [
        (f"total {name}", "", one.currency, *_shown(one.currency, getattr(one, of_type)))
        for one in totals
        for of_type, name in SECTIONS.items()
    ]
    print_moment(moment)
    title = f"Balance sheet of ledger {the_books.name}"
    _print_table(title, SHEET, lines, [*sums, *results], numeric=("balance",))
    for one in totals:
        click.echo(_verdict(one))
    print_incomplete(moment.complete)


@report.command("income-statement", cls=DataCommand)
@period_options
@_options
def income_statement(
    ledger: str,
    tenant: str,
    depth: int | None,
    form: str,
    since: str | None,
    until: str | None,
    basis: str,
) -> None:
    """What income and expense accounts gained in a period, and the result."""
    first, last = period_of(since, until, basis)
    the_books = the_ledger(tenant, ledger)
    by = income.by_effective_date if basis == "effective" else income.by_acceptance
    with patient_reading(the_books.tenant_id) as connection:
        change = by(connection, the_books, first, last)
    rows = books.rows(change.held, depth)
    totals = books.totals(rows)
    if form == "json":
        of_period = (the_books, basis, first, last, change.complete, rows, totals)
        _print(documents.income_statement(*of_period, money.show))
        return
    lines = _sections(rows, RESULTS)
    results: list[Record] = [
        ("result", "", one.currency, *_shown(one.currency, one.result)) for one in totals
    ]
    if form == "csv":
        print_csv(SHEET, [*lines, *results])
        return
    bounds = f"from {since or 'the beginning'} to {f'before {until}' if until else 'now'}"
    click.echo(f"By {'effective date' if basis == 'effective' else 'acceptance'}, {bounds}:\n")
    title = f"Income statement of ledger {the_books.name}"
    _print_table(title, SHEET, lines, results, numeric=("balance",))
    print_incomplete(change.complete)


def _trial_line(row: Row) -> Record:
    return (row.code, row.type, row.currency, *_shown(row.currency, row.debit, row.credit))


def _sections(rows: Iterable[Row], names: dict[str, str]) -> list[Record]:
    rows = list(rows)
    return [
        (name, row.code, row.currency, *_shown(row.currency, row.balance))
        for of_type, name in names.items()
        for row in rows
        if row.type == of_type
    ]


def _shown(currency: str, *amounts: int) -> list[str]:
    return [money.show(amount, currency) for amount in amounts]


def _verdict(total: Totals) -> str:
    if total.balanced:
        return f"{total.currency}: it balances."
    return f"{total.currency}: IT DOES NOT BALANCE: see `trident verify`."


def _print(document: dict[str, Any]) -> None:
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z))


def _print_table(
    title: str,
    columns: Sequence[str],
    lines: Iterable[Record],
    sums: Iterable[Record],
    numeric: Sequence[str],
) -> None:
    made = table(title, columns, numeric=numeric)
    plain_columns = len(columns) - len(numeric)
    for section in (lines, sums):
        for line in section:
            amounts = (grouped(str(cell)) for cell in line[plain_columns:])
            made.add_row(*map(plain, (*line[:plain_columns], *amounts)))
        made.add_section()
    print_table(made)
