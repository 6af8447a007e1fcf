"""What is due becomes operations: once, whoever looks, in turns, and without clocks in the core."""

import datetime as dt
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from models.db import tenant_writing
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.accept import ACCEPT_LOCK
from pipeline.drain import drain
from pipeline.due import submit_due
from pipeline.receipt import Accepted, Behind
from tasks import due
from tasks.due import Memory, due_task, in_turns, read_memories, read_waiting, remember, submit_all
from tasks.ring import WAITING_KEY, broker
from tests.bank import Bank, new_ledger, transfer
from tests.pipeline.test_holds import proves, totals

ROOT = Path(__file__).parents[2]
MANY = 10**9
# How soon what these tests make is due: later than the log has taken it in, on a busy machine too.
SOON_S = 0.5


@pytest.fixture
def shop(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Bank:
    """A customer with 100.00 EUR and a merchant; a look has time for all ledgers of all tests."""
    monkeypatch.setattr(due, "LOOK_ENDS_AFTER_S", 60.0)
    bank.fund("customer", 10_000)
    bank.open("merchant")
    bank.work()
    return bank


def hold_soon(bank: Bank, amount: int) -> Accepted:
    """A hold that is posted, and due."""
    expires_at = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=SOON_S)).isoformat()
    body = transfer("customer", "merchant", amount) | {"expires_at": expires_at}
    held = bank.submit("hold", body)
    bank.work()
    time.sleep(SOON_S)
    return held


def expiries(bank: Bank) -> int:
    """How often anything of the ledger has been let expire."""
    query = "SELECT count(*) FROM operations WHERE ledger_id = :ledger AND kind = 'expire'"
    return int(bank.rows(query)[0][0])


def test_a_hold_expires_by_itself(shop: Bank) -> None:
    """Its time makes an operation under a key of its own, and that gives everything back."""
    held = hold_soon(shop, 7_000)
    (receipt,) = submit_due(shop.ledger, MANY)
    assert isinstance(receipt, Accepted)
    shop.work()
    assert totals(shop, "customer") == (10_000, 0, 0)
    query = "SELECT idempotency_key, principal FROM operations WHERE ledger_id = :ledger"
    key, principal = shop.rows(f"{query} AND position = :at", at=receipt.position)[0]
    assert key == f"trident:due:{show_id(held.id)}:0000000000"
    assert principal == {"roles": ["scheduler"], "sub": "trident:scheduler"}
    assert submit_due(shop.ledger, MANY) == []
    proves(shop)


def test_nothing_is_due_before_its_time(shop: Bank) -> None:
    """A hold for an hour, and one without an end, are left alone."""
    later = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)).isoformat()
    shop.submit("hold", transfer("customer", "merchant", 1) | {"expires_at": later})
    shop.submit("hold", transfer("customer", "merchant", 1))
    shop.work()
    assert submit_due(shop.ledger, MANY) == []
    assert shop.ledger not in read_waiting()


def test_many_who_look_at_once_submit_once(shop: Bank) -> None:
    """Eight schedulers find the same row, and one operation comes of it."""
    hold_soon(shop, 7_000)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: submit_due(shop.ledger, MANY), range(8)))
    receipts = [receipt for (receipt,) in found if isinstance(receipt, Accepted)]
    assert [receipt.position for receipt in receipts] == [6] * 8
    assert [receipt.replayed for receipt in receipts].count(False) == 1
    shop.work()
    assert submit_due(shop.ledger, MANY) == []
    proves(shop)


@pytest.mark.parametrize("point", ["accept.before_commit", "accept.after_commit"])
def test_a_scheduler_killed_around_its_commit_loses_and_doubles_nothing(
    shop: Bank, servers: dict[str, str], tmp_path: Path, point: str
) -> None:
    """The next look submits what the killed one had not, and nothing that it had."""
    hold_soon(shop, 7_000)
    (tmp_path / point).touch()
    script = (
        "from models.ledger import LedgerRef; from pipeline.due import submit_due;"
        f"submit_due(LedgerRef(1, {shop.ledger.ledger_id}, 'x'), 1000)"
    )
    env = {**os.environ, **servers, "TRIDENT_CRASH_AT": str(tmp_path)}
    died = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=ROOT, check=False, timeout=30
    )
    assert died.returncode == -9
    (receipt,) = submit_due(shop.ledger, MANY)
    assert isinstance(receipt, Accepted)
    assert receipt.replayed is (point == "accept.after_commit")
    shop.work()
    assert expiries(shop) == 1
    assert totals(shop, "customer") == (10_000, 0, 0)
    proves(shop)


