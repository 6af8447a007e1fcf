"""Files to import, and what is left of them."""

import csv
from pathlib import Path

from tests.bank import Bank

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
