"""A ledger of its own for each test."""

import pytest

from tests.bank import Bank, new_ledger


@pytest.fixture
def bank(env: dict[str, str]) -> Bank:
    """An empty ledger."""
    return Bank(new_ledger())
