"""The statement of an account for a period, as `trident statement` prints it."""

import datetime as dt
import sys
from typing import Any

from sqlalchemy import Connection

from cli.asking import Unfulfillable
from cli.moments import print_incomplete
from cli.printing import plain, print_table, table
from models.ledger import LedgerRef
from pipeline import money
from pipeline.ledger import Account
from pipeline.reports.exports import as_csv, as_json
from pipeline.reports.pdf import as_pdf
from pipeline.reports.period import Statement, by_acceptance, by_effective_date
from pipeline.reports.too_large import TooLargeError

COLUMNS = ("date", "position", "description", "debit", "credit", "balance")
DAY_LENGTH = len("2026-11-22")


def print_period(
    connection: Connection,
    books: LedgerRef,
    account: Account,
    basis: str,
    bounds: tuple[Any, Any],
    form: str,
) -> None:
    """Print it in the form that was asked for; raises Unfulfillable."""
    if form == "pdf" and sys.stdout.isatty():
        raise Unfulfillable("A terminal cannot show a PDF: add `> statement.pdf`.")
    try:
        if basis == "effective":
            statement = by_effective_date(connection, books, account, *bounds)
        else:
            statement = by_acceptance(connection, books, account, *bounds)
        if form == "table":
            _print_table(statement)
        else:
            _write(statement, form)
    except TooLargeError as error:
        raise Unfulfillable(str(error)) from None


def _write(statement: Statement, form: str) -> None:
    output = sys.stdout.buffer
    currency = statement.account.currency
    if form == "pdf":
        output.write(as_pdf(statement, dt.datetime.now(dt.UTC)))
        return
    decimals = as_json(statement, lambda minor: money.show(minor, currency))
    for piece in as_csv(statement) if form == "csv" else decimals:
        output.write(piece)


def _print_table(statement: Statement) -> None:
    currency = statement.account.currency

    def shown(minor: int) -> str:
        return money.grouped(minor, currency)

    numeric = ("position", "debit", "credit", "balance")
    made = table(f"{statement.account.code}, {currency}", COLUMNS, numeric=numeric)
    made.add_row("", "", "Opening balance", "", "", shown(statement.opening))
    for line in statement.lines():
        amount = shown(abs(line.amount))
        by_date = statement.basis == "effective"
        date = line.effective_date if by_date else line.accepted_at.isoformat()[:DAY_LENGTH]
        sides = ("", amount) if line.credit else (amount, "")
        cells = (date, f"{line.position:,}", line.description, *sides, shown(line.balance))
        made.add_row(*map(plain, cells))
    sums = (shown(statement.debits), shown(statement.credits), shown(statement.closing))
    made.add_row("", "", "Totals and closing balance", *sums)
    print_table(made)
    print_incomplete(statement.complete)
