"""`trident status` and `trident sweep`: how far it is, and a push."""

import json

import pytest

from models.settings import settings
from tasks.ring import broker
from tests.bank import Bank
from tests.cli.conftest import Trident


@pytest.fixture
def lagging(bank: Bank) -> Bank:
    """A ledger whose last two operations nobody has worked."""
    bank.fund("a", 100)
    bank.transfer("world", "a", 1)
    bank.transfer("world", "a", 2)
    return bank


def test_status_counts_what_each_stage_has_left(lagging: Bank, trident: Trident) -> None:
    """Positions, lags, how long the oldest waits, and what was posted in the last minute."""
    result = trident("status", "--json")
    assert result.exit_code == 0
    document = json.loads(result.stdout)
    (ledger,) = [x for x in document["ledgers"] if x["ledger"] == lagging.ledger.name]
    assert ledger["positions"]["accept"] == 5
    assert set(ledger["lag"].values()) == {2}
    assert 0 <= ledger["oldest_unposted_s"] < 60
    assert ledger["posted_last_minute"] == 3
    assert ledger["indexed"] == 0
    assert document["broker"] == "ok"
    assert document["workers"] == []


def test_status_for_people_is_one_line_a_ledger(lagging: Bank, trident: Trident) -> None:
    """Under each stage stands how many operations it is behind."""
    result = trident("status")
    (line,) = [x for x in result.stdout.splitlines() if x.startswith(f"{lagging.ledger.name} ")]
    assert line.split()[1:7] == ["5", "-2", "-2", "-2", "-2", "-2"]
    assert "Workers: none answers." in result.stdout


def test_status_is_told_while_the_broker_is_away(
    lagging: Bank, trident: Trident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The positions are Postgres': they are shown, and that the broker is away is said."""
    broker.cache_clear()
    monkeypatch.setenv("TRIDENT_BROKER_URL", "redis://127.0.0.1:1/0")
    settings.cache_clear()
    try:
        result = trident("status")
        swept = trident("sweep")
    finally:
        broker.cache_clear()
        settings.cache_clear()
    assert result.exit_code == 0
    assert lagging.ledger.name in result.stdout
    assert "The broker is away:" in result.stdout
    assert swept.exit_code == 1
    assert "The broker is away:" in swept.stderr


def test_sweep_rings_for_what_lags(lagging: Bank, trident: Trident) -> None:
    """It names each ledger that it rang for."""
    result = trident("sweep")
    assert result.exit_code == 0
    assert f"Rang for ledger {lagging.ledger.name} of tenant 1, up to 5." in result.stdout


def test_a_database_that_is_away_is_said_in_a_sentence(
    trident: Trident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 1, no traceback, and what to do."""
    from models import db  # noqa: PLC0415 - only here the engines are of another database

    monkeypatch.setenv("TRIDENT_DATABASE_URL", "postgresql://trident_app:x@127.0.0.1:1/trident")
    settings.cache_clear()
    engine = db.app_engine
    engine.cache_clear()
    try:
        result = trident("balances")
    finally:
        engine.cache_clear()
        settings.cache_clear()
    assert result.exit_code == 1
    assert "The database failed:" in result.stderr
    assert "Is the stack running?" in result.stderr
