"""What effective dates move: written by `post`, guarded by the database, proved by the check."""

from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from models.db import make_engine, set_tenant
from models.ledger import LedgerRef
from pipeline.drain import drain_together
from pipeline.stage import STAGES
from pipeline.verify.finding import FoundError
from pipeline.verify.reading import chunks
from pipeline.verify.shifts import ShiftsCheck
from tests.bank import Bank, new_ledger
from tests.pipeline.calendar import Calendar, utc
from tests.pipeline.test_guards import attempt

ROWS = """
SELECT a.code, s.date::text, s.arriving, s.leaving
  FROM date_shifts s JOIN accounts a
       ON (a.tenant_id, a.ledger_id, a.number) = (s.tenant_id, s.ledger_id, s.account)
 WHERE s.ledger_id = :ledger ORDER BY a.code, s.date
"""


@pytest.fixture
def calendar(bank: Bank) -> Calendar:
    """world (number 1), a (2), and usd (3), which keeps another currency."""
    made = Calendar(bank)
    made.open("world", type="asset")
    made.open("a")
    made.open("usd", currency="USD")
    return made


def rows(bank: Bank) -> list[tuple[Any, ...]]:
    """The rows of the ledger."""
    return [tuple(row) for row in bank.rows(ROWS)]


def test_what_is_dated_to_its_own_day_leaves_nothing(calendar: Calendar) -> None:
    """Whether the date is named or not, and whatever else is called effective_date."""
    calendar.transfer(utc(3), "world", "a", 1)
    calendar.transfer(utc(3), "world", "a", 2, effective_date="2026-01-04")
    calendar.transfer(
        utc(3),
        "world",
        "a",
        3,
        effective_date="2026-01-04",
        description='"effective_date":"2026-01-01"',
        metadata={"effective_date": "2026-01-01"},
    )
    calendar.transfer(utc(3), "world", "a", 4, metadata={"effective_date": "2026-01-04"})
    calendar.bank.work()
    assert rows(calendar.bank) == []


def test_what_is_dated_elsewhere_is_added_up(calendar: Calendar) -> None:
    """One row for each account and day, over all runs; what was refused moves nothing."""
    calendar.transfer(utc(3), "world", "a", 1, effective_date="2026-01-01")
    calendar.transfer(utc(3), "a", "nobody", 9, effective_date="2026-01-01")
    calendar.bank.work()
    calendar.transfer(utc(3), "world", "a", 2, effective_date="2026-01-01")
    calendar.transfer(utc(4), "a", "world", 5, effective_date="2026-01-04")
    calendar.bank.work()
    assert rows(calendar.bank) == [
        ("a", "2026-01-01", 3, 0),
        ("a", "2026-01-04", -5, 3),
        ("a", "2026-01-05", 0, -5),
        ("world", "2026-01-01", -3, 0),
        ("world", "2026-01-04", 5, -3),
        ("world", "2026-01-05", 0, 5),
    ]


def test_ledgers_of_a_run_are_kept_apart(env: dict[str, str]) -> None:
    """A run over two ledgers, whose accounts have the same numbers, writes the rows of each."""
    made = [Calendar(Bank(new_ledger())) for _ in range(2)]
    for amount, each in enumerate(made, start=1):
        each.open("world", type="asset")
        each.open("a")
        each.transfer(utc(3), "world", "a", amount, effective_date="2026-01-01")
    for stage in STAGES:
        drain_together(stage, [each.bank.ledger for each in made])
    for amount, each in enumerate(made, start=1):
        assert rows(each.bank)[:2] == [
            ("a", "2026-01-01", amount, 0),
            ("a", "2026-01-04", 0, amount),
        ]


BEGUN = (
    "INSERT INTO date_shifts (tenant_id, ledger_id, account, date, currency)"
    " SELECT 1, :ledger, account, date, 'EUR' FROM unnest('{1,2}'::int[]) account,"
    " unnest('{2026-01-01,2026-01-02}'::date[]) date;"
)
MOVED = "UPDATE date_shifts SET {} WHERE ledger_id = :ledger AND "
BAD = {
    "a row begins with zeros": "INSERT INTO date_shifts VALUES"
    " (1, 0, 1, :ledger, 1, '2026-01-01', 'EUR')",
    "no account 9 in that currency": "INSERT INTO date_shifts VALUES"
    " (0, 0, 1, :ledger, 9, '2026-01-01', 'EUR')",
    "no account 3 in that currency": "INSERT INTO date_shifts VALUES"
    " (0, 0, 1, :ledger, 3, '2026-01-01', 'EUR')",
    "what leaves and what arrives differ for account": BEGUN
    + MOVED.format("arriving = (account * 2 - 3) * 5")
    + "date = '2026-01-01'",
    "what moves on 2026-01-0[12] does not sum to zero in EUR": BEGUN
    + MOVED.format(
        "arriving = CASE date WHEN '2026-01-01' THEN 5 ELSE 0 END,"
        " leaving = CASE date WHEN '2026-01-02' THEN 5 ELSE 0 END"
    )
    + "account = 1",
    "permission denied for table date_shifts": "DELETE FROM date_shifts",
}


