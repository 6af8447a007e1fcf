"""CSV exports of banks, read by a mapping. All faults of a file are found, not the first alone."""

import csv
import datetime as dt
import io
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from pipeline.reconcile.errors import FAULTS_MAX, Fault, Unreadable, unreadable
from pipeline.reconcile.readers.content import (
    ExternalLine,
    ExternalStatement,
    check_date,
    clean,
    clean_id,
    clean_references,
    finished,
    read_amount,
)
from pipeline.reconcile.readers.mapping import date_pattern, named_columns

# What is longer is a quote that nobody closed.
CELL_MAX_CHARACTERS = 64 * 1024
CENTURY = 2000
BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


class _Row:
    """One record: its cells by column, and where they stand."""

    def __init__(self, line: int, cells: list[str], places: Mapping[str, int]) -> None:
        self.line, self._cells, self._places = line, cells, places

    def cell(self, column: str) -> str:
        """The cell's text; "" where the record is too short."""
        at = self._places[column]
        return self._cells[at].strip() if at < len(self._cells) else ""

    def place(self, column: str) -> str:
        """Where the cell stands, for a person."""
        return f"line {self.line}, column {self._places[column] + 1} ({column})"


class _Reader:
    def __init__(self, mapping: Mapping[str, Any], currency: str, today: dt.date) -> None:
        self._mapping, self._today = mapping, today
        self._columns = mapping["columns"]
        self._currency = currency
        self._date = date_pattern(mapping["date_format"])
        # A thousands separator has three digits behind it; `1.5` with it being "." is no amount.
        separator = re.escape(mapping["thousands"])
        self._thousands = re.compile(rf"(?<=[0-9]){separator}(?=[0-9]{{3}}(?![0-9]))")

    def line(self, row: _Row) -> ExternalLine:
        """The record as a line; raises Unreadable."""
        columns = self._columns
        if "currency" in columns and row.cell(columns["currency"]) != self._currency:
            raise unreadable(
                row.place(columns["currency"]),
                f"{row.cell(columns['currency'])[:10]!r}, but the account is in {self._currency}.",
            )
        date = columns["booking_date"]
        identity = clean_id(self._text(row, "id"), f"line {row.line}")
        value = columns.get("value_date")
        return ExternalLine(
            booking_date=self._day(row, date),
            value_date=self._day(row, value) if value and row.cell(value) else None,
            amount=self._signed(row),
            place=f"line {row.line}",
            bank_id=identity,
            references=clean_references([row.cell(one) for one in columns.get("reference", ())]),
            counterparty=clean(self._text(row, "counterparty"), 140),
            counterparty_account=clean(self._text(row, "counterparty_account"), 64),
            description=clean(" ".join(row.cell(one) for one in columns.get("description", ()))),
        )

    def balance(self, row: _Row) -> int | None:
        """The balance behind the line, if there is one."""
        column = self._columns.get("balance")
        if not column or not row.cell(column):
            return None
        return self._amount(row, column) * self._sign

    @property
    def _sign(self) -> int:
        return -1 if self._mapping["sign"] == "debit_positive" else 1

    def _signed(self, row: _Row) -> int:
        if "amount" in self._columns:
            return self._amount(row, self._columns["amount"]) * self._sign
        debit, credit = self._columns["debit"], self._columns["credit"]
        sizes = [self._amount(row, one) if row.cell(one) else 0 for one in (debit, credit)]
        if all(sizes) or not (row.cell(debit) or row.cell(credit)):
            raise unreadable(row.place(debit), f"Either {debit} or {credit} has an amount.")
        # Some banks write a debit in its own column with a minus, others without.
        return sizes[1] - abs(sizes[0])

    def _amount(self, row: _Row, column: str) -> int:
        text = row.cell(column).replace("\u2212", "-").replace("\xa0", " ").replace("\u202f", " ")
        if self._mapping["thousands"]:
            text = self._thousands.sub("", text)
        if self._mapping["decimal"] == ",":
            # A point that is left is none of the mapping's: it must not become a decimal point.
            text = text.replace(".", "?").replace(",", ".")
        return read_amount(text, self._currency, row.place(column))

    def _day(self, row: _Row, column: str) -> dt.date:
        text = row.cell(column)
        match = self._date.fullmatch(text)
        try:
            if match is None:
                raise ValueError
            year = int(match["year"])
            year += CENTURY if len(match["year"]) == len("YY") else 0
            date = dt.date(year, int(match["month"]), int(match["day"]))
        except ValueError:
            wanted = self._mapping["date_format"]
            raise unreadable(row.place(column), f"{text[:40]!r} is no date {wanted}.") from None
        return check_date(date, self._today, row.place(column))

    def _text(self, row: _Row, name: str) -> str | None:
        return row.cell(self._columns[name]) if name in self._columns else None


