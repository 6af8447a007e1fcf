"""The commands of docs/reports.md, docs/search.md and docs/reconciliation.md do as said there."""

import json
import shlex
from pathlib import Path

import pytest

from cli.importing import import_accounts, import_operations
from tests.api.written import ROOT
from tests.bank import Bank
from tests.cli.conftest import Trident
from tests.pages import commands, lay_books

NOT_RECONCILED = 3


def run(trident: Trident, bank: Bank, command: str) -> tuple[int, bytes]:
    """Exit code and standard output of a command of a page, in the ledger of the test."""
    words, _, file = command.removeprefix("trident ").partition(" > ")
    result = trident(*shlex.split(words), "--ledger", bank.ledger.name)
    assert "Traceback" not in result.output
    if file:
        Path(file).write_bytes(result.stdout_bytes)
    assert result.exit_code in (0, NOT_RECONCILED), f"{command}: {result.output}"
    return result.exit_code, result.stdout_bytes


@pytest.mark.parametrize(("page", "most"), [("reports.md", 7), ("search.md", 3)])
def test_the_commands_of_the_books_do(trident: Trident, bank: Bank, page: str, most: int) -> None:
    """Each ends well and prints something; what goes into a file is of its kind."""
    lay_books(bank)
    found = commands(page)
    assert len(found) >= most
    for command in found:
        code, printed = run(trident, bank, command)
        assert code == 0
        assert printed, command
        if command.endswith(".pdf"):
            assert printed.startswith(b"%PDF-")


@pytest.fixture
def folder(at_work: Bank, tmp_path: Path) -> Bank:
    """The books of examples/, at work, and a folder from which examples/ is seen."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    import_accounts(ROOT / "examples" / "accounts.csv", at_work.ledger)
    import_operations(
        ROOT / "examples" / "operations.csv",
        at_work.ledger,
        rejected_path=tmp_path / "rejected.csv",
    )
    return at_work


def test_the_commands_of_a_reconciliation_reconcile(trident: Trident, folder: Bank) -> None:
    """One after the other they reconcile the month; `op_…` is the posting that review shows."""
    found = commands("reconciliation.md")
    assert found
    codes = []
    for command in found:
        named = command
        if "op_…" in command:
            _, shown = run(trident, folder, "trident reconcile review world:banks --json")
            (left,) = [one for one in json.loads(shown) if one["side"] == "posting"]
            named = command.replace("op_…", left["number"])
        codes.append(run(trident, folder, named)[0])
    assert not any(codes), dict(zip(found, codes, strict=True))
