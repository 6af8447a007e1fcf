"""`trident balances`, `statement` and `report` at other dates than now."""

import csv
import io
import json

import pytest

from pipeline.reports import period
from tests.bank import Bank
from tests.cli.conftest import Trident


@pytest.fixture
def books(bank: Bank) -> Bank:
    """A shop that sold something, paid a rent that was due earlier, and holds a deposit."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("customers:ada")
    bank.open("shop:sales", type="income")
    bank.open("shop:rent", type="expense", overdraft="unlimited")
    for source, destination, amount, more in (
        ("world", "customers:ada", 125_000, {"description": "[red]cash"}),
        ("world", "shop:sales", 4_000, {}),
        ("shop:rent", "world", 1_500, {"effective_date": "2026-01-31"}),
        ("customers:ada", "world", 25_000, {"effective_date": "2026-02-10"}),
    ):
        body = {"source": source, "destination": destination, "amount": amount, "currency": "EUR"}
        bank.submit("transfer", {**body, **more})
    bank.work()
    return bank


def test_balances_at_other_dates(books: Bank, trident: Trident) -> None:
    """By time of acceptance and by effective date; what was available then nobody knows."""
    words = ("balances", "--ledger", books.ledger.name, "--format", "csv")
    assert trident(*words, "--effective", "2026-02-10").stdout.splitlines() == [
        "account,currency,balance,available",
        "customers:ada,EUR,-250.00,",
        "shop:rent,EUR,15.00,",
        "shop:sales,EUR,0.00,",
        "world,EUR,-265.00,",
    ]
    then = trident(*words, "--at", "2026-01-01", "--prefix", "shop").stdout.splitlines()
    assert then[1:] == ["shop:rent,EUR,0.00,", "shop:sales,EUR,0.00,"]
    table = trident("balances", "--ledger", books.ledger.name, "--effective", "2026-02-10").stdout
    assert "By effective date, at the end of 2026-02-10:" in table
    assert "EUR: debit balances 265.00, credit balances 265.00: it balances." in table


def test_balances_are_rolled_up(books: Bank, trident: Trident) -> None:
    """Each level holds what is below it; debit and credit accounts together have no side."""
    words = ("balances", "--ledger", books.ledger.name, "--depth", "2")
    assert trident(*words, "--format", "csv").stdout.splitlines() == [
        "account,currency,accounts,balance,credits_less_debits",
        "customers,EUR,1,1000.00,1000.00",
        "customers:ada,EUR,1,1000.00,1000.00",
        "shop,EUR,2,,25.00",
        "shop:rent,EUR,1,15.00,-15.00",
        "shop:sales,EUR,1,40.00,40.00",
        "world,EUR,1,1025.00,-1025.00",
    ]
    table = trident(*words, "--prefix", "customers").stdout
    assert "1,000.00" in table
    assert "shop" not in table


def test_the_statement_of_a_period(books: Bank, trident: Trident) -> None:
    """As a table, CSV, JSON and PDF; a period by dates needs dates."""
    words = ("statement", "customers:ada", "--ledger", books.ledger.name)
    dated = (*words, "--basis", "effective", "--until", "2026-03-01")
    table = trident(*dated).stdout
    assert "Opening balance" in table
    assert "-250.00" in table
    rows = list(csv.DictReader(io.StringIO(trident(*dated, "--format", "csv").stdout)))
    assert [(row["entry"], row["debit"], row["balance"]) for row in rows] == [
        ("opening", "", "0.00"),
        ("posting", "250.00", "-250.00"),
        ("closing", "250.00", "-250.00"),
    ]
    document = json.loads(trident(*words, "--since", "2026-01-01", "--json").stdout)
    assert document["totals"] == {"lines": 2, "debits": "250.00", "credits": "1250.00"}
    assert document["closing_balance"] == "1000.00"
    assert trident(*words, "--format", "pdf").stdout_bytes.startswith(b"%PDF-")
    assert "[red]cash" in trident(*words, "--since", "2026-01-01").stdout


def test_the_trial_balance(books: Bank, trident: Trident) -> None:
    """On two sides, with totals that are equal; as CSV without them."""
    words = ("report", "trial-balance", "--ledger", books.ledger.name)
    assert trident(*words, "--format", "csv").stdout.splitlines() == [
        "account,type,currency,debit,credit",
        "customers:ada,liability,EUR,0.00,1000.00",
        "shop:rent,expense,EUR,15.00,0.00",
        "shop:sales,income,EUR,0.00,40.00",
        "world,asset,EUR,1025.00,0.00",
    ]
    table = trident(*words).stdout
    assert "1,040.00" in table
    assert "EUR: it balances." in table
    document = json.loads(trident(*words, "--json", "--effective", "2026-01-31").stdout)
    assert document["totals"] == [
        {"currency": "EUR", "debit": "15.00", "credit": "15.00", "balanced": True}
    ]


def test_the_balance_sheet_and_the_income_statement(books: Bank, trident: Trident) -> None:
    """The current result of the one is the result of the other."""
    name = ("--ledger", books.ledger.name)
    sheet = trident("report", "balance-sheet", *name, "--format", "csv").stdout.splitlines()
    assert sheet[1:] == [
        "assets,world,EUR,1025.00",
        "liabilities,customers:ada,EUR,1000.00",
        "current result,,EUR,25.00",
    ]
    income = trident("report", "income-statement", *name, "--format", "csv").stdout.splitlines()
    assert income[1:] == [
        "income,shop:sales,EUR,40.00",
        "expenses,shop:rent,EUR,15.00",
        "result,,EUR,25.00",
    ]
    january = ("--basis", "effective", "--since", "2026-01-01", "--until", "2026-02-01")
    document = json.loads(trident("report", "income-statement", *name, *january, "--json").stdout)
    assert document["totals"][0]["result"] == "-15.00"
    assert "Balance sheet" in trident("report", "balance-sheet", *name).stdout
    table = trident("report", "income-statement", *name, *january).stdout
    assert "By effective date, from 2026-01-01 to before 2026-02-01:" in table


def test_what_waits_to_be_posted_is_said(books: Bank, trident: Trident) -> None:
    """Below the tables that it may change."""
    books.transfer("world", "customers:ada", 1)
    for words in (
        ["balances"],
        ["balances", "--depth", "1"],
        ["statement", "world", "--since", "2026-01-01"],
        ["report", "trial-balance"],
        ["report", "balance-sheet"],
        ["report", "income-statement"],
    ):
        assert "preliminary" in trident(*words, "--ledger", books.ledger.name).stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["balances", "--at", "2026-01-01", "--effective", "2026-01-01"], "not both"),
        (["balances", "--at", "yesterday"], "A time is written"),
        (["report", "trial-balance", "--effective", "2026-02-30"], "A date is written"),
        (["report", "income-statement", "--since", "x"], "A time is written"),
        (["statement", "world", "--basis", "effective", "--since", "2026-01-01T00"], "A date is"),
        (["statement", "world", "--since", "2026-02-01", "--until", "2026-01-01"], "ends before"),
        (["statement", "--all", "--format", "pdf"], "of one account"),
        (["statement", "nobody", "--format", "pdf"], "has no account 'nobody'"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    books: Bank, trident: Trident, words: list[str], message: str
) -> None:
    """Exit 2 and a sentence."""
    result = trident(*words, "--ledger", books.ledger.name)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_statement_that_is_too_large_is_refused(
    books: Bank, trident: Trident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do instead."""
    monkeypatch.setattr(period, "SORTED_MAX", 0)
    words = ("statement", "world", "--ledger", books.ledger.name, "--basis", "effective")
    result = trident(*words)
    assert result.exit_code == 2
    assert "basis=posting" in result.stderr
