"""What a statement from outside says, and how its single values are read and bounded."""

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline import money
from pipeline.ledger import AMOUNT_MAX
from pipeline.reconcile.errors import unreadable

# A month of a large company; more lines than that come in several files.
LINES_MAX = 200_000
# The longest texts of ISO 20022 are of 500 characters; references of 35, ids of banks of 255.
TEXT_MAX_LENGTH = 500
ID_MAX_LENGTH = 255
# Payments bear about five references; batches more.
REFERENCES_MAX = 20

EARLIEST = dt.date(1900, 1, 1)
# Statements tell of the past; a standing order may be shown ahead.
AHEAD_MAX = dt.timedelta(days=366)

DECIMAL = re.compile(r"([+-]?)([0-9]{1,19})(?:\.([0-9]*))?", re.ASCII)


class ExternalLine(NamedTuple):
    """One line. `amount`: minor units, credit +, debit -. `place`: where it stood in the file."""

    booking_date: dt.date
    amount: int
    place: str
    value_date: dt.date | None = None
    bank_id: str | None = None
    references: tuple[str, ...] = ()
    counterparty: str | None = None
    counterparty_account: str | None = None
    description: str | None = None


@dataclass
class ExternalStatement:
    """One statement of one account, its lines in the order of the file."""

    currency: str
    external_account: str | None = None
    reference: str | None = None
    from_date: dt.date | None = None
    to_date: dt.date | None = None
    opening_balance: int | None = None
    closing_balance: int | None = None
    lines: list[ExternalLine] = field(default_factory=list)
    empty_lines: int = 0  # lines over nothing (0.00), which are left out

    def add(self, line: ExternalLine) -> None:
        """One more line; raises Unreadable when there are too many."""
        if line.amount == 0:
            self.empty_lines += 1
            return
        if len(self.lines) == LINES_MAX:
            raise unreadable(line.place, f"A file has up to {LINES_MAX} lines: split it.")
        self.lines.append(line)


def read_amount(text: str, currency: str, place: str) -> int:
    """A decimal such as `-1250.34` or `1250.3` in minor units; raises Unreadable.

    More decimals than the currency has are fine as long as they are zeros: nothing is rounded.
    """
    exponent = money.currency_exponent(currency)
    if exponent is None:
        raise unreadable(place, f"ISO 4217 does not list the currency {currency[:10]!r}.")
    match = DECIMAL.fullmatch(text.strip())
    if match is None:
        raise unreadable(place, f"{text[:40]!r} is no amount such as 1250.34.")
    decimals = (match[3] or "").rstrip("0")
    if len(decimals) > exponent:
        raise unreadable(place, f"{text[:40]} has more decimals than {currency} has ({exponent}).")
    amount = int(match[2] + decimals.ljust(exponent, "0"))
    if amount > AMOUNT_MAX:
        raise unreadable(place, f"{text[:40]} {currency} is more than any ledger takes.")
    return -amount if match[1] == "-" else amount


def check_date(date: dt.date, today: dt.date, place: str) -> dt.date:
    """The date itself; raises Unreadable where no statement could have it."""
    if not EARLIEST <= date <= today + AHEAD_MAX:
        raise unreadable(place, f"{date} is before 1900 or more than a year ahead.")
    return date


def read_iso_date(text: str, today: dt.date, place: str) -> dt.date:
    """The date of `2026-10-31` or `2026-10-31T23:59:59+01:00`, as the bank wrote it."""
    try:
        date = dt.date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise unreadable(place, f"{text[:40]!r} is no date such as 2026-10-31.") from None
    return check_date(date, today, place)


def clean(text: str | None, most: int = TEXT_MAX_LENGTH) -> str | None:
    """Text on one line without control characters, cut to its length; None if nothing is left."""
    if text is None:
        return None
    one_line = " ".join(text[: 4 * most].split())
    printable = "".join(filter(str.isprintable, one_line))
    return printable[:most].rstrip() or None


def clean_id(text: str | None, place: str) -> str | None:
    """The bank's own id of a line, which is never cut."""
    if text is not None and len(text) > ID_MAX_LENGTH:
        raise unreadable(place, f"The bank's id of a line has up to {ID_MAX_LENGTH} characters.")
    return clean(text, ID_MAX_LENGTH)


def clean_references(texts: list[str | None]) -> tuple[str, ...]:
    """Each reference once, in their order."""
    found = dict.fromkeys(clean(text, ID_MAX_LENGTH) for text in texts)
    return tuple(text for text in found if text is not None)[:REFERENCES_MAX]


def finished(statement: ExternalStatement, place: str) -> ExternalStatement:
    """The statement with its period, if its balances and lines agree; raises Unreadable."""
    dates = [line.booking_date for line in statement.lines]
    known = [d for d in (statement.from_date, statement.to_date) if d is not None]
    if not dates and not known:
        raise unreadable(place, "The statement has neither lines nor a date.")
    statement.from_date = min([*dates, *known])
    # A closing balance is the one of its own date; lines behind it would not be in it.
    statement.to_date = max([*dates, *known])
    opening, closing = statement.opening_balance, statement.closing_balance
    if opening is not None and closing is not None:
        total = sum(line.amount for line in unique(statement.lines))
        if opening + total != closing:
            show = lambda minor: money.show(minor, statement.currency)  # noqa: E731
            raise unreadable(
                place,
                f"The opening balance {show(opening)} and the lines' {show(total)} make"
                f" {show(opening + total)}, but the closing balance is {show(closing)}.",
            )
    return statement


def unique(lines: list[ExternalLine]) -> list[ExternalLine]:
    """The lines, less those that repeat the id, the date and the amount of one before."""
    seen: set[tuple[str, dt.date, int]] = set()
    kept = []
    for line in lines:
        if line.bank_id is not None:
            key = (line.bank_id, line.booking_date, line.amount)
            if key in seen:
                continue
            seen.add(key)
        kept.append(line)
    return kept
