"""Real bank statements, through the real commands and processes, reproduced to the haléř.

The data (24,178 transactions of a Czech bank, PKDD'99 Discovery Challenge) is not part of the
project; where it does not lie beside the checkout, these tests are skipped.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from cli import stack
from cli.stack.root import ROOT
from tests.conftest import copy_home, temporary_home

DATA = ROOT.parent / "shared" / "data" / "czech-bank"
PATIENCE_S = 120
# The first import is killed when so much is accepted: in the middle of everything.
KILLED_AFTER = 5_000

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA.name} is not beside the checkout")


@pytest.fixture(scope="module")
def running(template: Path) -> Iterator[dict[str, str]]:
    """The whole stack, as `trident run` starts it; its environment."""
    with pytest.MonkeyPatch.context() as monkeypatch, temporary_home() as home:
        for name in [name for name in os.environ if name.startswith("TRIDENT_")]:
            monkeypatch.delenv(name)
        copy_home(template, home)
        with stack.start(home, any_ports=True) as env:
            yield {**os.environ, **env, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the data, beside which refused rows could be written."""
    folder = tmp_path_factory.mktemp("bank")
    for path in DATA.glob("*.csv"):
        shutil.copyfile(path, folder / path.name)
    return folder


def start(env: dict[str, str], folder: Path, *words: str) -> "subprocess.Popen[str]":
    """Start `trident` with these words in the folder of the data."""
    command = [sys.executable, "-m", "cli.main", *words]
    return subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, text=True)


def trident(env: dict[str, str], folder: Path, *words: str) -> str:
    """What `trident` prints when it has ended well."""
    process = start(env, folder, *words)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return output


def accepted(env: dict[str, str]) -> int:
    """How long the log of the ledger `main` is."""
    connection = psycopg2.connect(env["TRIDENT_DATABASE_URL"])
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('trident.tenant', '1', true)")
        cursor.execute("SELECT last_position(1, 1, 'accept')")
        row = cursor.fetchone()
    connection.close()
    assert row is not None
    return int(row[0])


@pytest.fixture(scope="module")
def imported(running: dict[str, str], folder: Path) -> dict[str, str]:
    """The stack with the bank's books in it: imported, killed on the way, and imported again."""
    accounts = json.loads(trident(running, folder, "accounts", "import", "accounts.csv", "--json"))
    assert (accounts["rows"], accounts["posted"]) == (642, 642)
    first = start(running, folder, "import", "operations.csv")
    deadline = time.monotonic() + PATIENCE_S
    while accepted(running) < KILLED_AFTER:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first.kill()
    first.communicate()
    report = json.loads(trident(running, folder, "import", "operations.csv", "--json"))
    assert report["already"] >= KILLED_AFTER - 642
    assert report["accepted"] + report["already"] == report["posted"] == 24_178
    return running


def read(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_line_has_the_balance_that_the_bank_published(
    imported: dict[str, str], folder: Path
) -> None:
    """All 24,178 balances after a transaction are the bank's own, in the bank's order."""
    printed = trident(imported, folder, "statement", "--all", "--format", "csv")
    lines = list(csv.DictReader(printed.splitlines()))
    assert len(lines) == 2 * 24_178
    ours = [
        (int(line["position"]), line["idempotency_key"], line["account"], line["balance"])
        for line in lines
    ]
    customers = sorted(line for line in ours if line[2].startswith("customers:"))
    bank = read(folder / "expected_statement.csv")
    assert [line[1:] for line in customers] == [
        (row["idempotency_key"], row["account"], row["balance_after"]) for row in bank
    ]


def test_every_customer_ends_with_the_balance_that_the_bank_published(
    imported: dict[str, str], folder: Path
) -> None:
    """All last balances of the 624 customers are the bank's own."""
    printed = trident(imported, folder, "balances", "--prefix", "customers:", "--format", "csv")
    ours = {row["account"]: row["balance"] for row in csv.DictReader(printed.splitlines())}
    bank = {row["account"]: row["balance"] for row in read(folder / "expected_balances.csv")}
    assert len(bank) == 624
    assert ours == bank


def test_the_books_of_the_bank_are_proved(imported: dict[str, str], folder: Path) -> None:
    """Log, postings, balances, blocks and the kept head fit, and the replay gives the same."""
    document = json.loads(trident(imported, folder, "verify", "--json"))
    assert [check for check in document["ledgers"][0]["checks"] if not check["made"]] == []
    assert document["ok"]
