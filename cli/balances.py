"""`trident balances`: each account's balance, and whether all of them balance."""

import datetime as dt
from collections.abc import Iterable, Iterator

import click

from cli.asking import (
    DataCommand,
    format_options,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.moments import depth_option, moment_of, moment_options, print_incomplete, print_moment
from cli.printing import grouped, plain, print_csv, print_json, print_table, table
from models.ledger import LedgerRef
from pipeline import money
from pipeline.reports.balances import Held, held
from pipeline.reports.moment import Moment
from pipeline.reports.tree import Node, tree

COLUMNS = ("account", "currency", "balance", "available")
ROLLED_UP = ("account", "currency", "accounts", "balance", "credits_less_debits")
# A depth takes everything down to it.
LEAST = 1


@click.command(cls=DataCommand)
@ledger_option
@tenant_option
@click.option(
    "--prefix",
    default="",
    metavar="CODE",
    help="Only `customers` and all below it, or with `customers:` only those below.",
)
@depth_option
@moment_options
@format_options
def balances(
    ledger: str,
    tenant: str,
    prefix: str,
    depth: int | None,
    at: dt.datetime | None,
    effective: dt.date | None,
    form: str,
) -> None:
    """Show the balance of every account, now or at any date.

    Balances stand on the account's normal side: what an asset or expense was debited, and what
    other accounts were credited. `available` is what may still leave the account: its balance and
    overdraft; it is empty where the overdraft is unlimited, and at other dates than now.

    With --depth each level of the codes holds what is below it.
    """
    books = the_ledger(tenant, ledger)
    with patient_reading(books.tenant_id) as connection:
        moment = moment_of(connection, books, at, effective)
        found = held(connection, books, moment, prefix=prefix)
        if depth is not None:
            _print_tree(books, moment, tree(found, depth, LEAST), form)
        elif form == "table":
            _print_table(books, moment, found, whole=not prefix)
        else:
            now = moment.last is None
            records = (record(one, now=now) for one in found)
            (print_csv if form == "csv" else print_json)(COLUMNS, records)


def record(one: Held, *, now: bool) -> tuple[str | None, ...]:
    """One line: code, currency, balance and what is available, as decimals."""
    account = one.account
    available = account.available if now else None
    return (
        account.code,
        account.currency,
        money.show(one.balance, account.currency),
        None if available is None else money.show(available, account.currency),
    )


def _print_table(books: LedgerRef, moment: Moment, found: Iterator[Held], *, whole: bool) -> None:
    title = f"Ledger {books.name}"
    made = table(title, COLUMNS, numeric=("balance", "available"))
    totals: dict[str, list[int]] = {}
    for one in found:
        code, currency, balance, available = record(one, now=moment.last is None)
        cells = (code, currency, grouped(balance or ""), grouped(available) if available else "")
        made.add_row(*map(plain, cells))
        totals.setdefault(one.account.currency, [0, 0])[one.net > 0] += abs(one.net)
    if not made.row_count:
        click.echo(f"Ledger {books.name} has no such account.")
        return
    print_moment(moment)
    print_table(made)
    if whole:
        _print_totals(totals)
    print_incomplete(moment.complete)


def _print_totals(totals: dict[str, list[int]]) -> None:
    for currency, (debit, credit) in sorted(totals.items()):
        debits, credits = (grouped(money.show(n, currency)) for n in (debit, credit))
        verdict = "it balances" if debit == credit else "IT DOES NOT BALANCE: see `trident verify`"
        click.echo(f"{currency}: debit balances {debits}, credit balances {credits}: {verdict}.")


def _print_tree(books: LedgerRef, moment: Moment, nodes: Iterable[Node], form: str) -> None:
    if form != "table":
        (print_csv if form == "csv" else print_json)(ROLLED_UP, map(_rolled_up, nodes))
        return
    title = f"Ledger {books.name}"
    made = table(title, ROLLED_UP[:-1], numeric=("accounts", "balance"))
    for node in nodes:
        # Where debit and credit accounts stand together there is no normal side to show it on.
        shown = "mixed" if node.balance is None else money.grouped(node.balance, node.currency)
        indented = "  " * (node.depth - 1) + node.code
        cells = (indented, node.currency, f"{node.accounts:,}", shown)
        made.add_row(*map(plain, cells))
    if not made.row_count:
        click.echo(f"Ledger {books.name} has no such account.")
        return
    print_moment(moment)
    print_table(made)
    print_incomplete(moment.complete)


def _rolled_up(node: Node) -> tuple[str | int | None, ...]:
    balance = None if node.balance is None else money.show(node.balance, node.currency)
    net = money.show(node.net, node.currency)
    return (node.code, node.currency, node.accounts, balance, net)
