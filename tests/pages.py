"""The books that pages of the documentation tell of, for the tests that make what stands there."""

import datetime as dt
import re
from typing import Any

from tests.api.written import ROOT
from tests.bank import Bank
from tests.pipeline.calendar import Calendar

# When, under which key, from where, to where, US cents, and what else the transfer says.
MOVES: tuple[tuple[str, str, str, str, int, dict[str, Any]], ...] = (
    ("09-02 10:00", "deposit-1", "world", "customers:42", 100_000, {}),
    ("09-15 09:30", "deposit-2", "world", "customers:eu:1", 300_000, {}),
    (
        "10-01 07:00",
        "fees-09",
        "customers:42",
        "income:fees",
        500,
        {"effective_date": "2026-09-30", "description": "Fees of September"},
    ),
    (
        "10-04 08:00",
        "order-8123",
        "world",
        "customers:42",
        125_034,
        {"description": "Order 8123", "metadata": {"shop": "7"}},
    ),
)
COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def commands(page: str) -> list[str]:
    """The `trident` commands of a page, without what is said beside them."""
    text = (ROOT / "docs" / page).read_text()
    lines = [line for block in COMMANDS.findall(text) for line in block.splitlines()]
    return [line.partition(" #")[0].strip() for line in lines if line.startswith("trident ")]


def at(text: str) -> dt.datetime:
    """A time of 2026, in UTC: `10-04 08:00`."""
    return dt.datetime.fromisoformat(f"2026-{text}+00:00")


def lay_books(bank: Bank) -> None:
    """The autumn of docs/reports.md and docs/search.md."""
    calendar = Calendar(bank)
    for code, type_ in (
        ("world", "asset"),
        ("customers:42", "liability"),
        ("customers:eu:1", "liability"),
        ("customers:eu:2", "liability"),
        ("income:fees", "income"),
    ):
        body = {"code": code, "type": type_, "currency": "USD", "overdraft": "unlimited"}
        calendar.accept(at("09-01 06:00"), "open_account", body)
    for time, key, source, destination, amount, more in MOVES:
        moved = {"source": source, "destination": destination, "amount": amount}
        calendar.accept(at(time), "transfer", {**moved, "currency": "USD", **more}, key)
    bank.work()
