"""Rows on standard output: CSV and JSON for programs, streamed; tables for people."""

import csv
import re
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal

import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.reports.exports import no_formula

# A table that is piped or redirected is as wide as it needs to be, up to so many columns.
WIDE = 200

# What is a number, amounts above all, is no formula whatever its sign.
DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?", re.ASCII)

Record = Sequence[str | int | None]


def print_csv(columns: Sequence[str], records: Iterable[Record]) -> None:
    """A header and a line for each record; None is an empty cell, and no text is a formula."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(map(_harmless, records))


def _harmless(record: Record) -> Record:
    return [
        no_formula(cell) if isinstance(cell, str) and not DECIMAL.fullmatch(cell) else cell
        for cell in record
    ]


def print_json(columns: Sequence[str], records: Iterable[Record]) -> None:
    """An array with an object on each line, so that it can be read as a whole or line by line."""
    write = sys.stdout.write
    before = "[\n"
    for record in records:
        write(before + orjson.dumps(dict(zip(columns, record, strict=True))).decode())
        before = ",\n"
    write("[]\n" if before == "[\n" else "\n]\n")


def table(title: str, columns: Sequence[str], numeric: Iterable[str] = ()) -> Table:
    """An empty table; the numeric columns stand to the right and are never cut."""
    made = Table(
        title=title or None,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )
    for name in columns:
        right = name in numeric
        made.add_column(name, justify="right" if right else "left", no_wrap=right)
    return made


def print_listing(
    columns: Sequence[str],
    records: Iterable[Record],
    form: str,
    *,
    title: str = "",
    numeric: Iterable[str] = (),
) -> None:
    """Every column of every record, in the form that `format_options` was given."""
    if form != "table":
        (print_csv if form == "csv" else print_json)(columns, records)
        return
    made = table(title, columns, numeric)
    for record in records:
        made.add_row(*map(plain, record))
    print_table(made)


def plain(value: str | int | None) -> Text:
    """A cell as it is: no markup, and nothing that would steer a terminal."""
    text = "" if value is None else str(value)
    return Text("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))


def print_table(made: Table) -> None:
    """In the terminal's width; without a terminal as wide as it needs to be."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    console.print(made)


def grouped(decimal: str) -> str:
    """Thousands apart, as people read amounts: 1,250.34."""
    return f"{Decimal(decimal):,}"
