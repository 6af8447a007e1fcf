"""mixed and tenants: who pays by the piece while somebody else imports by the ton.

The import is the real command, `trident import`, in a process of its own, with its own window and
chunks. Single payments go through the API while it runs.
"""

import csv
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from bench.bulk import ACCOUNTS
from bench.figures import Figures
from bench.measure import Pair, new_ledger, open_accounts, reached, uniform
from bench.singles import singles
from models.ledger import LedgerRef

# The import first checks its file, then feeds: singles begin when its log has begun to grow.
LOOK_EVERY_S = 0.05
PAUSE_S = 0.05
IMPORT_WITHIN_S = 600.0
COLUMNS = ("idempotency_key", "kind", "source", "destination", "amount_minor", "currency")


def mixed(env: Mapping[str, str], rows: int) -> Figures:
    """Single payments on the imported ledger itself, and on another one of the same tenant."""
    cases = {}
    for case in ("same ledger", "another ledger"):
        imported = new_ledger("mixed")
        pair = first_pair(open_accounts(imported, ACCOUNTS))
        paying = imported if case == "same ledger" else new_ledger("mixed")
        if paying != imported:
            open_accounts(paying, 2)
        cases[case] = beside_import(env, imported, rows, paying, pair)
    notes = ["From before the request is sent; posted, notified: when the stage wrote its run."]
    title = f"mixed: single payments while {rows:,} rows are imported"
    return Figures("mixed", title, cases, notes)


def first_pair(codes: list[str]) -> Pair:
    """Two accounts that every ledger here has."""
    return codes[0], codes[1]


def beside_import(
    env: Mapping[str, str],
    imported: LedgerRef,
    rows: int,
    paying: LedgerRef,
    pair: Pair,
    token: str = "",
) -> dict[str, float]:
    """Latencies of single payments as long as an import runs, and the import's rate."""
    before = reached(imported, "accept")
    with importing(imported, rows) as running, singles(env, paying, pair, token) as client:
        while reached(imported, "accept") == before:
            assert running.poll() is None, "the import ended before it began to feed"
            time.sleep(LOOK_EVERY_S)
        began = time.time()
        while running.poll() is None:
            client.send()
            time.sleep(PAUSE_S)
        took = time.time() - began
        assert running.returncode == 0, f"the import ended with {running.returncode}"
        return {**client.latencies(), "import_rows_per_s": rows / took}


@contextmanager
def importing(ledger: LedgerRef, rows: int) -> Iterator["subprocess.Popen[bytes]"]:
    """`trident import` of so many transfers between the ledger's customers."""
    with tempfile.TemporaryDirectory(prefix="trident-bench-import-") as folder:
        path = Path(folder) / "transfers.csv"
        write_csv(path, rows)
        where = ("--ledger", ledger.name, "--tenant", str(ledger.tenant_id))
        command = [sys.executable, "-m", "cli.main", "import", str(path), *where]
        with Path(folder, "log").open("w+b") as log:
            running = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)  # noqa: S603
            try:
                yield running
            except BaseException:
                log.seek(0)
                sys.stderr.write(log.read().decode())
                raise
            finally:
                if running.poll() is None:
                    running.terminate()
                running.wait(IMPORT_WITHIN_S)


def write_csv(path: Path, rows: int) -> None:
    """Transfers of customers chosen at random."""
    codes = [f"customers:{number}" for number in range(1, ACCOUNTS + 1)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for number, (source, destination) in enumerate(islice(uniform(codes), rows)):
            writer.writerow((f"import-{number}", "transfer", source, destination, 100, "EUR"))
