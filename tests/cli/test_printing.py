"""CSV of every command: amounts stay numbers, and no text is a formula."""

import csv
import io

import pytest

from cli.printing import print_csv
from tests.bank import Bank, transfer
from tests.cli.conftest import Trident

EVIL = '=HYPERLINK("http://example.com")'


def test_amounts_stay_numbers_and_texts_are_no_formulas(capsys: pytest.CaptureFixture[str]) -> None:
    """A sign alone makes no formula of a number."""
    print_csv(("a", "b", "c", "d"), [("-12.50", -3, EVIL, None), ("-12.50-1", "@x", "", "x")])
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[1:] == [["-12.50", "-3", f"'{EVIL}", ""], ["'-12.50-1", "'@x", "", "x"]]


def test_what_strangers_wrote_is_no_formula_in_any_list(bank: Bank, trident: Trident) -> None:
    """Descriptions, keys and names, by every command that prints them as CSV."""
    bank.open("world", type="asset", overdraft="unlimited", name=EVIL)
    bank.open("a", name=EVIL)
    bank.submit("transfer", {**transfer("world", "a", 100), "description": EVIL}, key="=key")
    bank.work()
    of = ("--ledger", bank.ledger.name, "--format", "csv")
    for words in (("statement",), ("operations",), ("report", "trial-balance"), ("balances",)):
        printed = trident(*words, *of).stdout
        cells = [cell for row in csv.reader(io.StringIO(printed)) for cell in row]
        assert not [cell for cell in cells if cell.startswith("=")], words
