"""`trident approvals`: what waits, for people and for programs."""

import csv
import io
import json

import pytest

from models.operation import show_id
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.cli.conftest import Trident

CLERK = canonical({"roles": ["submitter"], "sub": "clerk"})
ANN = canonical({"roles": ["approver"], "sub": "ann"})


@pytest.fixture
def waiting(bank: Bank) -> Accepted:
    """A payment of 20.00 EUR that ann has approved, and another one has not."""
    rule = {"name": "large", "currency": "EUR", "above": 1_000, "people": 2, "by_role": "approver"}
    bank.submit("set_approval", rule)
    body = {**transfer("a", "b", 2_000), "description": "Rent"}
    large = bank.submit("transfer", body, principal=CLERK)
    bank.submit("approve", {"target": show_id(large.id)}, principal=ANN)
    bank.work()
    return large


def test_programs_get_all_of_it(bank: Bank, waiting: Accepted, trident: Trident) -> None:
    """The same in CSV and JSON."""
    name = bank.ledger.name
    made = trident("approvals", "--ledger", name, "--format", "csv")
    (row,) = csv.DictReader(io.StringIO(made.stdout))
    assert row | {"submitted_at": ""} == {
        "operation": show_id(waiting.id),
        "position": str(waiting.position),
        "kind": "transfer",
        "amounts": "EUR:20.00",
        "description": "Rent",
        "submitted_by": "clerk",
        "submitted_at": "",
        "rule": "large",
        "by_role": "approver",
        "approved_by": "ann",
        "missing": "1",
        "expires_at": "",
    }
    (same,) = json.loads(trident("approvals", "--ledger", name, "--json").stdout)
    assert {column: str(value) for column, value in same.items()} == row


def test_people_see_what_they_need(bank: Bank, waiting: Accepted, trident: Trident) -> None:
    """A line for each; or that nothing waits."""
    name = bank.ledger.name
    shown = trident("approvals", "--ledger", name).stdout
    assert all(word in shown for word in (show_id(waiting.id), "EUR:20.00", "Rent", "clerk", "ann"))
    bank.submit("refuse", {"target": show_id(waiting.id)}, principal=ANN)
    bank.work()
    shown = trident("approvals", "--ledger", name).stdout
    assert shown == f"Nothing waits for approvals in ledger {name}.\n"
