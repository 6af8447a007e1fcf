"""`trident import`: everything in the file, once, and each row with its outcome."""

import csv
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cli.feed import Feed
from cli.importing import Report, Step, import_accounts, import_operations
from models.db import make_engine
from tests.bank import Bank
from tests.cli.conftest import Trident, working

HEADER = "idempotency_key,kind,source,destination,amount,currency"
ACCOUNTS = """code,type,currency,overdraft
world,asset,EUR,unlimited
ada,liability,EUR,none
bob,liability,EUR,5.00
"""


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    """A CSV file."""
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def deposits(path: Path, count: int, name: str = "d") -> Path:
    """A file of deposits of one cent, all of which will be posted."""
    return write(path, *(f"{name}{n},transfer,world,ada,0.01,EUR" for n in range(count)))


def rejected_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a file of refused rows."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def count(bank: Bank, table: str = "operations") -> int:
    """The rows of the ledger in a table."""
    return int(bank.rows(f"SELECT count(*) FROM {table} WHERE ledger_id = :ledger")[0][0])


@pytest.fixture
def opened(at_work: Bank, tmp_path: Path) -> Bank:
    """A ledger at work with three accounts, opened from a file."""
    path = tmp_path / "accounts.csv"
    path.write_text(ACCOUNTS)
    assert import_accounts(path, at_work.ledger).posted == 3
    return at_work


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
    assert "3  refused" in result.stdout
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


class Stopped(Exception):
    """The test has interrupted the import."""


@pytest.mark.parametrize("at", [1, 1000, 2400])
def test_an_interrupted_import_goes_on_without_doubling(
    opened: Bank, tmp_path: Path, at: int
) -> None:
    """Wherever it stopped, the next run offers all rows and the log takes each once."""
    path = deposits(tmp_path / "ops.csv", 2500)

    def stop(step: Step) -> None:
        if step.counts.known >= at:
            raise Stopped

    with pytest.raises(Stopped):
        import_operations(path, opened.ledger, on_step=stop)
    report = import_operations(path, opened.ledger)
    assert report.accepted + report.already == report.posted == 2500
    assert report.already >= at
    assert opened.balance("ada") == 2500


def test_ctrl_c_says_how_to_go_on(
    opened: Bank, trident: Trident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 130, with what is accepted so far; no file of refused rows is left half written."""
    path = write(tmp_path / "ops.csv", "k1,transfer,ada,bob,5.00,EUR")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Feed, "_settle", interrupted)
    result = trident("import", path, "--ledger", opened.ledger.name)
    assert result.exit_code == 130
    assert "Interrupted. 1 accepted so far; run the same command again to go on." in result.stderr
    assert sorted(p.name for p in tmp_path.glob("ops*")) == ["ops.csv"]


def test_no_more_than_the_window_is_unposted(bank: Bank, tmp_path: Path) -> None:
    """Without workers the import accepts as much as the window holds, and waits with the rest."""
    with working(bank.ledger):
        path = tmp_path / "accounts.csv"
        path.write_text(ACCOUNTS)
        import_accounts(path, bank.ledger)
    reports: list[Report] = []
    seen: list[Step] = []
    path = deposits(tmp_path / "ops.csv", 500)

    def run() -> None:
        options: dict[str, Any] = {"window": 70, "on_step": seen.append}
        reports.append(import_operations(path, bank.ledger, **options))

    thread = threading.Thread(target=run)
    thread.start()
    deadline = time.monotonic() + 20
    while not (seen and seen[-1].counts.waiting_s > 0.2):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert count(bank) == 3 + 69  # three chunks of 23
    with working(bank.ledger):
        thread.join()
    assert reports[0].posted == 500


def test_operations_of_others_are_not_counted(opened: Bank, tmp_path: Path) -> None:
    """Positions between those of the import belong to somebody else, refused or posted."""
    path = deposits(tmp_path / "ops.csv", 2000)
    stop = threading.Event()
    singles = 0

    def others() -> None:
        nonlocal singles
        while not stop.wait(0.01):
            opened.transfer("ada", "nobody", 1)
            singles += 1

    thread = threading.Thread(target=others)
    thread.start()
    try:
        report = import_operations(path, opened.ledger, window=300)
    finally:
        stop.set()
        thread.join()
    assert singles > 0
    assert (report.accepted, report.posted, report.rejected) == (2000, 2000, {})


def test_a_lost_connection_is_made_again(opened: Bank, env: dict[str, str], tmp_path: Path) -> None:
    """Whatever was under way when Postgres ended its connections is done once."""
    path = deposits(tmp_path / "ops.csv", 3000)
    killed = 0

    def kill(step: Step) -> None:
        nonlocal killed
        if step.counts.known >= 1000 * (killed + 1) and killed < 2:
            killed += 1
            end_connections(env["TRIDENT_DATABASE_URL"])

    report = import_operations(path, opened.ledger, on_step=kill)
    assert killed == 2
    assert report.accepted + report.already == report.posted == 3000
    assert opened.balance("ada") == 3000


def end_connections(url: str) -> None:
    """End every connection of the application's role, as a restart of Postgres would."""
    connection = psycopg2.connect(url)
    connection.cursor().execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND usename = current_user"
    )
    connection.close()


def test_a_database_that_stays_away_ends_the_import(
    opened: Bank, trident: Trident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After some seconds of trying: exit 1, what is accepted, and how to go on."""
    away = make_engine("postgresql://trident_app:x@127.0.0.1:1/trident", statement_timeout_ms=1)
    monkeypatch.setattr("cli.importing.app_engine", lambda: away)
    monkeypatch.setattr("cli.feed.DATABASE_AWAY_MAX_S", 0.2)
    monkeypatch.setattr("cli.feed.RETRY_S", 0.05)
    path = deposits(tmp_path / "ops.csv", 1)
    result = trident("import", path, "--ledger", opened.ledger.name)
    assert result.exit_code == 1
    assert "The database is away: " in result.stderr
    assert "0 accepted so far; run the same command again to go on." in result.stderr


def test_an_import_that_nobody_works_says_so(
    bank: Bank, trident: Trident, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While nothing is posted there is a hint where to look; then it goes on by itself."""
    monkeypatch.setattr("cli.bar.STANDSTILL_S", 0.2)
    path = tmp_path / "accounts.csv"
    path.write_text(ACCOUNTS)
    late = threading.Timer(1.0, bank.work)
    late.start()
    result = trident("accounts", "import", path, "--ledger", bank.ledger.name)
    late.join()
    assert result.exit_code == 0
    assert "Do the workers run? `trident status` knows." in " ".join(result.stderr.split())


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
    assert "the refused rows cannot be written" in result.stderr
    assert count(bank) == 0