def test_what_was_decided_in_the_meantime_stays_decided(shop: Bank) -> None:
    """A capture before the expiry in the log takes the money; the expiry is refused, and over."""
    held = hold_soon(shop, 7_000)
    taken = shop.submit("capture", {"target": show_id(held.id)})
    (late,) = submit_due(shop.ledger, MANY)
    assert isinstance(late, Accepted)
    shop.work()
    assert [shop.rejection(one) for one in (taken, late)] == [None, "target_decided"]
    assert submit_due(shop.ledger, MANY) == []
    assert totals(shop, "merchant") == (7_000, 0, 0)
    proves(shop)


def test_a_look_submits_rings_and_waits_for_the_post(shop: Bank) -> None:
    """Until what it submitted is posted a ledger costs nothing more; a flushed memory is no matter:
    the same rows are found again, and are in the log already."""
    hold_soon(shop, 7_000)
    upto = submit_all()[shop.ledger]
    assert broker().exists(WAITING_KEY.format(shop.ledger.ledger_id))
    assert read_memories()[shop.ledger.ledger_id].upto == upto
    assert shop.ledger not in read_waiting()
    assert shop.ledger not in submit_all()
    broker().delete(due.MEMORY_KEY)
    assert submit_all()[shop.ledger] == upto
    shop.work()
    assert shop.ledger not in submit_all()
    assert shop.ledger.ledger_id not in read_memories()
    assert expiries(shop) == 1
    proves(shop)


def test_a_ledger_that_is_far_behind_takes_nothing_more(shop: Bank) -> None:
    """What is due waits with everybody else's operations until the ledger has caught up."""
    hold_soon(shop, 7_000)
    shop.transfer("customer", "merchant", 1)
    assert submit_due(shop.ledger, max_lag=1) == [Behind(1)]
    shop.work()
    assert len(submit_due(shop.ledger, max_lag=1)) == 1


def test_a_ledger_that_fails_stops_no_other(shop: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault of one is logged; the others are served in the same look."""
    hold_soon(shop, 100)
    other = Bank(new_ledger())
    other.fund("customer", 1_000)
    other.open("merchant")
    hold_soon(other, 100)
    halted, submit = shop.ledger, due.submit_due

    def fails(ledger: LedgerRef, max_lag: int) -> object:
        assert ledger != halted, "this ledger is halted"
        return submit(ledger, max_lag)

    monkeypatch.setattr(due, "submit_due", fails)
    rung = submit_all()
    assert other.ledger in rung
    assert halted not in rung
    other.work()
    monkeypatch.undo()
    assert halted in submit_all()
    drain("validate", halted)


def test_a_ledger_that_somebody_adds_to_has_its_turn_later(shop: Bank) -> None:
    """An import may hold its log for long: that is no fault, and no traceback."""
    hold_soon(shop, 100)
    with tenant_writing(shop.ledger.tenant_id) as connection, capture_logs() as logs:
        hold = text("SELECT pg_advisory_xact_lock(:lock, :ledger)")
        connection.execute(hold, {"lock": ACCEPT_LOCK, "ledger": shop.ledger.ledger_id})
        assert shop.ledger not in submit_all()
    told = [one for one in logs if one.get("ledger") == shop.ledger.ledger_id]
    assert [(one["event"], "exc_info" in one) for one in told] == [("due_ledger_busy", False)]
    assert shop.ledger in submit_all()


def test_a_memory_of_another_time_is_none(shop: Bank) -> None:
    """Behind a database that was restored, what the broker remembers may never be posted."""
    held = hold_soon(shop, 7_000)
    remember(shop.ledger, Memory(held.position + 1_000, 0.0))
    assert shop.ledger in submit_all()
    shop.work()
    assert totals(shop, "customer") == (10_000, 0, 0)


def test_ledgers_take_turns() -> None:
    """A tenant with many ledgers due waits after each of its own for everybody else's."""
    busy = [LedgerRef(1, number, "busy") for number in range(3)]
    quiet, small = LedgerRef(2, 10, "quiet"), LedgerRef(3, 11, "small")
    waiting = {ledger: Memory(0, float(number)) for number, ledger in enumerate(busy)}
    waiting |= {quiet: Memory(0, 9.0), small: Memory(0, 0.0)}
    assert in_turns(waiting) == [busy[0], small, quiet, busy[1], busy[2]]


def test_one_look_takes_the_errands_behind_it_along(env: dict[str, str]) -> None:
    """After an outage of the workers one look is made, not one for each second that it took."""
    for _ in range(3):
        broker().rpush(due.DUE, "an errand")
    due_task.run()
    assert broker().llen(due.DUE) == 0
