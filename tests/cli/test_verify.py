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

TABLES = (
    "operations",
    "idempotency_keys",
    "accounts",
    "rejections",
    "postings",
    "runs",
    "audit_blocks",
)
# The positions of the books below, sealed in three blocks: 1 to 4, 5 to 7, 8 to 9.
DEPOSIT, PAYMENT, REFUSED, SECOND, THIRD = 4, 5, 6, 7, 8

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
    heads.keep(bank.ledger)
    return bank


@pytest.fixture
def tamper(books: Bank, env: dict[str, str]) -> Tamper:
    """Run statements as the owner of the tables, the guards switched off meanwhile."""

    def run(*statements: str) -> None:
        connection = psycopg2.connect(env["TRIDENT_OWNER_DATABASE_URL"])
        scope = {"ledger": books.ledger.ledger_id}
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT set_config('trident.tenant', '1', true)")
            for table in TABLES:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for statement in statements:
                cursor.execute(statement, scope)
                assert cursor.rowcount != 0, statement
            cursor.execute(
                "SELECT tgrelid::regclass::text, tgname FROM pg_trigger WHERE NOT tgisinternal"
            )
            for table, trigger in cursor.fetchall():
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


WHERE = "WHERE ledger_id = %(ledger)s AND position"

TAMPERED: list[tuple[str, list[str], dict[str, int | str | None]]] = [
    (
        "a posting's amount",
        [f"UPDATE postings SET amount = amount - 1 {WHERE} = {PAYMENT} AND leg = 0"],
        {"postings": 5, "versions": 5, "chain": 5, "replay": 5},
    ),
    (
        "a posting's balance",
        [f"UPDATE postings SET balance_after = 7 {WHERE} = {SECOND} AND leg = 1"],
        {"versions": 7, "chain": 5, "replay": 7},
    ),
    (
        "a payment, its balances and its accounts",
        [
            f"UPDATE postings SET amount = sign(amount) * 90 {WHERE} = {PAYMENT}",
            f"UPDATE postings SET balance_after = balance_after + 10 {WHERE} >= {PAYMENT}"
            " AND account = 2",
            f"UPDATE postings SET balance_after = balance_after - 10 {WHERE} >= {PAYMENT}"
            " AND account = 3",
            "UPDATE accounts SET debits_posted = debits_posted - 10"
            " WHERE ledger_id = %(ledger)s AND code = 'ada'",
            "UPDATE accounts SET credits_posted = credits_posted - 10"
            " WHERE ledger_id = %(ledger)s AND code = 'bob'",
        ],
        {"chain": 5, "replay": 5},
    ),
    (
        "a posting is deleted",
        [f"DELETE FROM postings {WHERE} = {SECOND} AND leg = 1"],
        {"postings": 7, "versions": 8, "chain": 5, "replay": 7},
    ),
    (
        "a posting is added",
        [
            "INSERT INTO postings SELECT position, 9, 1, 1050, tenant_id, ledger_id, 2, 2,"
            f" currency, pending FROM postings {WHERE} = {THIRD} AND leg = 0"
        ],
        {"postings": 8, "versions": 8, "chain": 8, "replay": 8},
    ),
    (
        "a refusal's code",
        [f"UPDATE rejections SET code = 'account_closed' {WHERE} = {REFUSED}"],
        {"chain": 5, "replay": 6},
    ),
    (
        "a refusal's detail",
        [f"""UPDATE rejections SET detail = '{{"account":"ada"}}' {WHERE} = {REFUSED}"""],
        {"chain": 5, "replay": 6},
    ),
    (
        "a refusal's stage",
        [f"UPDATE rejections SET stage = 'authorize' {WHERE} = {REFUSED}"],
        {"chain": 5, "replay": 6},
    ),
    (
        "a refusal is deleted",
        [f"DELETE FROM rejections {WHERE} = {REFUSED}"],
        {"postings": 6, "chain": 5, "replay": 6},
    ),
    (
        "a payment is refused afterwards",
        [
            "INSERT INTO rejections SELECT 5, tenant_id, ledger_id, stage, code, detail"
            f" FROM rejections {WHERE} = {REFUSED}"
        ],
        {"postings": 5, "chain": 5, "replay": 5},
    ),
    (
        "an amount in the log",
        [
            "UPDATE operations SET body = replace(body::text, '200', '900')::json"
            f" {WHERE} = {SECOND}"
        ],
        {"chain": 5, "replay": 7},
    ),
    (
        "a body that is no operation any more",
        [f"UPDATE operations SET body = '{{}}' {WHERE} = {SECOND}"],
        {"chain": 5, "replay": 7},
    ),
    (
        "words in the log",
        [
            """UPDATE operations SET body = replace(body::text, '{', '{"description":"x",')::json"""
            f" {WHERE} = {SECOND}"
        ],
        {"chain": 5},
    ),
    (
        "a key in the log",
        [f"UPDATE operations SET idempotency_key = 'other' {WHERE} = {SECOND}"],
        {"log": 7, "chain": 5},
    ),
    (
        "who did it",
        [f"""UPDATE operations SET principal = '{{"sub":"eve","roles":["admin"]}}' {WHERE} = 7"""],
        {"chain": 5},
    ),
    (
        "a kind in the log",
        [f"UPDATE operations SET kind = 'gift' {WHERE} = {SECOND}"],
        {"postings": 7, "chain": 5, "replay": 7},
    ),
    (
        "a time in the log",
        [f"UPDATE operations SET accepted_at = accepted_at - interval '1 day' {WHERE} = {SECOND}"],
        {"log": 7, "chain": 5},
    ),
    (
        "an id in the log",
        [
            f"UPDATE operations SET id = (SELECT id FROM operations {WHERE} = {PAYMENT})"
            f" {WHERE} = {SECOND}"
        ],
        {"log": 7, "chain": 5},
    ),
    (
        "an operation is deleted, and all that came of it",
        [
            f"DELETE FROM operations {WHERE} = {PAYMENT}",
            f"DELETE FROM postings {WHERE} = {PAYMENT}",
            f"DELETE FROM idempotency_keys {WHERE} = {PAYMENT}",
        ],
        {"log": 5, "versions": 7, "chain": 5, "replay": 6},
    ),
    (
        "an operation is deleted, and nothing else",
        [f"DELETE FROM operations {WHERE} = {PAYMENT}"],
        {"log": 5, "postings": 5, "chain": 5, "replay": 6},
    ),
    (
        "two operations change places",
        [
            f"UPDATE operations SET position = 1000 {WHERE} = {PAYMENT}",
            f"UPDATE operations SET position = {PAYMENT} {WHERE} = {SECOND}",
            f"UPDATE operations SET position = {SECOND} {WHERE} = 1000",
        ],
        {"log": 5, "chain": 5, "replay": 5},
    ),
    (
        "a key is deleted",
        [f"DELETE FROM idempotency_keys {WHERE} = {PAYMENT}"],
        {"log": 5},
    ),
    (
        "a key is added",
        [
            "INSERT INTO idempotency_keys SELECT position, tenant_id, ledger_id,"
            f" gen_random_uuid() FROM idempotency_keys {WHERE} = {PAYMENT}"
        ],
        {"log": None},
    ),
    (
        "an account's totals",
        [
            "UPDATE accounts SET debits_posted = debits_posted + 5,"
            " credits_posted = credits_posted + 5 WHERE ledger_id = %(ledger)s AND code = 'bob'"
        ],
        {"accounts": "bob", "replay": "bob"},
    ),
    (
        "an account's overdraft",
        ["UPDATE accounts SET overdraft = 5 WHERE ledger_id = %(ledger)s AND code = 'ada'"],
        {"replay": "ada"},
    ),
    (
        "an account's status",
        ["UPDATE accounts SET status = 'open' WHERE ledger_id = %(ledger)s AND code = 'bob'"],
        {"replay": "bob"},
    ),
    (
        "an account's code",
        ["UPDATE accounts SET code = 'eve' WHERE ledger_id = %(ledger)s AND code = 'bob'"],
        {"replay": "eve"},
    ),
    (
        "an account is deleted",
        ["DELETE FROM accounts WHERE ledger_id = %(ledger)s AND code = 'bob'"],
        {"accounts": "number 3", "replay": "bob"},
    ),
    (
        "an account is added",
        [
            "INSERT INTO accounts (tenant_id, ledger_id, number, currency, code, type)"
            " VALUES (1, %(ledger)s, 4, 'EUR', 'eve', 'asset')"
        ],
        {"replay": "eve"},
    ),
    (
        "a run is deleted",
        [
            "DELETE FROM runs WHERE ledger_id = %(ledger)s AND stage = 'authorize'"
            f" AND from_position = {PAYMENT}"
        ],
        {"runs": 5},
    ),
    (
        "a run goes too far",
        ["INSERT INTO runs VALUES (10, 12, now(), 1, %(ledger)s, 'validate')"],
        {"runs": 12},
    ),
    (
        "a block's root",
        [
            "UPDATE audit_blocks SET root = set_byte(root, 7, get_byte(root, 7) # 1)"
            " WHERE ledger_id = %(ledger)s AND height = 2"
        ],
        {"chain": 5},
    ),
    (
        "a block's hash",
        [
            "UPDATE audit_blocks SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1)"
            " WHERE ledger_id = %(ledger)s AND height = 2"
        ],
        {"chain": 5},
    ),
    (
        "a block is deleted",
        ["DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s AND height = 2"],
        {"chain": 5},
    ),
    (
        "the last block is deleted",
        ["DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s AND height = 3"],
        {"chain": 8, "head": 9},
    ),
    (
        "a block is made huge",
        [
            "UPDATE audit_blocks SET to_position = 1000000007, leaf_count = 1000000000"
            " WHERE ledger_id = %(ledger)s AND height = 3"
        ],
        {"chain": 8, "head": 9},
    ),
]


