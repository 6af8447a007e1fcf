"""`trident operations`: list or search what is in the log."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import click
import orjson
from sqlalchemy import Connection

from cli.asking import (
    DataCommand,
    Function,
    Unfulfillable,
    format_options,
    ledger_option,
    patient_reading,
    tenant_option,
    the_ledger,
)
from cli.printing import grouped, plain, print_csv, print_json, print_table, table
from cli.statement import utc
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline import money
from pipeline.kinds import KINDS, OF_BOOKS
from pipeline.ledger import AMOUNT_MAX
from pipeline.reports.moment import read_time
from pipeline.search.found import STATUSES, Found, read_found
from pipeline.search.listing import Listing, UnknownAccountError
from pipeline.search.wanted import (
    SearchError,
    Wanted,
    read_amounts,
    read_members,
    read_prefix,
    read_words,
)

SHOWN_DEFAULT = 50
# Operations that are read at a time.
PAGE = 500
COLUMNS = (
    "position",
    "operation",
    "accepted_at",
    "kind",
    "status",
    "rejection",
    "accounts",
    "amount",
    "currency",
    "description",
    "idempotency_key",
    "submitted_by",
)
# What a person needs of an operation; programs get all of it.
SHOWN = ("position", "accepted_at", "kind", "status", "accounts", "amount", "description")
# Several accounts, amounts or currencies of one operation stand in one cell.
BETWEEN = ";"


class Moment(click.ParamType[dt.datetime]):
    """An ISO 8601 date or time; without an offset it is UTC."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dt.datetime:
        try:
            return read_time(value)
        except ValueError:
            self.fail(
                f"{value!r} is no time: write 2026-11-22 or 2026-11-22T09:30:00Z.", param, ctx
            )


def filter_options(function: Function) -> Function:
    """The filters, as the API has them."""
    amount = click.IntRange(1, AMOUNT_MAX)
    options = (
        click.option("--account", metavar="CODE", help="Posted to this account."),
        click.option("--prefix", metavar="CODE", help="Posted to accounts such as `customers:`."),
        click.option("--kind", type=click.Choice(OF_BOOKS), help="Of this kind."),
        click.option("--status", type=click.Choice(STATUSES), help="What became of it."),
        click.option("--amount", type=amount, help="Of this amount, in minor units."),
        click.option("--amount-min", type=amount, help="Of this amount or more."),
        click.option("--amount-max", type=amount, help="Of this amount or less."),
        click.option("--text", metavar="WORDS", help="With these words in its description."),
        click.option(
            "--metadata",
            metavar="NAME=VALUE",
            multiple=True,
            help="With this member of metadata. May be given several times.",
        ),
        click.option("--since", type=Moment(), help="Accepted at this time or later."),
        click.option("--until", type=Moment(), help="Accepted before this time."),
        click.option("--oldest", is_flag=True, help="The oldest first, not the newest."),
    )
    for option in reversed(options):
        function = option(function)
    return function


@click.command(cls=DataCommand)
@ledger_option
@tenant_option
@filter_options
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=SHOWN_DEFAULT,
    show_default=True,
    help="How many to show at most.",
)
@click.option("--all", "every", is_flag=True, help="All of them, however many.")
@format_options
def operations(
    ledger: str, tenant: str, limit: int, every: bool, form: str, **filters: Any
) -> None:
    """Show the operations of a ledger that fit all of the filters.

    \b
    trident operations --text 'refund ord*' --since 2026-11-01
    trident operations --metadata order=8123
    trident operations --prefix customers: --amount-min 1000000 --all --format csv

    `ord*` is any word that begins so. An amount is one that an operation names or posts, an integer
    in minor units: 1250 is 12.50 EUR.
    """
    books = the_ledger(tenant, ledger)
    wanted = _wanted(limit if not every and limit < PAGE else PAGE, filters)
    with patient_reading(books.tenant_id) as connection:
        found = _found(connection, books, wanted)
        shown = found if every else islice(found, limit)
        if form == "table":
            _print_table(books, shown, None if every else limit)
        else:
            (print_csv if form == "csv" else print_json)(COLUMNS, map(record, shown))


def _wanted(page: int, filters: dict[str, Any]) -> Wanted:
    if filters["account"] is not None and filters["prefix"] is not None:
        raise Unfulfillable("Give --account or --prefix, not both.")
    try:
        return Wanted(
            limit=page,
            newest=not filters["oldest"],
            since=filters["since"],
            until=filters["until"],
            status=filters["status"],
            kind=filters["kind"],
            account=filters["account"],
            prefix=read_prefix(filters["prefix"]),
            amounts=read_amounts(filters["amount"], filters["amount_min"], filters["amount_max"]),
            words=() if filters["text"] is None else read_words(filters["text"]),
            members=read_members(_pairs(filters["metadata"])),
        )
    except SearchError as error:
        raise Unfulfillable(str(error)) from None


def _pairs(members: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = [member.partition("=") for member in members]
    for name, sign, _ in pairs:
        if not name or not sign:
            raise Unfulfillable("Write --metadata NAME=VALUE, such as --metadata order=8123.")
    return [(name, value) for name, _, value in pairs]


def _found(connection: Connection, books: LedgerRef, wanted: Wanted) -> Iterator[Found]:
    """Page after page, from one snapshot."""
    while True:
        try:
            listed = Listing(connection, books, wanted).operations()
        except UnknownAccountError as error:
            raise Unfulfillable(
                f"Ledger {books.name} has no account {str(error)!r}. `trident balances` lists those"
                " it has."
            ) from None
        except SearchError as error:
            raise Unfulfillable(str(error)) from None
        yield from read_found(connection, books, listed.items)
        if listed.following is None:
            return
        wanted = replace(wanted, after=listed.following)


def record(found: Found) -> tuple[str | int | None, ...]:
    """One operation for programs: times in UTC, amounts as decimals."""
    body = orjson.loads(found.body)
    kind = KINDS[found.kind]
    amounts = kind.amounts(body)
    return (
        found.position,
        show_id(found.id),
        utc(found.accepted_at),
        found.kind,
        found.status,
        found.rejection,
        BETWEEN.join(dict.fromkeys(kind.accounts(body))),
        BETWEEN.join(money.show(amount, currency) for currency, amount in amounts.items()),
        BETWEEN.join(amounts),
        body.get("description"),
        found.idempotency_key,
        found.submitted_by,
    )


def _print_table(books: LedgerRef, shown: Iterator[Found], limit: int | None) -> None:
    made = table(f"Ledger {books.name}", SHOWN, numeric=("position", "amount"))
    for found in shown:
        cells = dict(zip(COLUMNS, record(found), strict=True))
        cells["accepted_at"] = found.accepted_at.strftime("%Y-%m-%d %H:%M:%S")
        cells["status"] = found.rejection or found.status
        cells["accounts"] = str(cells["accounts"]).replace(BETWEEN, " ")
        parts = zip(
            *(str(cells[name]).split(BETWEEN) for name in ("amount", "currency")), strict=True
        )
        cells["amount"] = ", ".join(f"{grouped(a)} {c}" for a, c in parts if a)
        made.add_row(*(plain(cells[name]) for name in SHOWN))
    if not made.row_count:
        click.echo(f"Ledger {books.name} has no such operation.")
        return
    print_table(made)
    if made.row_count == limit:
        click.echo(f"The first {limit:,}; --limit or --all shows more.")
