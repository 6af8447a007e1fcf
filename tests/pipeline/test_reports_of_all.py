"""Reports over operations of every kind that posts, dated anywhere: recounted from the tables."""

import random
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Connection

from models.db import tenant_reading
from models.operation import show_id
from pipeline.reports import books, income, moment, period
from pipeline.reports.balances import held
from pipeline.verify.reading import chunks
from pipeline.verify.shifts import ShiftsCheck
from tests.bank import Bank
from tests.pipeline.calendar import Calendar, Entry, date, utc

TYPES = {"world": "asset", "a": "liability", "b": "liability", "fees": "income", "rent": "expense"}
OTHERS = {"usd": "USD", "exchange:EUR": "EUR", "exchange:USD": "USD", "yen": "JPY", "yen:b": "JPY"}
DAYS = 8
OPERATIONS = 60
# Reversals twice, because some find nothing to reverse.
KINDS = (
    *("transfer", "fees", "journal", "exchange", "yen", "group"),
    *("hold", "capture", "release", "reversal", "reversal"),
)


class Author:
    """Writes operations at random, in the order of their days."""

    def __init__(self, bank: Bank, seed: int) -> None:
        self.calendar = Calendar(bank)
        self.draw = random.Random(seed)
        self.decided: dict[str, list[int]] = {"hold": [], "transfer": []}
        for code, type_ in TYPES.items():
            self.calendar.open(code, type=type_)
        for code, currency in OTHERS.items():
            self.calendar.open(code, currency=currency)

    def write(self) -> None:
        """The whole log, worked now and then."""
        for number in range(OPERATIONS):
            kind = self.draw.choice(KINDS)
            body = getattr(self, kind)()
            if self.draw.random() < 0.5:
                body["effective_date"] = date(self.draw.randrange(-3, DAYS + 3)).isoformat()
            name = {"fees": "transfer", "yen": "transfer"}.get(kind, kind)
            at = utc(number * DAYS // OPERATIONS)
            position = self.calendar.accept(at, name, body)
            if name in self.decided:
                self.decided[name].append(position)
            if self.draw.random() < 0.3:
                self.calendar.bank.work()
        self.calendar.bank.work()

    def transfer(self) -> dict[str, Any]:
        """Between two accounts in EUR."""
        source, destination = self.draw.sample(list(TYPES), 2)
        amount = self.draw.randint(1, 500)
        return {
            "source": source,
            "destination": destination,
            "amount": amount,
            "currency": "EUR",
        }

    hold = transfer

    def fees(self) -> dict[str, Any]:
        """With a fee, if the account of fees has no part in it."""
        return {
            **self.transfer(),
            "source": "a",
            "destination": "b",
            "fees": [{"account": "fees", "share": "12.5"}],
        }

    def yen(self) -> dict[str, Any]:
        """In a currency without minor units."""
        return {"source": "yen", "destination": "yen:b", "amount": 7, "currency": "JPY"}

    def journal(self) -> dict[str, Any]:
        """Several legs, two of them on one account, in two currencies."""
        amount = self.draw.randint(3, 90)
        legs = [("a", "debit", amount, "EUR"), ("b", "credit", amount - 2, "EUR")]
        legs += [("b", "credit", 1, "EUR"), ("rent", "credit", 1, "EUR")]
        legs += [("usd", "debit", 5, "USD"), ("exchange:USD", "credit", 5, "USD")]
        return {
            "legs": [
                {"account": code, "direction": side, "amount": amount, "currency": currency}
                for code, side, amount, currency in legs
            ]
        }

    def exchange(self) -> dict[str, Any]:
        """From EUR to USD."""
        return {
            "source": "a",
            "destination": "usd",
            "amount": self.draw.randint(10, 300),
            "currency": "EUR",
            "to_currency": "USD",
            "rate": "1.0842",
        }

    def capture(self) -> dict[str, Any]:
        """A part of a hold that may be there."""
        return {"target": self.target("hold"), "amount": self.draw.randint(1, 60)}

    def release(self) -> dict[str, Any]:
        """What is left of one."""
        return {"target": self.target("hold")}

    def reversal(self) -> dict[str, Any]:
        """Of a transfer, in part."""
        return {"target": self.target("transfer")}

    def group(self) -> dict[str, Any]:
        """A transfer, a capture and a journal."""
        inner = [
            {"kind": "transfer", **self.transfer()},
            {"kind": "exchange", **self.exchange()},
            {"kind": "journal", **self.journal()},
        ]
        return {"operations": self.draw.sample(inner, self.draw.randint(1, 3))}

    def target(self, kind: str) -> str:
        """The id of an operation of the kind, or of the first of all."""
        position = self.draw.choice([1, *self.decided[kind][-3:]])
        query = "SELECT id FROM operations WHERE ledger_id = :ledger AND position = :at"
        return show_id(self.calendar.bank.rows(query, at=position)[0][0])


POSTED = """
SELECT p.amount, o.accepted_at, o.body ->> 'effective_date', a.code, o.position, a.currency
  FROM postings p JOIN operations o USING (tenant_id, ledger_id, position)
  JOIN accounts a ON (a.tenant_id, a.ledger_id, a.number) = (p.tenant_id, p.ledger_id, p.account)
 WHERE p.ledger_id = :ledger AND NOT p.pending ORDER BY p.position, p.leg
"""


@pytest.mark.parametrize("seed", range(2))
def test_every_report_is_the_sum_of_what_counts(bank: Bank, seed: int) -> None:
    """Balances, statements and sheets of every day, by either basis; all kinds were posted."""
    author = Author(bank, seed)
    author.write()
    rows = bank.rows(POSTED)
    entries = [
        Entry(code, amount, at, moment.read_time(named or at.isoformat()).date(), position)
        for amount, at, named, code, position, _ in rows
    ]
    kinds = bank.rows(
        "SELECT DISTINCT kind FROM operations o JOIN postings p USING (tenant_id, ledger_id,"
        " position) WHERE ledger_id = :ledger AND NOT p.pending"
    )
    assert {kind for (kind,) in kinds} >= {"transfer", "journal", "exchange", "group", "reversal"}
    with tenant_reading(bank.ledger.tenant_id) as connection:
        for day in range(-4, DAYS + 4):
            by_date = moment.by_date(connection, bank.ledger, date(day))
            agrees(connection, bank, by_date, [e for e in entries if e.effective <= date(day)])
            by_time = moment.before_time(connection, bank.ledger, utc(day + 1, 0))
            agrees(
                connection, bank, by_time, [e for e in entries if e.accepted_at < utc(day + 1, 0)]
            )
        for _ in range(6):
            since, until = sorted(author.draw.sample(range(-4, DAYS + 4), 2))
            states(connection, bank, entries, since, until)
        driver: Any = connection.connection.driver_connection
        check = ShiftsCheck()
        with driver.cursor() as cursor:
            for chunk in chunks(cursor, bank.ledger):
                check.look(chunk)
            check.check(cursor, bank.ledger)
        assert check.count


def agrees(connection: Connection, bank: Bank, at: moment.Moment, counts: list[Entry]) -> None:
    """What accounts hold is what counts, and the sheet balances in each currency."""
    found = list(held(connection, bank.ledger, at))
    sums: Counter[str] = Counter()
    for entry in counts:
        sums[entry.code] += entry.amount
    assert {one.account.code: one.net for one in found} == {
        code: sums[code] for code in (*TYPES, *OTHERS)
    }
    for total in books.totals(books.rows(found)):
        assert total.balanced


def states(
    connection: Connection, bank: Bank, entries: list[Entry], since: int, until: int
) -> None:
    """The statements of all accounts, and the income statement, of a period of days."""
    low, high = date(since), date(until)
    now = moment.now(connection, bank.ledger)
    for account in [one.account for one in held(connection, bank.ledger, now)]:
        mine = [e for e in entries if e.code == account.code]
        dated = period.by_effective_date(connection, bank.ledger, account, low, high)
        expected = sorted(
            (e for e in mine if low <= e.effective < high),
            key=lambda e: (e.effective, e.position),
        )
        lines = list(dated.lines())  # asserts that they lead to the closing balance
        assert [line.position for line in lines] == [e.position for e in expected]
        assert dated.credits - dated.debits == sum(e.amount for e in expected)
        timed = period.by_acceptance(connection, bank.ledger, account, utc(since, 0), utc(until, 0))
        positions = [line.position for line in timed.lines()]
        assert positions == [
            e.position for e in mine if utc(since, 0) <= e.accepted_at < utc(until, 0)
        ]
    change = income.by_effective_date(connection, bank.ledger, low, high)
    for one in change.held:
        code = one.account.code
        assert one.net == sum(
            e.amount for e in entries if e.code == code and low <= e.effective < high
        )
