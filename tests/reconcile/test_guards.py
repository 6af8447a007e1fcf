"""What the database refuses of a reconciliation by itself, whatever the code above it does."""

from collections.abc import Callable

import psycopg2
import pytest

from models.db import app_engine, raw_connection
from pipeline.accept import rollback
from pipeline.reconcile.items import Match, Place
from tests.bank import Bank, new_ledger
from tests.reconcile.desk import Desk, line


@pytest.fixture(scope="module")
def books(module_env: dict[str, str]) -> Desk:
    """Lines 1 to 3 of 1.00 to 3.00; postings of 1.00, which is match 1 with line 1, and of 2.00."""
    desk = Desk(Bank(new_ledger()))
    place = desk.receive(100)
    desk.receive(200)
    desk.lines(line(100, 30), line(200, 30), line(300, 30))
    desk.match([1], [place])
    return desk


def attempt(desk: Desk, statement: str) -> None:
    """The statement as the application's role, with the places of the account filled in."""
    of = f"1, {desk.bank.ledger.ledger_id}, {desk.subject.number}"
    with raw_connection(app_engine()) as connection:
        cursor = connection.cursor()
        try:
            cursor.execute("BEGIN; SELECT set_config('trident.tenant', '1', true)")
            cursor.execute(statement.replace(":of", of))
            cursor.execute("COMMIT")
        finally:
            rollback(connection)


MATCH = "INSERT INTO matches (tenant_id, ledger_id, account, match, rule, made_by)"
LINE = "INSERT INTO matched_lines (tenant_id, ledger_id, account, match, line, turn)"
POSTING = "INSERT INTO matched_postings (tenant_id, ledger_id, account, match, position, leg, turn)"
STATEMENT = (
    "INSERT INTO external_statements (tenant_id, ledger_id, account, number, part, lines,"
    " known_lines, from_date, to_date, currency, format, file_hash, imported_by)"
)
# The posting of 2.00, which is free.
FREE = (
    " FROM postings WHERE amount = -200 AND NOT pending AND (tenant_id, ledger_id, account) = (:of)"
)
BAD = {
    "match 2 .manual. of 1 lines and 1 postings does not balance: 100": f"WITH m AS ({MATCH} VALUES"
    f" (:of, 2, 'manual', 'x')), l AS ({LINE} VALUES (:of, 2, 3, 0))"
    f" {POSTING} SELECT :of, 2, position, leg, 0 {FREE}",
    "match 2 .manual. of 0 lines and 0 postings": f"{MATCH} VALUES (:of, 2, 'manual', 'x')",
    "match 2 .ignored. of 0 lines": "INSERT INTO matches (tenant_id, ledger_id, account, match,"
    " rule, reason, made_by) VALUES (:of, 2, 'ignored', 'x', 'x')",
    "matches_check": f"{MATCH} VALUES (:of, 2, 'ignored', 'x')",
    "match 1 was not written by the same statement": f"{LINE} VALUES (:of, 1, 2, 0)",
    "match 3 was not written by the same statement": f"WITH m AS ({MATCH} VALUES (:of, 3,"
    f" 'manual', 'x')), l AS ({LINE} VALUES (:of, 3, 2, 0))"
    f" {POSTING} SELECT :of, 3, position, leg, 0 {FREE}; {LINE} VALUES (:of, 3, 3, 0)",
    "match 7 was not written by the same": f"{LINE} VALUES (:of, 7, 2, 0)",
    "matched_lines_pkey": f"WITH m AS ({MATCH} VALUES (:of, 2, 'manual', 'x'))"
    f" {LINE} VALUES (:of, 2, 1, 0)",
    "turn 1 begins before the one before it was undone": f"WITH m AS ({MATCH} VALUES (:of, 2,"
    f" 'manual', 'x')) {LINE} VALUES (:of, 2, 1, 1)",
    "turn 3 begins before": f"WITH m AS ({MATCH} VALUES (:of, 2, 'manual', 'x'))"
    f" {LINE} VALUES (:of, 2, 1, 3)",
    "match 2 .undone.": "INSERT INTO matches (tenant_id, ledger_id, account, match, rule, reason,"
    " undoes, made_by) VALUES (:of, 2, 'undone', 'x', 9, 'x')",
    "no account": STATEMENT + " VALUES (:of, 2, 1, 0, 0, '2026-01-01', '2026-01-01', 'USD',"
    " 'csv', sha256('x'), 'x')",
    "statement 9 does not exist": "INSERT INTO external_lines (tenant_id, ledger_id, account,"
    " number, statement, amount, identity, booking_date, refs, place)"
    " VALUES (:of, 4, 9, 1, gen_random_uuid(), '2026-01-01', '{}', 'x')",
    "external_lines_amount_check": "INSERT INTO external_lines (tenant_id, ledger_id, account,"
    " number, statement, amount, identity, booking_date, refs, place)"
    " VALUES (:of, 4, 1, 0, gen_random_uuid(), '2026-01-01', '{}', 'x')",
    "tenant_id_ledger_id_account_identity": "INSERT INTO external_lines (tenant_id, ledger_id,"
    " account, number, statement, amount, identity, booking_date, refs, place)"
    " SELECT tenant_id, ledger_id, account, 9, 1, 5, identity, booking_date, refs, place"
    " FROM external_lines WHERE number = 1 AND (tenant_id, ledger_id, account) = (:of)",
    "row-level security": f"{LINE} VALUES (2, 1, 1, 1, 1, 0)",
}


@pytest.mark.parametrize("says", BAD)
def test_the_database_refuses_what_cannot_be_true(books: Desk, says: str) -> None:
    """Each false row is refused by the database itself, with a message that names the fault."""
    with pytest.raises(psycopg2.Error, match=says):
        attempt(books, BAD[says])
    assert len(books.lines_of("unmatched")) == 2


WRONG: dict[str, Callable[[Place, Place], Match]] = {
    "does not balance: 100": lambda _, free: Match("manual", (3,), (free,)),
    "does not balance": lambda _, free: Match("manual", (2,), (free._replace(leg=1),)),
    "of 1 lines and 0 postings": lambda *_: Match("manual", (2,), ()),
    "turn 1 begins": lambda taken, _: Match("manual", (2,), (taken,)),
}


@pytest.mark.parametrize("says", WRONG)
def test_a_bug_above_cannot_store_a_wrong_match(books: Desk, says: str) -> None:
    """What the code would write without its checks, the guards refuse."""
    (taken,), (free,) = books.postings_of("matched"), books.postings_of("unmatched")
    with pytest.raises(Exception, match=says):
        books.write(WRONG[says](taken, free))
