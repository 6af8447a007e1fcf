"""The stages on a real database: exactly once, in order, whoever calls them how often."""

import gc
import threading
from contextlib import nullcontext

import psycopg2
import pytest

from models.db import app_engine, raw_connection
from models.ledger import LedgerRef
from pipeline.accept import rollback
from pipeline.drain import EFFECTS, drain, run_once
from pipeline.judge import validate_onwards
from pipeline.poison import LONE_ATTEMPTS_MAX
from pipeline.receipt import Accepted, Behind, Reused
from pipeline.stage import LOCKS, RUN_OPERATIONS, STAGES, Claim, MissingOperationsError, claim
from pipeline.stage import operations as claimed_operations
from tests.bank import Bank, new_ledger, transfer


def test_an_operation_walks_all_five_stages(bank: Bank) -> None:
    """A transfer is posted with two legs, sealed in a block, and every stage has run once."""
    bank.fund("a", 500)
    bank.open("b")
    receipt = bank.transfer("a", "b", 125)
    assert bank.status(receipt) == "accepted"
    bank.work()
    assert bank.status(receipt) == "posted"
    postings = bank.rows(
        "SELECT leg, amount, balance_after, currency FROM postings"
        " WHERE ledger_id = :ledger AND position = :at ORDER BY leg",
        at=receipt.position,
    )
    assert [tuple(p) for p in postings] == [(0, -125, 375, "EUR"), (1, 125, 125, "EUR")]
    ends = bank.rows(
        "SELECT stage, max(to_position) FROM runs WHERE ledger_id = :ledger GROUP BY 1"
    )
    assert dict(ends) == dict.fromkeys(STAGES, receipt.position)
    sealed = bank.rows("SELECT max(to_position) FROM audit_blocks WHERE ledger_id = :ledger")
    assert sealed[0][0] == receipt.position


@pytest.mark.parametrize("stage", STAGES)
def test_d23_a_stage_called_three_times_works_once(bank: Bank, stage: str) -> None:
    """D23: each stage called three times, and twice in parallel, has one effect."""
    bank.fund("a", 1000)
    bank.open("b")
    bank.transfer("a", "b", 10)
    for before in STAGES[: STAGES.index(stage)]:
        drain(before, bank.ledger, careful=True)  # by itself: validate takes authorize along
    runs = _runs(bank, stage)
    together = threading.Barrier(2)
    failures: list[Exception] = []

    def call() -> None:
        together.wait()
        try:
            drain(stage, bank.ledger)
        except Exception as error:  # noqa: BLE001 - a thread's failure is the test's to show
            failures.append(error)

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        assert drain(stage, bank.ledger).runs == 0
    assert failures == []
    assert _runs(bank, stage) - runs == 1
    bank.work()
    assert bank.balance("b") == 10


def test_operations_take_effect_in_the_order_of_acceptance(bank: Bank) -> None:
    """What was accepted first takes effect first: the same two transfers, two outcomes."""
    bank.fund("a", 100)
    bank.open("b")
    first = bank.transfer("b", "a", 50)
    second = bank.transfer("a", "b", 100)
    third = bank.transfer("b", "a", 50)
    bank.work()
    assert [bank.rejection(r) for r in (first, second, third)] == ["insufficient_funds", None, None]
    assert (bank.balance("a"), bank.balance("b")) == (50, 50)


def test_accepted_at_never_runs_backwards(bank: Bank) -> None:
    """accepted_at does not fall along the log, and positions have no gaps."""
    for number in range(20):
        bank.open(f"a{number}")
    rows = bank.rows("SELECT position, accepted_at FROM operations WHERE ledger_id = :ledger")
    rows.sort()
    assert [row[0] for row in rows] == list(range(1, 21))
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


def test_one_refusal_does_not_stop_the_rest(bank: Bank) -> None:
    """Of many operations in one run the bad one is rejected and the others are posted."""
    bank.fund("a", 100)
    bank.open("b")
    receipts = [bank.transfer("a", "b", amount) for amount in (40, 1000, 60)]
    bank.work()
    assert [bank.status(r) for r in receipts] == ["posted", "rejected", "posted"]


