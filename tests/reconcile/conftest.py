"""A ledger with a bank account for each test."""

import pytest

from tests.bank import Bank, new_ledger
from tests.reconcile.desk import Desk


@pytest.fixture
def desk(env: dict[str, str]) -> Desk:
    """An empty reconciliation."""
    return Desk(Bank(new_ledger()))
