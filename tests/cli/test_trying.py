"""`trident import --dry-run`: what would come of a file, and nothing comes of it."""

import json
from pathlib import Path

from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.cli.sheets import count, deposits, write


def test_a_file_is_tried(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """Each rejected row with its line, its code and why; exit 3, and nothing was accepted."""
    path = write(
        tmp_path / "ops.csv",
        "k1,transfer,world,ada,10.00,EUR",
        "k2,transfer,ada,bob,10.01,EUR",
        "k3,transfer,ada,ada,1.00,EUR",
        "k4,transfer,ada,bob,10.00,EUR",
    )
    before = count(opened)
    result = trident("import", path, "--ledger", opened.ledger.name, "--dry-run")
    assert result.exit_code == 3
    assert "2  would be posted" in result.stdout
    assert "2  would be rejected" in result.stdout
    assert "line 3, k2: insufficient_funds" in result.stdout
    assert "line 4, k3: same_account" in result.stdout
    assert count(opened) == before
    assert not (tmp_path / "ops.csv.rejected.csv").exists()


def test_a_file_that_would_pass(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """Exit 0; once it is imported, it would be accepted no more."""
    path = deposits(tmp_path / "ops.csv", 2500)
    options = ("--ledger", opened.ledger.name, "--json")
    tried = trident("import", path, *options, "--dry-run")
    assert (tried.exit_code, json.loads(tried.stdout)["statuses"]) == (0, {"posted": 2500})
    assert trident("import", path, *options).exit_code == 0
    again = trident("import", path, *options, "--dry-run")
    assert (again.exit_code, json.loads(again.stdout)["statuses"]) == (0, {"replayed": 2500})


def test_a_malformed_file(opened: Bank, trident: Trident, tmp_path: Path) -> None:
    """It is refused as an import refuses it; --continue tries the rest."""
    path = write(tmp_path / "ops.csv", "k1,transfer,world,ada,10.00,EUR", "k2,gift,world,ada,1,EUR")
    result = trident("import", path, "--ledger", opened.ledger.name, "--dry-run")
    assert result.exit_code == 2
    result = trident("import", path, "--ledger", opened.ledger.name, "--dry-run", "--continue")
    assert result.exit_code == 3
    assert "1  malformed" in result.stdout
