"""`trident verify`: what was changed behind Trident's back is found, and where."""

import json
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest

from models.ledger import LedgerRef
from pipeline import heads
from pipeline.drain import drain
from pipeline.stage import STAGES
from pipeline.verify.finding import Fault
from pipeline.verify.verify import CHECKS, verify
from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.cli.tampering import CUT_OFF, PAYMENT, REWRITTEN, TAMPERED, WHERE

Tamper = Callable[..., None]


@pytest.fixture
def books(bank: Bank) -> Bank:
    """Three accounts, four transfers and a refusal, in three blocks whose head is kept."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("ada")
    bank.open("bob")
    bank.transfer("world", "ada", 1000)
    bank.work()
    bank.transfer("ada", "bob", 100)
    bank.transfer("ada", "bob", 5000)
    bank.transfer("ada", "bob", 200)
    bank.work()
    bank.transfer("bob", "ada", 50)
    bank.submit("freeze_account", {"account": "bob"})
    bank.work()
    heads.keep([bank.ledger])
    return bank


@pytest.fixture
def tamper(books: Bank, env: dict[str, str]) -> Tamper:
    """Run statements as the owner of the tables, the guards switched off meanwhile."""

    def run(*statements: str) -> None:
        connection = psycopg2.connect(env["TRIDENT_OWNER_DATABASE_URL"])
        scope = {"ledger": books.ledger.ledger_id}
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('trident.tenant', '1', true)")
            cursor.execute(
                "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
            )
            guards = cursor.fetchall()
            for table, trigger in guards:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
            for statement in statements:
                cursor.execute(statement, scope)
                assert cursor.rowcount != 0, statement
            for table, trigger in guards:
                cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
        connection.close()

    return run


def faults(ledger: LedgerRef) -> dict[str, Fault]:
    """The first fault of each check that has one."""
    return {f.check: f.fault for f in verify(ledger) if f.fault is not None}


def places(ledger: LedgerRef) -> dict[str, int | str | None]:
    """Where each check that fails has found its first fault."""
    return {check: fault.position or fault.account for check, fault in faults(ledger).items()}


def test_books_that_nobody_touched_are_well(books: Bank) -> None:
    """Every check is made, and finds nothing."""
    findings = verify(books.ledger)
    assert [finding.check for finding in findings] == list(CHECKS)
    assert [finding.fault for finding in findings] == [None] * len(CHECKS)
    assert all(finding.made for finding in findings)
    assert [finding.examined for finding in findings] == [
        "9 operations",
        "15 runs",
        "8 postings",
        "8 versions",
        "3 accounts",
        "0 date shifts",
        "3 blocks",
        "block 3",
        "9 operations",
    ]


def test_an_empty_ledger_is_well(bank: Bank) -> None:
    """Nothing happened, and nothing is missing."""
    assert faults(bank.ledger) == {}


@pytest.mark.parametrize("stages", range(len(STAGES)))
def test_a_stage_that_lags_is_no_fault(books: Bank, stages: int) -> None:
    """Each stage is verified as far as it has come: here some have done more than others."""
    books.transfer("world", "ada", 1)
    books.transfer("ada", "ada", 1)
    books.transfer("ada", "nobody", 1)
    for stage in STAGES[:stages]:
        drain(stage, books.ledger)
    assert faults(books.ledger) == {}


@pytest.mark.parametrize(
    ("statements", "expected"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED]
)
def test_what_was_changed_is_found(
    books: Bank, tamper: Tamper, statements: list[str], expected: dict[str, Any]
) -> None:
    """Each check that it concerns names the first position or account that is not as it was."""
    tamper(*statements)
    assert places(books.ledger) == expected


def test_an_end_that_was_cut_off_is_missed_outside(books: Bank, tamper: Tamper) -> None:
    """Without its last operations the ledger is whole in itself; only the kept head knows."""
    tamper(*CUT_OFF)
    found = faults(books.ledger)
    assert found.keys() == {"head"}
    assert "its end was cut off" in found["head"].message


def test_a_chain_that_was_rewritten_is_not_the_one_that_was_kept(
    books: Bank, tamper: Tamper
) -> None:
    """Who changes words in the log and seals all of it anew is betrayed by the kept head."""
    tamper(*REWRITTEN)
    for _ in range(3):
        books.transfer("world", "bob", 1)
        books.work()
    found = faults(books.ledger)
    assert found.keys() == {"head"}
    assert "the chain was rewritten" in found["head"].message


def test_a_kept_head_that_cannot_be_read_is_a_fault(
    books: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be checked does not pass."""

    def fail(_ledger: LedgerRef) -> None:
        raise ConnectionError("no such bucket")

    monkeypatch.setattr(heads, "read_head", fail)
    assert "no such bucket" in faults(books.ledger)["head"].message


def test_without_a_kept_head_that_check_is_not_made(bank: Bank) -> None:
    """It is neither passed nor failed."""
    bank.open("a")
    bank.work()
    (head,) = [finding for finding in verify(bank.ledger) if finding.check == "head"]
    assert (head.fault, head.made, head.examined) == (None, False, "none is kept outside")


def test_a_poisoned_operation_is_taken_as_it_is(books: Bank, tamper: Tamper) -> None:
    """`internal_error` has no cause in the log, so the replay does not ask for one."""
    books.transfer("world", "ada", 1)
    drain("validate", books.ledger)
    drain("authorize", books.ledger)
    tamper("INSERT INTO rejections VALUES (10, 1, %(ledger)s, 'post', 'internal_error', '{}')")
    books.work()
    assert faults(books.ledger) == {}


def test_the_command_names_the_fault_and_fails(
    books: Bank, tamper: Tamper, trident: Trident
) -> None:
    """Exit 0 and a line for each check; exit 1 with the position when something was changed."""
    words = ("verify", "--ledger", books.ledger.name)
    result = trident(*words)
    assert result.exit_code == 0
    assert result.stdout.count("  ok  ") == len(CHECKS)
    tamper(f"UPDATE postings SET amount = amount - 1 {WHERE} = {PAYMENT} AND leg = 0")
    result = trident(*words)
    assert result.exit_code == 1
    assert (
        "at position 5: its postings in EUR sum to -1 minor units instead of zero" in result.stdout
    )
    assert "the books are not as they were" in result.stderr
    document = json.loads(trident(*words, "--json").stdout)
    assert document["ok"] is False
    (postings,) = [c for c in document["ledgers"][0]["checks"] if c["check"] == "postings"]
    assert postings["fault"]["position"] == 5


def test_the_command_looks_at_every_ledger(books: Bank, trident: Trident) -> None:
    """Without --ledger all of the tenant's are verified, its events last and briefly."""
    document = json.loads(trident("verify", "--json").stdout)
    assert books.ledger.name in [ledger["ledger"] for ledger in document["ledgers"]]
    assert "main" in [ledger["ledger"] for ledger in document["ledgers"]]
    *_, heading, line = trident("verify").stdout.splitlines()
    assert heading.startswith("What people and programs did beside the books")
    assert "ok     All of these checks." in line
    assert trident("verify", "--ledger", "trident-events").stdout.count("\n") == len(CHECKS) + 1
