"""`trident reconcile`, on the bakery's October: three kinds of statement say the same."""

import csv
import io
import json
from pathlib import Path

import pytest

from cli.importing import import_accounts, import_operations
from cli.stack.root import ROOT
from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.cli.sheets import count

EXAMPLES = ROOT / "examples"
ACCOUNT = "world:banks"


@pytest.fixture
def bakery(at_work: Bank, tmp_path: Path) -> Bank:
    """The books of October, at work."""
    import_accounts(EXAMPLES / "accounts.csv", at_work.ledger)
    import_operations(
        EXAMPLES / "operations.csv", at_work.ledger, rejected_path=tmp_path / "rejected.csv"
    )
    return at_work


def test_the_month_is_closed(bakery: Bank, trident: Trident) -> None:
    """Import, match, review, book, set aside: then it is reconciled, and the books prove."""
    of = (ACCOUNT, "--ledger", bakery.ledger.name)
    taken = trident("reconcile", "import", *of, EXAMPLES / "statement.camt053.xml")
    assert taken.output == "Statement 1, 2026-10-01 to 2026-10-31: 19 lines.\n"
    matched = json.loads(trident("reconcile", "match", *of, "--json").stdout)
    assert matched["by_rule"]["reference"] == 8
    assert matched["by_rule"]["amount_and_date"] == 8
    assert matched["by_rule"]["sum"] == 1
    assert matched["lines_left"] == 2
    left = json.loads(trident("reconcile", "review", *of, "--json").stdout)
    assert [(one["side"], one["amount"]) for one in left] == [
        ("line", "-12.00"),
        ("line", "0.83"),
        ("posting", "-35.16"),
    ]
    open_ = trident("reconcile", "status", *of)
    assert (open_.exit_code, "Not reconciled yet." in open_.output) == (3, True)
    for one, other in (("18", "income:account-fees"), ("19", "income:account-fees")):
        booked = trident("reconcile", "book", *of, "--line", one, "--against", other)
        again = trident("reconcile", "book", *of, "--line", one, "--against", other)
        assert booked.exit_code == 0, booked.output
        assert booked.output == again.output
    posting = left[2]["number"]
    words = ("--posting", posting, "--ignore", "The bank books it in November")
    assert trident("reconcile", "match", *of, *words).exit_code == 0
    status = trident("reconcile", "status", *of, "--json")
    shown = json.loads(status.stdout)
    assert (status.exit_code, shown["reconciled"]) == (0, True)
    assert (shown["statement_balance"], shown["difference"]) == (-630_138, -3_516)
    verified = trident("verify", "--ledger", bakery.ledger.name)
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize("form", ["csv", "ofx", "camt.053"])
def test_three_kinds_of_file_say_the_same(bakery: Bank, trident: Trident, form: str) -> None:
    """The same matches come of each; a file again changes nothing."""
    of = (ACCOUNT, "--ledger", bakery.ledger.name)
    mapping = EXAMPLES / "statement-mapping.json"
    trident("reconcile", "mapping", "bakery", mapping, "--ledger", bakery.ledger.name)
    name = {"csv": "statement.csv", "ofx": "statement.ofx"}.get(form, "statement.camt053.xml")
    words = ("--mapping", "bakery") if form == "csv" else ()
    first = trident("reconcile", "import", *of, EXAMPLES / name, *words, "--json")
    assert json.loads(first.stdout)["statements"][0]["lines"] == 19
    again = trident("reconcile", "import", *of, EXAMPLES / name, *words, "--json")
    assert json.loads(again.stdout)["replayed"]
    matched = json.loads(trident("reconcile", "match", *of, "--json").stdout)
    assert sum(matched["by_rule"].values()) == 17
    shown = json.loads(trident("reconcile", "status", *of, "--json").stdout)
    assert shown["statement_balance"] == -630_138
    assert shown["statement_balance_known"]


def test_an_export_holds_no_formulas(bakery: Bank, trident: Trident, tmp_path: Path) -> None:
    """What a stranger wrote into a payment is text in a spreadsheet, and stays so in a terminal."""
    of = (ACCOUNT, "--ledger", bakery.ledger.name)
    path = tmp_path / "evil.csv"
    path.write_text(
        'Date,Amount,Text\n2026-10-05,1.00,"=HYPERLINK(""x"")"\n2026-10-06,2.00,[red]\x1b[2J'
    )
    mapping = tmp_path / "mapping.json"
    columns = {"booking_date": "Date", "amount": "Amount", "description": "Text"}
    mapping.write_text(json.dumps({"columns": columns}))
    trident("reconcile", "mapping", "evil", mapping, "--ledger", bakery.ledger.name)
    taken = trident("reconcile", "import", *of, path, "--mapping", "evil")
    assert taken.exit_code == 0, taken.output
    printed = trident("reconcile", "review", *of, "--format", "csv").stdout
    texts = [row["text"] for row in csv.DictReader(io.StringIO(printed)) if row["side"] == "line"]
    assert texts == ['\'=HYPERLINK("x")', "[red][2J"]
    assert "\x1b" not in trident("reconcile", "review", *of).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("import", ACCOUNT, "nothing.csv"), "nothing.csv"),
        (("import", "nobody", EXAMPLES / "statement.ofx"), "has no account 'nobody'"),
        (("import", ACCOUNT, EXAMPLES / "statement.csv"), "by which mapping"),
        (("import", ACCOUNT, EXAMPLES / "statement.csv", "--mapping", "x"), "no mapping 'x'"),
        (("import", "world:banks-eur", EXAMPLES / "statement.ofx"), "in USD, the account"),
        (("match", ACCOUNT, "--line", "9"), "Line 9 is not one of this account"),
        (("match", ACCOUNT, "--posting", "op_1"), "op_1 names 0 postings"),
        (("match", ACCOUNT, "--undo", "4"), "has no match 4"),
        (("book", ACCOUNT, "--line", "9", "--against", "x"), "Line 9 is not one"),
    ],
)
def test_what_cannot_be_done_is_said(
    bakery: Bank, trident: Trident, words: tuple[str, ...], says: str
) -> None:
    """Exit 2 and a sentence that says why; nothing is stored."""
    operations = count(bakery)
    result = trident("reconcile", *words, "--ledger", bakery.ledger.name)
    assert result.exit_code == 2, result.output
    assert says in result.output
    assert count(bakery, "external_lines") == 0
    assert count(bakery) == operations
