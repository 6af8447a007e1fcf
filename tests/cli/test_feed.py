"""What keeps an import waiting, cuts it off or mixes with it: it goes on, and doubles nothing."""

import threading
import time
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from cli.feed import Feed
from cli.importing import Report, Step, import_accounts, import_operations
from models.db import app_engine, intake_engine, make_engine
from tests.bank import Bank
from tests.cli.conftest import Trident, working
from tests.cli.sheets import ACCOUNTS, count, deposits, write


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
    for engine in (app_engine(), intake_engine()):
        engine.dispose()  # the next test must not meet a connection that was cut here
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