@pytest.mark.parametrize(
    ("statements", "expected"), [t[1:] for t in TAMPERED], ids=[t[0] for t in TAMPERED]
)
def test_what_was_changed_is_found(
    books: Bank, tamper: Tamper, statements: list[str], expected: dict[str, Any]
) -> None:
    """Each check that it concerns names the first position or account that is not as it was."""
    tamper(*statements)
    assert places(books.ledger) == expected


CUT_OFF = [
    *(
        f"DELETE FROM {table} {WHERE} > 7"
        for table in ("operations", "idempotency_keys", "postings")
    ),
    "DELETE FROM runs WHERE ledger_id = %(ledger)s AND to_position > 7",
    "DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s AND height > 2",
    """
    UPDATE accounts a SET status = 'open', version = p.version,
           debits_posted = p.debits, credits_posted = p.credits
      FROM (SELECT account, max(version) AS version, -sum(least(amount, 0)) AS debits,
                   sum(greatest(amount, 0)) AS credits
              FROM postings WHERE ledger_id = %(ledger)s GROUP BY account) p
     WHERE a.ledger_id = %(ledger)s AND a.number = p.account
    """,
]


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
    tamper(
        """UPDATE operations SET body = replace(body::text, '{', '{"description":"x",')::json"""
        f" {WHERE} = {SECOND}",
        "DELETE FROM audit_blocks WHERE ledger_id = %(ledger)s",
        "DELETE FROM runs WHERE ledger_id = %(ledger)s AND stage IN ('audit', 'notify')",
    )
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
    """Without --ledger all of the tenant's are verified."""
    document = json.loads(trident("verify", "--json").stdout)
    assert books.ledger.name in [ledger["ledger"] for ledger in document["ledgers"]]
    assert "main" in [ledger["ledger"] for ledger in document["ledgers"]]
