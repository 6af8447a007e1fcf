"""`trident accounts`: open accounts from a file."""

from pathlib import Path
from typing import Any

import click

from cli.asking import DataCommand
from cli.import_ import FILE, import_options, run_import
from cli.importing import import_accounts
from cli.rows import ACCOUNTS


@click.group()
def accounts() -> None:
    """Open accounts from a CSV file."""


@accounts.command("import", cls=DataCommand)
@click.argument("file", type=FILE)
@import_options
def import_(file: Path, **options: Any) -> None:
    """Open the accounts in FILE (CSV; - is standard input).

    \b
    code,type,currency,overdraft
    customers:42,liability,USD,none
    merchants:7,liability,USD,500.00
    world:cash,asset,USD,unlimited

    `type` is asset, liability, equity, income or expense; `overdraft` is none, unlimited or an
    amount; columns `name` and `metadata` (a JSON object) may follow. A row that was imported before
    is the same operation again and changes nothing.

    \b
    Exit codes: 0 all opened; 3 some rejected; 2 FILE is malformed and nothing was accepted;
    1 the database failed; 130 interrupted.
    """
    run_import(import_accounts, ACCOUNTS, file, **options)
