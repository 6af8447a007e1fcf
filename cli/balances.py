"""`trident balances`: each account's balance, and whether all of them balance."""

from collections.abc import Iterator

import click

from cli.asking import (
    DataCommand,
    format_options,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.printing import grouped, plain, print_csv, print_json, print_table, table
from models.ledger import LedgerRef
from pipeline import accounts, money
from pipeline.ledger import Account

COLUMNS = ("account", "currency", "balance", "available")


@click.command(cls=DataCommand)
@ledger_option
@tenant_option
@click.option("--prefix", default="", metavar="CODE", help="Only accounts such as `customers:`.")
@format_options
def balances(ledger: str, tenant: str, prefix: str, form: str) -> None:
    """Show the balance of every account.

    Balances stand on the account's normal side: what an asset or expense was debited, and what
    other accounts were credited. `available` is what may still leave the account: its balance and
    overdraft; it is empty where the overdraft is unlimited.
    """
    books = the_ledger(tenant, ledger)
    with patient_reading(books.tenant_id) as connection:
        found = accounts.accounts(connection, books, prefix=prefix)
        if form == "table":
            _print_table(books, found, whole=not prefix)
        else:
            (print_csv if form == "csv" else print_json)(COLUMNS, map(record, found))


def record(account: Account) -> tuple[str | None, ...]:
    """One line: code, currency, balance and what is available, as decimals."""
    available = account.available
    return (
        account.code,
        account.currency,
        money.show(account.balance, account.currency),
        None if available is None else money.show(available, account.currency),
    )


def _print_table(books: LedgerRef, found: Iterator[Account], *, whole: bool) -> None:
    made = table(f"Ledger {books.name}", COLUMNS, numeric=("balance", "available"))
    totals: dict[str, list[int]] = {}
    for account in found:
        code, currency, balance, available = record(account)
        cells = (code, currency, grouped(balance or ""), grouped(available) if available else "")
        made.add_row(*map(plain, cells))
        net = account.credits_posted - account.debits_posted
        totals.setdefault(account.currency, [0, 0])[net > 0] += abs(net)
    if not made.row_count:
        click.echo(f"Ledger {books.name} has no such account.")
        return
    print_table(made)
    if whole:
        _print_totals(totals)


def _print_totals(totals: dict[str, list[int]]) -> None:
    for currency, (debit, credit) in sorted(totals.items()):
        debits, credits = (grouped(money.show(n, currency)) for n in (debit, credit))
        verdict = "it balances" if debit == credit else "IT DOES NOT BALANCE: see `trident verify`"
        click.echo(f"{currency}: debit balances {debits}, credit balances {credits}: {verdict}.")
