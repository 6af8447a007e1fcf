"""Workers, bells and the sweeper: whatever happens to messages, operations become final."""

import time
from pathlib import Path

from models.ledger import LedgerRef
from tasks.chain import AUDIT, NOTIFY, POST, describe, step
from tasks.ring import broker, publish, ring_now, ringer
from tasks.sweep import read_lagging, sweep
from tests.acceptance.test_crash_points import notified, prepare, until
from tests.bank import Bank, new_ledger


def test_a_ring_that_was_never_made_is_made_by_the_sweeper(bank: Bank) -> None:
    """An operation that nobody rang for is posted and notified all the same."""
    bank.open("world", type="asset", overdraft="unlimited")
    last = bank.open("a")
    until(lambda: notified(bank) >= last.position, "the sweeper has rung")


def test_a_flushed_broker_loses_nothing(bank: Bank) -> None:
    """FLUSHALL while bells wait costs a moment, and no operation."""
    prepare(bank)
    for _ in range(20):
        last = bank.transfer("a", "world", 1)
        ring_now({bank.ledger: last.position})
        broker().flushall()
    until(lambda: notified(bank) >= last.position, "all is notified after FLUSHALL")
    assert bank.balance("a") == 980


def test_doubled_and_reordered_bells_are_harmless(bank: Bank) -> None:
    """Bells rung many times, and stages called in the wrong order, have one effect."""
    prepare(bank)
    last = bank.transfer("a", "world", 1)
    bell = [list(bank.ledger)]
    for name in (NOTIFY, AUDIT, POST):
        step(name, bell, "backwards", careful=False).apply_async()
    for _ in range(10):
        publish({bank.ledger: last.position})
    until(lambda: notified(bank) >= last.position, "all is notified")
    assert bank.balance("a") == 999
    postings = bank.rows("SELECT FROM postings WHERE ledger_id = :ledger")
    assert len(postings) == 4


def test_a_bell_for_many_ledgers_works_each_of_them(workers: Path, env: dict[str, str]) -> None:
    """One bell carries up to fifty ledgers; sixty are rung with two."""
    banks = [Bank(new_ledger()) for _ in range(60)]
    last = {bank.ledger: bank.open("a").position for bank in banks}
    assert ring_now(last) == 60
    for bank in banks:
        until(lambda bank=bank: notified(bank) >= 1, "each ledger is notified")  # type: ignore[misc]


def test_a_waiting_bell_is_not_rung_twice(env: dict[str, str]) -> None:
    """A ledger for which a bell waits is skipped until the bell has been heard."""
    ledger = LedgerRef(1, 900_001, "waiting")
    assert [ring_now({ledger: 1}), ring_now({ledger: 2})] == [1, 0]


def test_the_sweeper_leaves_a_moving_ledger_alone(env: dict[str, str]) -> None:
    """Who lags is rung for after standing still between two looks, and then ever less often."""
    bank = Bank(new_ledger())
    last = bank.open("a")
    assert read_lagging()[bank.ledger] == (last.position, 0)
    first, second, third = (bank.ledger in sweep() for _ in range(3))
    assert not first
    assert second
    assert not third


def test_the_ringer_never_waits_for_a_dead_broker(env: dict[str, str]) -> None:
    """Ringing returns at once, whatever the broker does."""
    start = time.monotonic()
    for position in range(1000):
        ringer().ring(LedgerRef(1, 900_002, "busy"), position)
    assert time.monotonic() - start < 1


def test_a_bell_says_which_ledgers_and_how_far() -> None:
    """What Flower shows names ledgers and positions, and stays short."""
    assert describe([("1/main", 1042)]) == "1/main up to 1042"
    many = [("1/main", 1), ("1/b", 2), ("1/c", 3), ("1/d", 4), ("1/e", 5)]
    assert describe(many) == "1/main up to 1, 1/b up to 2, 1/c up to 3 and 2 more"
