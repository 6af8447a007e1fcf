"""What the planner is made to believe: a ledger that statistics have not seen is worked as fast."""

import pytest
from sqlalchemy import text

from models.db import make_engine
from tests.bank import Bank, new_ledger

LOOKUPS = {
    "accounts_pkey": "SELECT ctid FROM accounts WHERE ledger_id = :ledger AND number = 5",
    "accounts_tenant_id_ledger_id_code_key": "SELECT * FROM accounts"
    " WHERE ledger_id = :ledger AND code = ANY('{a,b,c}')",
    "postings_tenant_id_ledger_id_position_leg_key": "SELECT * FROM postings"
    " WHERE ledger_id = :ledger AND position = 5",
    "date_shifts_pkey": "SELECT sum(arriving) FROM date_shifts"
    " WHERE ledger_id = :ledger AND account = 5 AND date <= '2026-01-01'",
    "postings_tenant_id_ledger_id_account_pending_version_key": "SELECT * FROM postings"
    " WHERE ledger_id = :ledger AND account = 5 AND NOT pending AND version = 7",
}


@pytest.fixture(scope="module")
def analyzed(module_env: dict[str, str]) -> Bank:
    """A ledger with a thousand accounts and postings, seen by ANALYZE."""
    bank = Bank(new_ledger())
    bank.open("world", type="asset", overdraft="unlimited")
    bank.accept(*(bank.submission("open_account", _opening(n)) for n in range(1000)))
    bank.accept(*(bank.submission("transfer", _payment(n)) for n in range(1000)))
    bank.accept(*(bank.submission("transfer", _dated(n)) for n in range(1000)))
    bank.work()
    url = module_env["TRIDENT_OWNER_DATABASE_URL"]
    owner = make_engine(url, statement_timeout_ms=30_000, trusted=True)
    with owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE accounts, postings, date_shifts"))
    owner.dispose()
    return bank


@pytest.mark.parametrize("index", LOOKUPS)
def test_a_new_ledger_is_looked_up_by_the_right_index(analyzed: Bank, index: str) -> None:
    """After ANALYZE, rows of a ledger that it has not seen are found by the whole key."""
    plan = Bank(new_ledger()).rows(f"EXPLAIN {LOOKUPS[index]}")
    assert any(f"using {index}" in row[0] or f"on {index}" in row[0] for row in plan), plan
    assert not any("Filter: (" in row[0] and "One-Time" not in row[0] for row in plan), plan


def _opening(number: int) -> dict[str, object]:
    return {"code": f"a:{number}", "type": "liability", "currency": "EUR", "overdraft": 0}


def _payment(number: int) -> dict[str, object]:
    return {"source": "world", "destination": f"a:{number}", "amount": 1, "currency": "EUR"}


def _dated(number: int) -> dict[str, object]:
    return {**_payment(number), "effective_date": "2026-01-01"}