def read(
    data: bytes, mapping: Mapping[str, Any], currency: str, today: dt.date
) -> list[ExternalStatement]:
    """The one statement of the file; raises Unreadable, which lists all faults."""
    reader = _Reader(mapping, currency, today)
    statement = ExternalStatement(currency)
    balances: list[tuple[ExternalLine, int | None]] = []
    faults: list[Fault] = []
    count = 0
    for row in _rows(_decoded(data, mapping["encoding"]), mapping):
        try:
            line = reader.line(row)
            statement.add(line)
            balances.append((line, reader.balance(row)))
        except Unreadable as error:
            count += error.count
            faults += error.faults[: FAULTS_MAX - len(faults)]
    if count:
        raise Unreadable(faults, count)
    _set_balances(statement, balances)
    return [finished(statement, "line 1")]


def _decoded(data: bytes, encoding: str) -> str:
    for bom, marked in BOMS:
        if data.startswith(bom):
            encoding = marked
            break
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise unreadable(
            f"line {line}", f"The text is not {encoding}: let the mapping name the encoding."
        ) from None


def _rows(text: str, mapping: Mapping[str, Any]) -> Iterator[_Row]:
    """The records behind the header; raises Unreadable for what is no CSV."""
    csv.field_size_limit(CELL_MAX_CHARACTERS)
    stream = io.StringIO(text, newline="")
    for _ in range(mapping["skip_lines"]):
        stream.readline()
    reader = csv.reader(stream, delimiter=mapping["delimiter"], strict=True)
    places: dict[str, int] | None = None
    while True:
        line = reader.line_num + mapping["skip_lines"] + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise unreadable(f"line {line}", f"The record is no CSV: {error}.") from None
        if not any(cell.strip() for cell in cells):
            continue
        if any("\0" in cell for cell in cells):
            raise unreadable(f"line {line}", "The record holds a NUL character.")
        if places is None:
            places = _header(line, cells, mapping["columns"])
        else:
            yield _Row(line, cells, places)
    if places is None:
        raise unreadable("line 1", "The file is empty.")


def _header(line: int, cells: list[str], columns: Mapping[str, Any]) -> dict[str, int]:
    names = [cell.strip() for cell in cells]
    twice = next((name for name in names if name and names.count(name) > 1), None)
    wanted = named_columns(columns)
    if twice in wanted:
        raise unreadable(f"line {line}", f"There are two columns {twice!r}.")
    missing = [name for name in wanted if name not in names]
    if missing:
        there = ", ".join(name[:40] for name in names[:30])
        raise unreadable(f"line {line}", f"There is no column {missing[0]!r}. There are: {there}.")
    return {name: names.index(name) for name in wanted}


def _set_balances(
    statement: ExternalStatement, balances: list[tuple[ExternalLine, int | None]]
) -> None:
    """Opening and closing balance from a column that has one behind each line.

    The file may begin with the newest line: the way in which the balances add up shows it.
    """
    known = [(line, balance) for line, balance in balances if balance is not None]
    if not known or len(known) < len(balances):
        return
    fault: str | None = None
    for lines in (known, known[::-1]):
        broken = next(
            (
                line.place
                for (_, before), (line, balance) in pairwise(lines)
                if before + line.amount != balance
            ),
            None,
        )
        if broken is None:
            statement.opening_balance = lines[0][1] - lines[0][0].amount
            statement.closing_balance = lines[-1][1]
            return
        fault = fault or broken
    raise unreadable(fault or "line 1", "The balance is not the one before it and the amount.")
