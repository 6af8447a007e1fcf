"""Operations that were accepted at times of the test's choice, and what is true of them at any."""

import datetime as dt
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text

from models.db import tenant_writing
from models.operation import draw, make_id
from pipeline.accept import key_hash
from pipeline.strict_json import canonical
from tests.bank import ADMIN, Bank

INSERT = text("""
INSERT INTO operations (position, accepted_at, tenant_id, ledger_id, id, kind, idempotency_key,
                        body, principal)
VALUES (:position, :at, :tenant, :ledger, :id, :kind, :key, :body, :principal);
INSERT INTO idempotency_keys (position, tenant_id, ledger_id, key_hash)
VALUES (:position, :tenant, :ledger, CAST(:hash AS uuid));
""")

POSTED = """
SELECT p.amount, o.accepted_at, o.body::text, a.code, o.position
  FROM postings p JOIN operations o USING (tenant_id, ledger_id, position)
  JOIN accounts a ON (a.tenant_id, a.ledger_id, a.number) = (p.tenant_id, p.ledger_id, p.account)
 WHERE p.ledger_id = :ledger ORDER BY p.position, p.leg
"""


class Entry(NamedTuple):
    """One posting with both of its dates, read without any of the code under test."""

    code: str
    amount: int
    accepted_at: dt.datetime
    effective: dt.date
    position: int


def utc(day: int, hour: int = 12) -> dt.datetime:
    """A time on a day of 2026, counted from its first."""
    return dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC) + dt.timedelta(days=day)


def date(day: int) -> dt.date:
    """A day of 2026, counted from its first."""
    return utc(day).date()


class Calendar:
    """Puts operations into the log of a bank as if they had been accepted at other times."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._position = 0

    def accept(self, at: dt.datetime, kind: str, body: dict[str, Any], key: str = "") -> int:
        """The next operation, accepted at this time; its position."""
        self._position += 1
        ledger, key = self.bank.ledger, key or f"then-{self._position}"
        with tenant_writing(ledger.tenant_id) as connection:
            row = {
                "position": self._position,
                "at": at,
                "tenant": ledger.tenant_id,
                "ledger": ledger.ledger_id,
                "id": str(make_id(ledger.ledger_id, self._position, draw(1)[0])),
                "kind": kind,
                "key": key,
                "hash": key_hash(key),
                "body": canonical(body).decode(),
                "principal": ADMIN.decode(),
            }
            connection.execute(INSERT, row)
        return self._position

    def open(self, code: str, **attributes: Any) -> int:
        """An account without limit, in EUR and a liability unless attributes say otherwise."""
        body = {"code": code, "type": "liability", "currency": "EUR", "overdraft": "unlimited"}
        return self.accept(utc(0, 0), "open_account", {**body, **attributes})

    def transfer(
        self, at: dt.datetime, source: str, destination: str, amount: int, **more: Any
    ) -> int:
        """Euro cents, with an effective date if one is given."""
        body = {"source": source, "destination": destination, "amount": amount, "currency": "EUR"}
        return self.accept(at, "transfer", {**body, **more})

    def entries(self) -> list[Entry]:
        """Every posting, from the tables alone."""
        found = []
        for amount, at, body, code, position in self.bank.rows(POSTED):
            named = orjson.loads(body).get("effective_date")
            effective = dt.date.fromisoformat(named) if named else at.astimezone(dt.UTC).date()
            found.append(Entry(code, amount, at, effective, position))
        return found
