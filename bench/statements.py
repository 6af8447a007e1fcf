"""statements: a folder of a bank's accounts and operations, imported by the real commands.

The folder holds accounts.csv and operations.csv in the format of `trident import`, and
expected_statement.csv (idempotency_key, account, balance_after) with what must come out.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path

from bench.figures import Figures
from bench.measure import TENANT, new_ledger

TRIDENT = (sys.executable, "-m", "cli.main")


def statements(folder: Path | None) -> Figures:
    """Seconds for accounts and operations together, and how many statement lines differ."""
    assert folder is not None, "say with --bank where the bank's files are"
    ledger = new_ledger("statements")
    start = time.perf_counter()
    run("accounts", "import", str(folder / "accounts.csv"), "--ledger", ledger.name)
    accounts_s = time.perf_counter() - start
    run("import", str(folder / "operations.csv"), "--ledger", ledger.name)
    total_s = time.perf_counter() - start
    printed = run("statement", "--all", "--ledger", ledger.name, "--format", "csv")
    lines = {
        (row["idempotency_key"], row["account"]): row["balance"]
        for row in csv.DictReader(printed.splitlines())
    }
    with (folder / "expected_statement.csv").open(newline="") as file:
        expected = list(csv.DictReader(file))
    wrong = sum(
        lines.get((row["idempotency_key"], row["account"])) != row["balance_after"]
        for row in expected
    )
    figures = {
        "operations": len(expected),
        "accounts_s": accounts_s,
        "total_s": total_s,
        "operations_per_s": len(expected) / (total_s - accounts_s),
        "statement_lines_wrong": wrong,
    }
    return Figures("statements", "statements: a bank's files, imported", {"import": figures})


def run(*arguments: str) -> str:
    """A `trident` command's standard output; its failure is ours."""
    command = [*TRIDENT, *arguments, "--tenant", str(TENANT)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    return done.stdout
