"""The date shifts: each is what the postings and bodies of the log make it, and none is missing."""

import datetime as dt
from typing import Any

from models.ledger import LedgerRef
from pipeline.dated import Days, dated, shifts
from pipeline.stage import Operation
from pipeline.verify.finding import FoundError
from pipeline.verify.reading import Chunk

# Rows of one query: a few MB.
CHUNK_ROWS = 20_000

ROWS = """
SELECT account, date, currency, arriving, leaving FROM date_shifts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
   AND (account, date) > (%(account)s, %(date)s)
 ORDER BY account, date LIMIT %(limit)s
"""

Sums = tuple[str, int, int]  # currency, arriving, leaving


class ShiftsCheck:
    """Adds up what the operations of the log move, then looks at the rows."""

    def __init__(self) -> None:
        self._expected: dict[tuple[int, dt.date], Sums] = {}
        self.count = 0

    def look(self, chunk: Chunk) -> None:
        """The next operations, with their postings; raises FoundError."""
        for row in chunk.logged:
            days = _days_of(row.operation)
            if days is None:
                continue
            postings = chunk.postings.get(row.operation.position, [])
            for account, date, currency, arriving, leaving in shifts(days, postings):
                _, before, gone = self._expected.get((account, date), (currency, 0, 0))
                self._expected[account, date] = (currency, before + arriving, gone + leaving)

    def check(self, cursor: Any, ledger: LedgerRef) -> None:
        """Every row of the ledger; raises FoundError."""
        account, date = 0, dt.date.min
        while rows := self._read(cursor, ledger, account, date):
            for account, date, *sums in rows:
                self.count += 1
                expected = self._expected.pop((account, date), None)
                if tuple(sums) != expected:
                    raise FoundError(
                        f"what effective dates move on {date} is {_shown(sums)}, and the log makes"
                        f" it {_shown(expected)}",
                        account=f"number {account}",
                    )
        for (account, date), expected in self._expected.items():
            raise FoundError(
                f"what effective dates move on {date} is missing: {_shown(expected)}",
                account=f"number {account}",
            )

    @staticmethod
    def _read(cursor: Any, ledger: LedgerRef, account: int, date: dt.date) -> list[Any]:
        scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
        after = {"account": account, "date": date, "limit": CHUNK_ROWS}
        cursor.execute(ROWS, {**scope, **after})
        return list(cursor.fetchall())


def _days_of(operation: Operation) -> Days | None:
    try:
        return next((days for _, days in dated([operation])), None)
    except Exception as error:  # a body that somebody changed may fail anywhere
        raise FoundError(
            f"its effective date cannot be read: {type(error).__name__}: {error}",
            operation.position,
        ) from error


def _shown(sums: Any) -> str:
    if sums is None:
        return "nothing"
    currency, arriving, leaving = sums
    return f"{currency}: {arriving} arriving, {leaving} leaving"
