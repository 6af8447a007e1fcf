"""Workers, bells and the sweeper: whatever happens to messages, operations become final."""

from pathlib import Path

from pipeline.receipt import Accepted
from pipeline.search.codes import SEGMENT
from tasks.chain import AUDIT, NOTIFY, POST, step
from tasks.ring import broker, publish, ring_now
from tests.acceptance.test_crash_points import notified, prepare, until
from tests.bank import Bank, new_ledger, transfer


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


def test_the_log_is_indexed_by_itself(bank: Bank) -> None:
    """Some seconds after a segment is full it is in the index, without anybody asking."""
    many = (bank.submission("transfer", transfer("a", "a", n + 1)) for n in range(SEGMENT))
    last = bank.accept(*many)[-1]
    assert isinstance(last, Accepted)
    ring_now({bank.ledger: last.position})
    query = "SELECT FROM search_progress WHERE ledger_id = :ledger AND segments = 1"
    until(lambda: len(bank.rows(query)) == 1, "the segment is indexed")
