"""What tests do with a reconciliation: a bank account in the books, statements, matches."""

import datetime as dt
from typing import Any

from models.db import app_engine, tenant_reading, tenant_writing
from pipeline.ledger import Account
from pipeline.reconcile import matches, statements, unmatched
from pipeline.reconcile.items import Match, Place
from pipeline.reconcile.readers.content import ExternalLine, ExternalStatement, finished
from pipeline.reconcile.subject import Subject
from pipeline.reconcile.summary import Summary, summary
from tests.bank import Bank

DAY = dt.date(2026, 10, 5)
ME = "tests"


def line(amount: int, day: int = 0, **more: Any) -> ExternalLine:
    """A line so many days behind 5 October 2026."""
    return ExternalLine(DAY + dt.timedelta(days=day), amount, "line 2", **more)


def statement(*lines: ExternalLine, **more: Any) -> ExternalStatement:
    """A statement in EUR of these lines."""
    made = ExternalStatement("EUR", lines=list(lines), **more)
    return finished(made, "line 1")


class Desk:
    """The reconciliation of `bank`, an asset, in a ledger with `income` and `fees`."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        bank.open("bank", type="asset", overdraft="unlimited")
        bank.open("income", type="income", overdraft="unlimited")
        bank.open("fees", type="expense", overdraft="unlimited")
        bank.work()
        (number,) = bank.rows(
            "SELECT number FROM accounts WHERE ledger_id = :ledger AND code = 'bank'"
        )[0]
        self.account = Account(number, "bank", "asset", "EUR", None)
        self.subject = Subject(bank.ledger, number, "bank", "EUR")
        self._files = 0

    def receive(self, amount: int, day: int = 0, **more: Any) -> Place:
        """A payment that came in, posted; where it stands on the bank account."""
        source, destination = ("bank", "income") if amount > 0 else ("fees", "bank")
        body = {
            "source": source,
            "destination": destination,
            "amount": abs(amount),
            "currency": "EUR",
            "effective_date": (DAY + dt.timedelta(days=day)).isoformat(),
        }
        key = more.pop("key", "")
        receipt = self.bank.submit("transfer", {**body, **more}, key=key)
        self.bank.work()
        return Place(receipt.position, 0 if amount > 0 else 1)

    def take_in(self, *taken: ExternalStatement, **more: Any) -> statements.TakenIn:
        """Import the statements as one file, which is another one each time."""
        self._files += 1
        data = more.pop("data", f"file {self._files}".encode())
        file = statements.File(statements.file_hash(data), "csv", "october.csv")
        with tenant_writing(1) as connection:
            return statements.take_in(connection, self.subject, file, taken, by=ME, **more)

    def lines(self, *lines: ExternalLine) -> list[int]:
        """Import a statement of these lines; their numbers."""
        self.take_in(statement(*lines))
        return [row.number for row in self.lines_of(None)][-len(lines) :]

    def match_all(self) -> dict[str, int]:
        """Match by the rules; how many matches each of them made, where it made some."""
        with tenant_writing(1) as connection:
            found = matches.match_all(connection, self.subject, by=ME)
        return {rule: count for rule, count in found.by_rule.items() if count}

    def match(self, lines: list[int], places: list[Place]) -> int:
        """Match by hand."""
        with tenant_writing(1) as connection:
            return matches.match_by_hand(connection, self.subject, lines, places, by=ME)

    def ignore(self, lines: list[int], places: list[Place], reason: str = "known") -> int:
        """Set aside."""
        with tenant_writing(1) as connection:
            return matches.ignore(connection, self.subject, lines, places, reason=reason, by=ME)

    def undo(self, match: int) -> None:
        """Take a match back."""
        with tenant_writing(1) as connection:
            matches.undo(connection, self.subject, match, reason="wrong", by=ME)

    def write(self, *found: Match) -> None:
        """Store matches without asking, as only a bug would."""
        with tenant_writing(1) as connection:
            matches.write(connection, self.subject, found, by=ME)

    def lines_of(self, state: str | None) -> list[Any]:
        """The lines in a state."""
        with tenant_reading(1) as connection:
            return list(unmatched.lines_page(connection, self.subject, state=state, many=10_000))

    def postings_of(self, state: str | None) -> list[Place]:
        """The places of the postings in a state."""
        with tenant_reading(1, app_engine()) as connection:
            rows = unmatched.postings_page(connection, self.subject, state=state, many=10_000)
            return [Place(row.position, row.leg) for row in rows]

    def summary(self, until: dt.date | None = None) -> Summary:
        """What explains the difference."""
        with tenant_reading(1) as connection:
            return summary(connection, self.subject, until)