def test_an_account_opened_in_a_run_can_be_used_in_it(bank: Bank) -> None:
    """Opening, funding, changing, emptying and closing an account fit into one run."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    bank.transfer("world", "a", 70)
    bank.submit("update_account", {"account": "a", "overdraft": 30, "metadata": {"tier": "gold"}})
    bank.transfer("a", "world", 100)
    bank.transfer("world", "a", 30)
    bank.submit("update_account", {"account": "a", "overdraft": 0})
    bank.submit("close_account", {"account": "a"})
    bank.work()
    assert bank.rows("SELECT count(*) FROM rejections WHERE ledger_id = :ledger")[0][0] == 0
    assert len(bank.rows("SELECT FROM runs WHERE ledger_id = :ledger AND stage = 'post'")) == 1
    account = bank.rows(
        "SELECT status, overdraft, metadata, version FROM accounts"
        " WHERE ledger_id = :ledger AND code = 'a'"
    )[0]
    assert tuple(account) == ("closed", 0, {"tier": "gold"}, 3)


def test_overdraft_lowered_and_funds_added_in_one_run(bank: Bank) -> None:
    """A lower overdraft that only the funds of the same run make possible is allowed."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a", overdraft=100)
    bank.transfer("a", "world", 100)
    bank.work()
    bank.transfer("world", "a", 100)
    lowered = bank.submit("update_account", {"account": "a", "overdraft": 0})
    bank.work()
    assert bank.status(lowered) == "posted"


def test_equal_keys_in_one_group_are_one_operation(bank: Bank) -> None:
    """Within one group equal keys fold: same content replays, other content is refused."""
    bank.open("a")
    same = bank.submission("transfer", transfer("a", "b", 1), key="k")
    other = bank.submission("transfer", transfer("a", "c", 2), key="k")
    first, again, reused = bank.accept(same, same, other)
    assert isinstance(first, Accepted)
    assert again == first._replace(replayed=True)
    assert reused == Reused(("amount", "destination"))
    assert bank.accept(same) == [again]


def test_a_ledger_too_far_behind_takes_no_more(bank: Bank) -> None:
    """Beyond max_lag new operations are refused, but a known key is still answered."""
    known = bank.submission("open_account", _opening("a"))
    bank.accept(known)
    (receipt,) = bank.accept(bank.submission("open_account", _opening("b")), max_lag=1)
    assert receipt == Behind(1)
    (replayed,) = bank.accept(known, max_lag=1)
    assert isinstance(replayed, Accepted)
    assert replayed.replayed


def test_a_backlog_larger_than_a_run_is_drained(bank: Bank) -> None:
    """A stage that is called once works off more than one run takes."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    subs = [bank.submission("transfer", transfer("world", "a", 1)) for _ in range(RUN_OPERATIONS)]
    bank.accept(*subs)
    assert drain("validate", bank.ledger) == (2, False)


def test_a_journal_of_a_thousand_legs_posts(bank: Bank) -> None:
    """The largest journal goes through every stage, and a run of many is cut by bytes."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    legs = [
        {"account": "a", "direction": "credit", "amount": 1, "currency": "EUR"} for _ in range(999)
    ]
    legs.append({"account": "world", "direction": "debit", "amount": 999, "currency": "EUR"})
    receipts = bank.accept(*(bank.submission("journal", {"legs": legs}) for _ in range(40)))
    bank.work()
    last = receipts[-1]
    assert isinstance(last, Accepted)
    assert bank.status(last) == "posted"
    assert bank.balance("a") == 40 * 999
    runs = bank.rows("SELECT FROM runs WHERE ledger_id = :ledger AND stage = 'post'")
    assert len(runs) > 1


