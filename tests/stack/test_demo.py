"""`trident demo` and the files that it rests on."""

import csv
import os
import subprocess
import sys

from cli.stack.home import Home
from cli.stack.root import ROOT


def test_the_demo_shows_a_month_and_stops(home: Home) -> None:
    """It posts all but two operations, names why, balances, verifies, and leaves no home behind."""
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(home.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "172  accepted",
        "170  posted",
        "1    currency_mismatch",
        "1    insufficient_funds",
        "it balances",
        "$ trident verify",
        "What people and programs did beside the books",
        "Done.",
    ):
        assert line in done.stdout
    assert list(home.root.iterdir()) == []


def test_the_example_names_only_accounts_that_it_opens() -> None:
    """Each source and destination of the example operations is one of its accounts."""
    accounts, operations = (_rows(name) for name in ("accounts.csv", "operations.csv"))
    codes = {row["code"] for row in accounts}
    assert {row[side] for row in operations for side in ("source", "destination")} <= codes
    assert len({row["idempotency_key"] for row in operations}) == len(operations)


def _rows(name: str) -> list[dict[str, str]]:
    with (ROOT / "examples" / name).open(newline="") as file:
        return list(csv.DictReader(file))
