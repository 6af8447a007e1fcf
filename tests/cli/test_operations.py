"""`trident operations` and `trident reindex`: what is in the log, found from a shell."""

import csv
import io
import json

import pytest

from pipeline.search.codes import SEGMENT
from tests.bank import Bank, transfer
from tests.cli.conftest import Trident


@pytest.fixture
def books(bank: Bank) -> Bank:
    """Two accounts, two payments of which one is refused, and a journal."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("shops:1")
    sale = {**transfer("world", "shops:1", 125_034), "description": "Order 8123 [bold]\x1b"}
    bank.submit("transfer", {**sale, "metadata": {"order": "8123"}}, key="sale")
    bank.submit("transfer", transfer("shops:1", "world", 10**9), key="refused")
    legs = [
        {"account": "shops:1", "direction": "debit", "amount": 100, "currency": "EUR"},
        {"account": "world", "direction": "credit", "amount": 100, "currency": "EUR"},
    ]
    bank.submit("journal", {"legs": legs, "description": "Fee"}, key="fee")
    bank.work()
    return bank


def keys(books: Bank, trident: Trident, *words: str) -> list[str]:
    """The idempotency keys of what a search prints as CSV."""
    result = trident("operations", "--ledger", books.ledger.name, *words, "--format", "csv")
    assert result.exit_code == 0, result.output
    return [row["idempotency_key"] for row in csv.DictReader(io.StringIO(result.stdout))]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["--kind", "transfer"], ["refused", "sale"]),
        (["--kind", "transfer", "--oldest"], ["sale", "refused"]),
        (["--kind", "transfer", "--limit", "1"], ["refused"]),
        (["--status", "rejected"], ["refused"]),
        (["--text", "ord* 8123"], ["sale"]),
        (["--metadata", "order=8123"], ["sale"]),
        (["--metadata", "order=8123", "--metadata", "x="], []),
        (["--amount", "100"], ["fee"]),
        (["--amount-min", "101", "--amount-max", "200000"], ["sale"]),
        (["--account", "shops:1"], ["fee", "sale"]),
        (["--prefix", "shops:", "--text", "fee"], ["fee"]),
        (["--until", "2000-01-01"], []),
        (["--since", "2000-01-01T00:00:00Z", "--kind", "journal", "--all"], ["fee"]),
    ],
)
def test_a_search_from_a_shell(
    books: Bank, trident: Trident, words: list[str], found: list[str]
) -> None:
    """The filters of the API, by the same names."""
    assert keys(books, trident, *words) == found


def test_an_operation_for_programs(books: Bank, trident: Trident) -> None:
    """Amounts are decimals, times are in UTC, and each member has a column."""
    name = books.ledger.name
    words = ("operations", "--ledger", name, "--amount", "125034", "--json")
    (shown,) = json.loads(trident(*words).stdout)
    assert shown.pop("operation").startswith("op_")
    assert shown.pop("accepted_at").endswith("Z")
    assert shown == {
        "position": 3,
        "kind": "transfer",
        "status": "posted",
        "rejection": None,
        "accounts": "world;shops:1",
        "amount": "1250.34",
        "currency": "EUR",
        "description": "Order 8123 [bold]\x1b",
        "idempotency_key": "sale",
        "submitted_by": "test",
    }


def test_operations_for_people(books: Bank, trident: Trident) -> None:
    """A table, in which nothing steers the terminal, and whether there is more."""
    name = books.ledger.name
    table = trident("operations", "--ledger", name).stdout
    assert "1,250.34 EUR" in table
    assert "insufficient_funds" in table
    assert "Order 8123 [bold]\N{REPLACEMENT CHARACTER}" in table
    assert "The first 1;" in trident("operations", "--ledger", name, "--limit", "1").stdout
    assert "no such operation" in trident("operations", "--ledger", name, "--text", "x").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--text", "a*"], "no index leads"),
        (["--text", "!"], "at least one word"),
        (["--metadata", "order"], "NAME=VALUE"),
        (["--metadata", "a=1", "--metadata", "a=2"], "one value"),
        (["--account", "nobody"], "no account 'nobody'"),
        (["--account", "a", "--prefix", "b"], "not both"),
        (["--prefix", "%"], "A prefix is"),
        (["--since", "yesterday"], "no time"),
        (["--amount", "0"], "range"),
        (["--amount", "5", "--amount-min", "1"], "not both"),
    ],
)
def test_a_search_that_cannot_be_made(
    books: Bank, trident: Trident, words: list[str], says: str
) -> None:
    """One sentence that says what to do, and status 2."""
    result = trident("operations", "--ledger", books.ledger.name, *words)
    assert result.exit_code == 2
    assert says in result.output


def test_the_index_is_made_anew(bank: Bank, trident: Trident) -> None:
    """It says how much of the log is in it; a short log has none."""
    bank.open("world", type="asset", overdraft="unlimited")
    result = trident("reindex", "--ledger", bank.ledger.name)
    assert "0 operations indexed" in result.stdout
    made = (bank.submission("transfer", transfer("world", "world", n + 1)) for n in range(SEGMENT))
    bank.accept(*made)
    bank.work()
    for _ in range(2):
        result = trident("reindex", "--ledger", bank.ledger.name)
        assert f"Ledger {bank.ledger.name}: {SEGMENT:,} operations indexed in" in result.stdout
    assert len(keys(bank, trident, "--status", "rejected", "--amount", "7")) == 1
