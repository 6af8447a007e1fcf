"""`trident import`: everything in the file, once, and each row with its outcome."""

import json
import os
from pathlib import Path

import pytest

from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.cli.sheets import ACCOUNTS, count, deposits, rejected_rows, write


def test_all_rows_are_posted(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """When it ends with 0 every row is posted, final and notified."""
    path = deposits(tmp_path / "ops.csv", 2500)
    result = trident("import", path, "--ledger", opened.ledger.name, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["rows"], report["accepted"], report["posted"]) == (2500, 2500, 2500)
    assert (report["already"], report["rejected"], report["rejected_file"]) == (0, {}, None)
    assert opened.balance("ada") == 2500
    (last,) = opened.rows("SELECT last_position(1, :ledger, 'notify')")
    assert last[0] == count(opened)
    assert not (tmp_path / "ops.csv.rejected.csv").exists()


def test_refused_rows_are_written_as_they_came(
    opened: Bank, trident: Trident, tmp_path: Path
) -> None:
    """Some refused: exit 3, and a file with each of these rows, its line, code and detail."""
    path = write(
        tmp_path / "ops.csv",
        "k1,transfer,world,ada,10.00,EUR",
        'k2,transfer,ada,bob,"10.01",EUR',
        "k3,transfer,ada,ada,1.00,EUR",
        "k4,transfer,ada,nobody,1.00,EUR",
        "k5,transfer,ada,bob,10.00,EUR",
    )
    result = trident("import", path, "--ledger", opened.ledger.name)
    assert result.exit_code == 3
    assert "3  rejected" in result.stdout
    rows = rejected_rows(tmp_path / "ops.csv.rejected.csv")
    assert [
        (row["idempotency_key"], row["rejected_line"], row["rejected_code"]) for row in rows
    ] == [
        ("k2", "3", "insufficient_funds"),
        ("k3", "4", "same_account"),
        ("k4", "5", "unknown_account"),
    ]
    assert rows[0]["amount"] == "10.01"
    assert json.loads(rows[0]["rejected_detail"]) == {
        "account": "ada",
        "available": 1000,
        "amount": 1001,
    }
    assert (opened.balance("ada"), opened.balance("bob")) == (0, 1000)


def test_corrected_rejected_rows_can_be_imported_as_they_are(
    opened: Bank, trident: Trident, tmp_path: Path
) -> None:
    """The columns that FILE.rejected.csv adds are passed over when it is imported itself."""
    path = write(tmp_path / "ops.csv", "k1,transfer,world,ada,0,EUR", "k2,transfer,world,ada,1,EUR")
    result = trident("import", path, "--ledger", opened.ledger.name, "--continue")
    assert result.exit_code == 3
    rejected = tmp_path / "ops.csv.rejected.csv"
    assert rejected_rows(rejected)[0]["rejected_code"] == "malformed"
    corrected = tmp_path / "corrected.csv"
    corrected.write_text(rejected.read_text().replace(",0,", ",7.00,"))
    result = trident("import", corrected, "--ledger", opened.ledger.name)
    assert result.exit_code == 0
    assert opened.balance("ada") == 800


def test_nothing_of_a_malformed_file_is_accepted(
    opened: Bank, trident: Trident, tmp_path: Path
) -> None:
    """Exit 2, every fault with line and column, and the log is as it was."""
    before = count(opened)
    path = write(
        tmp_path / "ops.csv",
        "k1,transfer,world,ada,10.00,EUR",
        "k2,transfer,world,ada,1.005,EUR",
        "k3,transfer,world,,1.00,EUR",
    )
    result = trident("import", path, "--ledger", opened.ledger.name)
    assert result.exit_code == 2
    assert "ops.csv: line 3, column 5 (amount): 1.005 has 3 decimals; EUR has 2." in result.stderr
    assert "ops.csv: line 4, column 4 (destination): Missing data" in result.stderr
    assert "Nothing was accepted." in result.stderr
    assert count(opened) == before


def test_a_repeated_import_changes_nothing(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """The second run finds every row in the log, and reports the same outcomes."""
    path = write(
        tmp_path / "ops.csv",
        *(f"k{n},transfer,world,ada,0.01,EUR" for n in range(1500)),
        "x,transfer,ada,bob,99.00,EUR",
    )
    words = ("import", path, "--ledger", opened.ledger.name, "--json")
    first, rejected = json.loads(trident(*words).stdout), tmp_path / "ops.csv.rejected.csv"
    kept, rows = rejected.read_bytes(), count(opened)
    result = trident(*words)
    second = json.loads(result.stdout)
    assert result.exit_code == 3
    assert (second["accepted"], second["already"]) == (0, first["accepted"])
    assert (second["posted"], second["rejected"]) == (first["posted"], first["rejected"])
    assert rejected.read_bytes() == kept
    assert count(opened) == rows


def test_an_old_file_of_refused_rows_does_not_outlive_a_clean_import(
    opened: Bank, trident: Trident, tmp_path: Path
) -> None:
    """Whoever finds FILE.rejected.csv may believe that it belongs to the last import."""
    path = write(tmp_path / "ops.csv", "k1,transfer,ada,bob,5.00,EUR")
    assert trident("import", path, "--ledger", opened.ledger.name).exit_code == 3
    write(path, "k2,transfer,world,ada,5.00,EUR")
    assert trident("import", path, "--ledger", opened.ledger.name).exit_code == 0
    assert sorted(p.name for p in tmp_path.glob("ops*")) == ["ops.csv"]


def test_a_key_of_other_content_is_refused(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """The row is reported with the members that differ; the others go on."""
    path = write(tmp_path / "ops.csv", "k1,transfer,world,ada,1.00,EUR")
    assert trident("import", path, "--ledger", opened.ledger.name).exit_code == 0
    write(path, "k1,transfer,world,bob,2.00,EUR", "k2,transfer,world,bob,1.00,EUR")
    assert trident("import", path, "--ledger", opened.ledger.name).exit_code == 3
    (row,) = rejected_rows(tmp_path / "ops.csv.rejected.csv")
    assert (row["idempotency_key"], row["rejected_code"]) == ("k1", "idempotency_key_reused")
    assert json.loads(row["rejected_detail"]) == {"differing": ["amount", "destination"]}
    assert (opened.balance("ada"), opened.balance("bob")) == (100, 100)


def test_ndjson_from_standard_input_is_imported(opened: Bank, trident: Trident) -> None:
    """Journals and all other kinds come as the API takes them, also through a pipe."""
    legs = [
        {"account": "world", "direction": "debit", "amount": 300, "currency": "EUR"},
        {"account": "ada", "direction": "credit", "amount": 200, "currency": "EUR"},
        {"account": "bob", "direction": "credit", "amount": 100, "currency": "EUR"},
    ]
    lines = [
        {"idempotency_key": "j1", "kind": "journal", "legs": legs},
        {"idempotency_key": "j2", "kind": "freeze_account", "account": "bob"},
    ]
    stdin = "\n".join(map(json.dumps, lines))
    result = trident("import", "-", "--ledger", opened.ledger.name, stdin=stdin)
    assert result.exit_code == 0, result.output
    assert "2 rows of standard input" in result.stdout.replace("\x1b", "")
    assert (opened.balance("ada"), opened.balance("bob")) == (200, 100)


def test_an_account_is_opened_once(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """The same row again is the same operation; another row for the code is refused."""
    path = tmp_path / "more.csv"
    path.write_text(ACCOUNTS + "eve,liability,EUR,unlimited\n")
    result = trident("accounts", "import", path, "--ledger", opened.ledger.name, "--json")
    report = json.loads(result.stdout)
    assert (result.exit_code, report["accepted"], report["already"]) == (0, 1, 3)
    path.write_text(ACCOUNTS.replace("ada,liability", "ada,asset"))
    result = trident("accounts", "import", path, "--ledger", opened.ledger.name, "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["rejected"] == {"account_exists": 1}


def test_the_log_says_who_imported(opened: Bank) -> None:
    """The principal of each operation is the user at this machine, as an admin."""
    (principal,) = opened.rows(
        "SELECT principal FROM operations WHERE ledger_id = :ledger AND position = 1"
    )[0]
    assert principal["roles"] == ["admin"]
    assert principal["sub"].startswith("cli:")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ledger", "nope"], "Tenant default has no ledger 'nope'. It has: "),
        (["--tenant", "4711"], "Tenant 4711 has no ledger 'main'. It has none, or does not exist."),
        (["--tenant", "nobody"], "No tenant 'nobody' is known. Give its number"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(
    trident: Trident, tmp_path: Path, words: list[str], message: str
) -> None:
    """Exit 2, no traceback, and what to do instead."""
    result = trident("import", deposits(tmp_path / "ops.csv", 1), *words)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_noticed_first(
    bank: Bank, trident: Trident, tmp_path: Path
) -> None:
    """Nothing is accepted when refused rows could not be written down."""
    folder = tmp_path / "readonly"
    folder.mkdir()
    path = deposits(folder / "ops.csv", 1)
    folder.chmod(0o500)
    result = trident("import", path, "--ledger", bank.ledger.name)
    assert result.exit_code == 2
    assert "the rejected rows cannot be written" in result.stderr
    assert count(bank) == 0


def test_what_is_no_file_is_never_replaced(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """Root could put a file in the place of /dev/null: a pipe or a device is refused at once."""
    path = deposits(tmp_path / "ops.csv", 1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    before = count(opened)
    result = trident("import", path, "--ledger", opened.ledger.name, "--rejected", pipe)
    assert result.exit_code == 2
    assert "this is no file" in result.stderr
    assert pipe.is_fifo()
    assert count(opened) == before