def test_a_held_lock_turns_others_away_and_the_holder_sees_their_work(bank: Bank) -> None:
    """Who meets the stage's lock goes away; what it came for is seen by the holder's next look."""
    bank.open("a")
    with raw_connection(app_engine()) as connection:
        work = claim(connection, "validate", [bank.ledger], RUN_OPERATIONS)
        assert work is not None
        bank.open("b")
        assert drain("validate", bank.ledger).runs == 0
        rollback(connection)
    assert drain("validate", bank.ledger).runs == 1


def test_a_stage_under_a_wrong_tenant_sees_nothing_and_does_nothing(bank: Bank) -> None:
    """A bell that names the wrong tenant finds no work, and the right one still does."""
    bank.open("a")
    wrong = LedgerRef(999_999, bank.ledger.ledger_id, bank.ledger.name)
    assert drain("validate", wrong).runs == 0
    assert drain("validate", bank.ledger).runs == 1


def test_a_missing_operation_is_a_fault_not_an_end(bank: Bank) -> None:
    """A claim whose rows cannot all be seen is rolled back and raised."""
    bank.open("a")
    with raw_connection(app_engine()) as connection:
        work = claim(connection, "validate", [bank.ledger], RUN_OPERATIONS)
        assert work is not None
        work.cursor.execute("SELECT set_config('trident.tenant', '999999', true)")
        with pytest.raises(MissingOperationsError):
            claimed_operations(work)
        rollback(connection)
    assert _runs(bank, "validate") == 0


@pytest.mark.parametrize("careful", [False, True])
def test_missing_operations_are_never_rejected(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, careful: bool
) -> None:
    """However often a stage cannot see its operations, they wait: they are not at fault."""
    receipt = bank.open("a")

    def blind(work: Claim) -> None:
        work.cursor.execute("SELECT set_config('trident.tenant', '999999', true)")
        validate_onwards(work)

    monkeypatch.setitem(EFFECTS, "validate", blind)
    for _ in range(2 * LONE_ATTEMPTS_MAX):
        with pytest.raises(MissingOperationsError):
            drain("validate", bank.ledger, careful=careful)
    monkeypatch.undo()
    bank.work()
    assert bank.status(receipt) == "posted"


def test_ledgers_are_independent(bank: Bank) -> None:
    """The same key and the same codes in another ledger are other operations and accounts."""
    other = Bank(new_ledger())
    for each in (bank, other):
        each.submit("open_account", _opening("a"), key="same")
        each.work()
    assert bank.balance("a") == other.balance("a") == 0
    assert run_once(app_engine(), "post", [bank.ledger], RUN_OPERATIONS, careful=False) == []


def test_locks_of_stages_differ() -> None:
    """Each stage has an advisory lock of its own, and none is accept's."""
    assert sorted(LOCKS.values()) == [1, 2, 3, 4, 5]


def _opening(code: str) -> dict[str, object]:
    return {"code": code, "type": "liability", "currency": "EUR", "overdraft": 0}


def _runs(bank: Bank, stage: str) -> int:
    query = "SELECT FROM runs WHERE ledger_id = :ledger AND stage = :stage"
    return len(bank.rows(query, stage=stage))


@pytest.mark.parametrize("fails", [False, True])
def test_the_collector_of_cycles_rests_during_a_run_and_no_longer(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """No collection of cycles interrupts a run; afterwards they go on, if it failed, too."""
    during = []
    good = EFFECTS["validate"]

    def validated(work: Claim) -> None:
        during.append(gc.isenabled())
        if fails:
            raise psycopg2.OperationalError("The surroundings failed.")
        good(work)

    monkeypatch.setitem(EFFECTS, "validate", validated)
    bank.open("a")
    with pytest.raises(psycopg2.OperationalError) if fails else nullcontext():
        drain("validate", bank.ledger)
    assert during == [False]
    assert gc.isenabled()


def test_a_connection_that_broke_is_thrown_away(
    bank: Bank, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where nobody minded that it did: the pool finds no fault, and gives out another."""
    with raw_connection(app_engine()) as connection:
        connection.close()
    assert not caplog.records
    with raw_connection(app_engine()) as another:
        assert not another.closed
