"""A ledger of its own for each test."""

import pytest

from pipeline.through import through
from tests.bank import Bank, new_ledger


@pytest.fixture
def bank(env: dict[str, str]) -> Bank:
    """An empty ledger."""
    return Bank(new_ledger())


@pytest.fixture(params=["stage by stage", "through"])
def either(bank: Bank, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """An empty ledger, whose operations are worked in one of the two ways."""
    if request.param == "through":
        monkeypatch.setattr(bank, "work", lambda: through([bank.ledger]))
    return bank
