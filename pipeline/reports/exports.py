"""A statement as CSV and as JSON, piece by piece: memory stays the same however long it is."""

import csv
import datetime as dt
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from models.operation import show_id
from pipeline import money
from pipeline.reports.period import Statement
from pipeline.statement import Line

COLUMNS = (
    "entry",
    "position",
    "operation",
    "kind",
    "idempotency_key",
    "accepted_at",
    "effective_date",
    "description",
    "debit",
    "credit",
    "balance",
)
# The last row of CSV that could not be read to its end.
BROKEN_OFF = b"error,,,,,,,THIS STATEMENT WAS BROKEN OFF: ask for it again,,,\n"
# What a spreadsheet may take for a formula, also behind white space and in the wide letters of a
# Japanese keyboard. Such texts get an apostrophe.
FORMULA = re.compile(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\n]")
# Lines that are sent together: about 100 kB.
PIECE_LINES = 500

# How amounts are written: minor units as they are, or as decimals.
Write = Callable[[int], Any]


def file_name(statement: Statement, suffix: str) -> str:
    """A name for the statement's file, of letters that every system takes."""
    name = f"statement-{statement.ledger.name}-{statement.account.code}"
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name) + f".{suffix}"


def as_csv(statement: Statement) -> Iterator[bytes]:
    """A row for the opening balance, one for each line, one with the totals and the closing one.

    Amounts are decimals of the currency.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")

    def taken() -> bytes:
        piece = text.getvalue()
        text.seek(0)
        text.truncate()
        return piece.encode()

    currency = statement.account.currency
    blank = [""] * len(COLUMNS)
    writer.writerow(COLUMNS)
    writer.writerow(["opening", *blank[1:-1], money.show(statement.opening, currency)])
    for number, line in enumerate(statement.lines(), start=1):
        writer.writerow(_cells(line))
        if number % PIECE_LINES == 0:
            yield taken()
    sums = (statement.debits, statement.credits, statement.closing)
    writer.writerow(["closing", *blank[1:-3], *(money.show(n, currency) for n in sums)])
    yield taken()


def as_json(statement: Statement, write: Write = int) -> Iterator[bytes]:
    """One object; `lines` in the middle, one on each line, and `totals` behind them."""
    head = orjson.dumps(
        {
            "object": "statement",
            "ledger": statement.ledger.name,
            "account": statement.account.code,
            "name": statement.account.name,
            "type": statement.account.type,
            "currency": statement.account.currency,
            "basis": statement.basis,
            "since": statement.since,
            "until": statement.until,
            "complete": statement.complete,
            "opening_balance": write(statement.opening),
            "closing_balance": write(statement.closing),
        },
        option=orjson.OPT_UTC_Z,
    )
    yield head.removesuffix(b"}") + b',"lines":['
    piece: list[bytes] = []
    before = b"\n"
    for line in statement.lines():
        piece.append(before + orjson.dumps(_members(line, write), option=orjson.OPT_UTC_Z))
        before = b",\n"
        if len(piece) == PIECE_LINES:
            yield b"".join(piece)
            piece.clear()
    totals = {
        "lines": statement.count,
        "debits": write(statement.debits),
        "credits": write(statement.credits),
    }
    yield b"".join([*piece, b'\n],"totals":', orjson.dumps(totals), b"}\n"])


def utc(at: dt.datetime) -> str:
    """2026-11-22T12:34:56.789012Z"""
    return at.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def no_formula(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula."""
    return f"'{text}" if FORMULA.match(text) else text


def _cells(line: Line) -> tuple[str | int, ...]:
    amount = money.show(abs(line.amount), line.currency)
    return (
        "posting",
        line.position,
        show_id(line.operation),
        line.kind,
        no_formula(line.idempotency_key),
        utc(line.accepted_at),
        line.effective_date,
        no_formula(line.description),
        "" if line.credit else amount,
        amount if line.credit else "",
        money.show(line.balance, line.currency),
    )


def _members(line: Line, write: Write) -> dict[str, Any]:
    return {
        "position": line.position,
        "operation": show_id(line.operation),
        "kind": line.kind,
        "idempotency_key": line.idempotency_key,
        "accepted_at": line.accepted_at,
        "effective_date": line.effective_date,
        "description": line.description or None,
        "amount": write(abs(line.amount)),
        "direction": "credit" if line.credit else "debit",
        "balance": write(line.balance),
    }
