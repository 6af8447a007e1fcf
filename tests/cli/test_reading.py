"""`trident balances` and `trident statement`: the books as they are."""

import csv
import io
import json

import psycopg2
import pytest
from click.testing import Result

from models.settings import settings
from pipeline.ledger import Account
from pipeline.statement import Part, batches, whole
from tests.bank import Bank, new_ledger
from tests.cli.conftest import Trident


@pytest.fixture
def books(bank: Bank) -> Bank:
    """A customer, a merchant who may overdraw, cash, and what happened between them."""
    bank.open("world:cash", type="asset", currency="USD", overdraft="unlimited")
    bank.open("customers:ada", currency="USD")
    bank.open("merchants:bob", currency="USD", overdraft=50000)
    bank.open("yen", currency="JPY", overdraft="unlimited")
    deposit = {
        "source": "world:cash",
        "destination": "customers:ada",
        "amount": 125034,
        "currency": "USD",
        "effective_date": "2026-10-01",
        "description": 'cash, "large" notes',
    }
    bank.submit("transfer", deposit, key="deposit")
    purchase = {
        "source": "customers:ada",
        "destination": "merchants:bob",
        "amount": 34,
        "currency": "USD",
    }
    bank.submit("transfer", purchase, key="purchase")
    legs = [
        {"account": "merchants:bob", "direction": "debit", "amount": 10000, "currency": "USD"},
        {"account": "merchants:bob", "direction": "debit", "amount": 5, "currency": "USD"},
        {"account": "world:cash", "direction": "credit", "amount": 10005, "currency": "USD"},
    ]
    bank.submit("journal", {"legs": legs}, key="pay-out")
    bank.submit("transfer", {**purchase, "amount": 10**9}, key="refused")
    bank.work()
    return bank


def records(result: Result) -> list[dict[str, str]]:
    """What a command printed as CSV."""
    assert result.exit_code == 0, result.output
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_balances_stand_on_the_normal_side(books: Bank, trident: Trident) -> None:
    """Each account is a line; unlimited accounts have no `available`; yen have no decimals."""
    result = trident("balances", "--ledger", books.ledger.name, "--format", "csv")
    assert result.stdout.splitlines() == [
        "account,currency,balance,available",
        "customers:ada,USD,1250.00,1250.00",
        "merchants:bob,USD,-99.71,400.29",
        "world:cash,USD,1150.29,",
        "yen,JPY,0,",
    ]


def test_balances_are_json_too(books: Bank, trident: Trident) -> None:
    """--json is short for --format json; amounts are text, so no reader makes floats of them."""
    words = ("balances", "--ledger", books.ledger.name, "--prefix", "world:")
    result = trident(*words, "--json")
    assert result.stdout == trident(*words, "--format", "json").stdout
    assert json.loads(result.stdout) == [
        {"account": "world:cash", "currency": "USD", "balance": "1150.29", "available": None}
    ]


def test_balances_for_people_say_whether_they_balance(books: Bank, trident: Trident) -> None:
    """Each currency's debit and credit balances stand below the table."""
    result = trident("balances", "--ledger", books.ledger.name)
    assert "1,250.00" in result.stdout
    assert "USD: debit balances 1,250.00, credit balances 1,250.00: it balances." in result.stdout


def test_no_accounts_are_no_fault(bank: Bank, trident: Trident) -> None:
    """An empty ledger has an empty list, in each format."""
    words = ("balances", "--ledger", bank.ledger.name, "--format")
    assert json.loads(trident(*words, "json").stdout) == []
    assert trident(*words, "csv").stdout == "account,currency,balance,available\n"
    assert "no such account" in trident(*words, "table").stdout


def test_a_statement_has_a_line_for_each_posting(books: Bank, trident: Trident) -> None:
    """Amounts stand on the account's normal side, each with the balance after it."""
    lines = records(
        trident("statement", "merchants:bob", "--ledger", books.ledger.name, "--format", "csv")
    )
    shown = [(line["idempotency_key"], line["amount"], line["balance"]) for line in lines]
    assert shown == [
        ("purchase", "0.34", "0.34"),
        ("pay-out", "-100.00", "-99.66"),
        ("pay-out", "-0.05", "-99.71"),
    ]


def test_a_debit_raises_an_asset(books: Bank, trident: Trident) -> None:
    """What leaves cash to a customer's account is a debit of cash: its balance rises."""
    lines = records(
        trident("statement", "world:cash", "--ledger", books.ledger.name, "--format", "csv")
    )
    assert [(line["amount"], line["balance"]) for line in lines] == [
        ("1250.34", "1250.34"),
        ("-100.05", "1150.29"),
    ]