@pytest.mark.parametrize("says", BAD)
def test_the_database_refuses_shifts_that_cannot_be_true(calendar: Calendar, says: str) -> None:
    """Each is refused with a message that names the fault."""
    calendar.bank.work()
    with pytest.raises(psycopg2.Error, match=says):
        attempt(calendar.bank, BAD[says])


def test_the_database_takes_shifts_that_are_true(calendar: Calendar) -> None:
    """So it is not for another reason that the guards refuse."""
    calendar.bank.work()
    attempt(
        calendar.bank,
        BEGUN
        + MOVED.format(
            "arriving = CASE date WHEN '2026-01-01' THEN 5 * (account * 2 - 3) ELSE 0 END,"
            " leaving = CASE date WHEN '2026-01-02' THEN 5 * (account * 2 - 3) ELSE 0 END"
        )
        + "true",
    )
    assert len(rows(calendar.bank)) == 4


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("DELETE FROM date_shifts", "never deleted"),
        ("TRUNCATE date_shifts", "never truncated"),
        ("UPDATE date_shifts SET date = date + 1", "keeps its account, date and currency"),
        ("UPDATE date_shifts SET account = account + 1", "keeps its account, date and currency"),
    ],
)
def test_not_even_the_owner_takes_shifts_away(
    calendar: Calendar, env: dict[str, str], statement: str, says: str
) -> None:
    """Triggers refuse it to the owner, whom no privilege stops."""
    calendar.transfer(utc(3), "world", "a", 1, effective_date="2026-01-01")
    calendar.bank.work()
    url = env["TRIDENT_OWNER_DATABASE_URL"]
    engine = make_engine(url, statement_timeout_ms=5000, trusted=True)
    with engine.connect() as connection:
        set_tenant(connection, 1)
        with pytest.raises(Exception, match=says):
            connection.execute(text(statement))
    engine.dispose()


def found(cursor: Any, ledger: LedgerRef) -> str:
    """What the check finds, or nothing."""
    check = ShiftsCheck()
    for chunk in chunks(cursor, ledger):
        check.look(chunk)
    try:
        check.check(cursor, ledger)
    except FoundError as error:
        return str(error.fault)
    return ""


TAMPERED = {
    "number 2: what effective dates move on 2026-01-01 is EUR: 4 arriving, 0 leaving, and the log"
    " makes it EUR: 3 arriving, 0 leaving": "UPDATE date_shifts SET arriving = 4"
    " WHERE ledger_id = :ledger AND account = 2 AND date = '2026-01-01'",
    "number 1: what effective dates move on 2026-01-04 is missing: EUR: 0 arriving, -3"
    " leaving": "DELETE FROM date_shifts"
    " WHERE ledger_id = :ledger AND account = 1 AND date = '2026-01-04'",
    "number 1: what effective dates move on 2025-01-01 is EUR: 0 arriving, 0 leaving, and the log"
    " makes it nothing": "INSERT INTO date_shifts VALUES"
    " (0, 0, 1, :ledger, 1, '2025-01-01', 'EUR')",
}


@pytest.mark.parametrize("says", ["", *TAMPERED])
def test_the_check_finds_what_was_tampered_with(
    calendar: Calendar, env: dict[str, str], says: str
) -> None:
    """Past all triggers, as only the owner can; untouched rows are as the log makes them."""
    ledger = calendar.bank.ledger
    calendar.transfer(utc(3), "world", "a", 3, effective_date="2026-01-01")
    calendar.transfer(utc(3), "world", "a", 30)
    calendar.bank.work()
    connection = psycopg2.connect(env["TRIDENT_OWNER_DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('trident.tenant', '1', true)")
        cursor.execute("ALTER TABLE date_shifts DISABLE TRIGGER USER")
        if says:
            cursor.execute(TAMPERED[says].replace(":ledger", str(ledger.ledger_id)))
        fault = found(cursor, ledger)
    connection.rollback()
    connection.close()
    assert says in fault
    assert bool(fault) == bool(says)