def test_a_line_says_which_operation_it_was(books: Bank, trident: Trident) -> None:
    """Position, id, key, the time of posting, the dates and the text are those of the log."""
    (row,) = books.rows(
        "SELECT o.position, o.accepted_at::date::text AS day, r.at FROM operations o, runs r"
        " WHERE o.ledger_id = :ledger AND r.ledger_id = :ledger AND r.stage = 'post'"
        " AND o.position BETWEEN r.from_position AND r.to_position"
        " AND o.idempotency_key = 'deposit'"
    )
    first, second = records(
        trident("statement", "customers:ada", "--ledger", books.ledger.name, "--format", "csv")
    )
    assert first["account"] == "customers:ada"
    assert first["position"] == str(row.position)
    assert first["operation"].startswith("op_")
    assert first["posted_at"] == row.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert first["effective_date"] == "2026-10-01"
    assert first["description"] == 'cash, "large" notes'
    assert second["effective_date"] == row.day
    assert second["description"] == ""


def test_a_statement_of_all_is_in_the_order_of_accounts(books: Bank, trident: Trident) -> None:
    """By code, then by position; every posting is in it."""
    lines = records(trident("statement", "--all", "--ledger", books.ledger.name, "--format", "csv"))
    places = [(line["account"], int(line["position"])) for line in lines]
    assert places == sorted(places)
    assert len(lines) == 7


def test_a_statement_for_people_steers_no_terminal(bank: Bank, trident: Trident) -> None:
    """Control characters of a description are not sent to the terminal."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    body = {
        "source": "world",
        "destination": "a",
        "amount": 1,
        "currency": "EUR",
        "description": "[red]up\N{CONTROL SEQUENCE INTRODUCER}2J",
    }
    bank.submit("transfer", body)
    bank.work()
    shown = trident("statement", "a", "--ledger", bank.ledger.name).stdout
    assert "[red]up\N{REPLACEMENT CHARACTER}2J" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nobody"], "has no account 'nobody'. `trident balances` lists those it has."),
        ([], "Name one account, or give --all."),
        (["nobody", "--all"], "Name one account, or give --all."),
    ],
)
def test_a_statement_of_nobody_is_refused(
    bank: Bank, trident: Trident, words: list[str], message: str
) -> None:
    """Exit 2 and a sentence."""
    result = trident("statement", *words, "--ledger", bank.ledger.name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


@pytest.fixture
def acme(env: dict[str, str]) -> int:
    """The number of another tenant, made by the owner."""
    connection = psycopg2.connect(env["TRIDENT_OWNER_DATABASE_URL"])
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO tenants (name) VALUES ('acme')"
            " ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING tenant_id"
        )
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    return int(row[0])


def test_a_tenant_is_named_or_numbered(acme: int, trident: Trident) -> None:
    """With the owner's address at hand a name will do; a number always does."""
    other = Bank(new_ledger(acme))
    other.open("a:of-acme")
    other.work()
    for tenant in ("acme", str(acme)):
        words = ("balances", "--tenant", tenant, "--ledger", other.ledger.name, "--json")
        (account,) = json.loads(trident(*words).stdout)
        assert account["account"] == "a:of-acme"


def test_a_tenant_does_not_find_the_ledger_of_another(acme: int, trident: Trident) -> None:
    """To the default tenant the ledger of another one does not exist."""
    other = new_ledger(acme)
    result = trident("balances", "--ledger", other.name)
    assert result.exit_code == 2
    assert f"Tenant default has no ledger '{other.name}'." in result.stderr


def test_without_the_owners_address_other_names_are_unknown(
    trident: Trident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row-level security hides names; the sentence says what to do."""
    monkeypatch.delenv("TRIDENT_OWNER_DATABASE_URL")
    monkeypatch.setenv("TRIDENT_HOME", "nowhere")
    settings.cache_clear()
    result = trident("balances", "--tenant", "acme")
    assert result.exit_code == 2
    assert "No tenant 'acme' is known. Give its number" in result.stderr


def test_batches_hold_every_version_once() -> None:
    """Small accounts share a batch, large ones are cut; none is larger than asked for."""
    accounts = [Account(n, f"a{n}", "asset", "EUR", None, version=n) for n in (0, 3, 7, 1, 25)]
    made = list(batches(map(whole, accounts), 10))
    assert [sum(part.last - part.first + 1 for part in batch) for batch in made] == [10, 10, 10, 6]
    versions = [
        (part.account.number, version)
        for batch in made
        for part in batch
        for version in range(part.first, part.last + 1)
    ]
    assert versions == [(a.number, v) for a in accounts for v in range(1, a.version + 1)]
    assert all(isinstance(part, Part) for batch in made for part in batch)
