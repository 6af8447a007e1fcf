"""Through all stages at once: the same outcome as stage by stage, in one transaction."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from models.ledger import LedgerRef
from models.settings import settings
from pipeline import audit, stage
from pipeline.drain import ROUNDS_MAX, drain
from pipeline.stage import LOCKS, STAGES
from pipeline.through import FEW, LOOK_AND_LOCK, Through, through
from pipeline.verify.verify import verify
from tasks import stages
from tests.bank import Bank, new_ledger, transfer

# Between the look at a ledger and the tries for its locks, where a test slows that statement down.
SLOW_LOOK_S = 0.5
WITHIN_S = 10.0


@pytest.fixture
def opened(bank: Bank) -> Bank:
    """A ledger with world and a, through all stages."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    through([bank.ledger])
    return bank


def transactions(bank: Bank, position: int) -> int:
    """In how many transactions the stages worked the position."""
    query = (
        "SELECT count(DISTINCT xmin::text) FROM runs"
        " WHERE ledger_id = :ledger AND :at BETWEEN from_position AND to_position"
    )
    return int(bank.rows(query, at=position)[0][0])


def test_all_stages_are_one_transaction(opened: Bank) -> None:
    """Posted, refused and wrong operations pass all stages together, each with its outcome."""
    bank = opened
    paid = bank.transfer("world", "a", 100)
    poor = bank.transfer("a", "world", 500)
    wrong = bank.submit("transfer", transfer("a", "a", 1))
    banned = bank.submit("transfer", transfer("a", "world", 1), principal=b'{"roles": []}')
    last = bank.transfer("a", "world", 30)
    (span,) = through([bank.ledger]).spans
    assert (span.first, span.last) == (paid.position, last.position)
    assert transactions(bank, last.position) == 1
    found = [bank.rejection(one) for one in (paid, poor, wrong, banned, last)]
    assert found == [None, "insufficient_funds", "same_account", "not_permitted", None]
    assert bank.balance("a") == 70
    findings = verify(bank.ledger)
    assert [finding.fault for finding in findings if finding.fault] == []


def test_what_waits_between_stages_is_left_to_them(opened: Bank) -> None:
    """Where a stage is ahead of another, or much waits, nothing is taken through."""
    bank = opened
    bank.transfer("world", "a", 1)
    drain("validate", bank.ledger)
    assert through([bank.ledger]) == ([], {bank.ledger.ledger_id})
    bank.work()
    body = transfer("world", "a", 1)
    bank.accept(*(bank.submission("transfer", body) for _ in range(FEW + 1)))
    assert through([bank.ledger]) == ([], {bank.ledger.ledger_id})
    bank.work()
    assert bank.balance("a") == FEW + 2


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_at_work_keeps_its_ledger(opened: Bank, stage: str) -> None:
    """Who holds any of a ledger's stages is not disturbed, and other ledgers are taken through.

    The holder of the first stage will look again; else the ledger is left to the stages.
    """
    other = Bank(new_ledger())
    other.open("a")
    opened.transfer("world", "a", 1)
    connection = psycopg2.connect(settings().database_url)
    try:
        lock = "SELECT pg_advisory_xact_lock(%s, %s)"
        connection.cursor().execute(lock, (LOCKS[stage], opened.ledger.ledger_id))
        spans, left = through([opened.ledger, other.ledger])
        assert [span.ledger_id for span in spans] == [other.ledger.ledger_id]
        assert left == (set() if stage == STAGES[0] else {opened.ledger.ledger_id})
        connection.rollback()
    finally:
        connection.close()
    assert len(through([opened.ledger, other.ledger]).spans) == 1


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Sealing fails, after everything else has been written."""

    def seal(*_: object) -> str:
        raise audit.AuditStopError("for a test")

    with monkeypatch.context() as patch:
        patch.setattr(audit, "seal", seal)
        yield


def test_a_failure_leaves_nothing_behind(opened: Bank, broken: None) -> None:
    """What fails at the end takes back what was written before, and the stages do what they can."""
    bank = opened
    paid = bank.transfer("world", "a", 100)
    with pytest.raises(audit.AuditStopError):
        through([bank.ledger])
    assert bank.balance("a") == 0
    assert bank.status(paid) == "accepted"
    bell = [list(bank.ledger)]
    assert stages.work_through(bell) == bell
    stages.work("validate", bell, careful=False)
    assert bank.status(paid) == "authorized"


def test_effects_are_those_of_the_stages(opened: Bank) -> None:
    """The rows are the same as if each stage had worked by itself."""
    bank, other = opened, Bank(new_ledger())
    other.open("world", type="asset", overdraft="unlimited")
    other.open("a")
    other.work()
    for each in (bank, other):
        each.transfer("world", "a", 100)
        each.transfer("a", "world", 101)
        each.transfer("a", "world", 40)
    through([bank.ledger])
    other.work()
    for table, columns in (
        ("postings", "position, leg, account, version, pending, amount, balance_after, currency"),
        ("rejections", "position, stage, code, detail::text"),
        ("runs", "stage, from_position, to_position"),
        ("accounts", "number, code, version, debits_posted, credits_posted"),
        ("audit_blocks", "height, from_position, to_position, leaf_count"),
    ):
        query = f"SELECT {columns} FROM {table} WHERE ledger_id = :ledger ORDER BY 1, 2"
        assert bank.rows(query) == other.rows(query), table


def test_a_ledger_that_is_never_done_is_rung_for(
    opened: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Operations that keep coming in wait for another bell, and what is left is left."""
    apart = Bank(new_ledger())
    apart.open("a")
    drain("validate", apart.ledger)
    rung: list[LedgerRef] = []
    monkeypatch.setattr(stages, "ring_more", lambda more, careful: rung.extend(more))

    def busy(ledgers: list[LedgerRef]) -> Through:
        opened.transfer("world", "a", 1)
        return through(ledgers)

    monkeypatch.setattr(stages, "through", busy)
    left = stages.work_through([list(opened.ledger), list(apart.ledger)])
    assert left == [list(apart.ledger)]
    assert rung == [opened.ledger]
    assert opened.balance("a") == ROUNDS_MAX


@pytest.fixture
def slow_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some time passes between the look and the tries."""
    old, slow = LOOK_AND_LOCK._name, "through_slow_look"
    prepare = LOOK_AND_LOCK._prepare.replace(old, slow)
    prepare = prepare.replace(") looked OFFSET", f") looked, pg_sleep({SLOW_LOOK_S}) OFFSET")
    assert "pg_sleep" in prepare
    monkeypatch.setattr(LOOK_AND_LOCK, "_name", slow)
    monkeypatch.setattr(LOOK_AND_LOCK, "_prepare", prepare)
    monkeypatch.setattr(LOOK_AND_LOCK, "execute", LOOK_AND_LOCK.execute.replace(old, slow))


def wait_for_slow_look() -> None:
    """Until a session is between look and tries."""
    connection = psycopg2.connect(settings().database_url)
    connection.autocommit = True
    deadline = time.monotonic() + WITHIN_S
    try:
        with connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
                if cursor.rowcount:
                    return
                assert time.monotonic() < deadline, "no session looks slowly"
    finally:
        connection.close()


def test_a_ledger_validated_after_the_look_is_left(opened: Bank, slow_look: None) -> None:
    """What another validated before the locks were tried is left to the stages."""
    opened.transfer("world", "a", 1)
    with ThreadPoolExecutor(1) as pool:
        taken = pool.submit(through, [opened.ledger])
        wait_for_slow_look()
        drain("validate", opened.ledger)
        assert taken.result() == ([], {opened.ledger.ledger_id})


def test_locks_held_in_vain_leave_the_ledger_to_the_stages(
    opened: Bank, slow_look: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where an earlier round took some of it through.

    Whoever validated it met locks that were held in vain: unless this chain goes on, nobody works
    the stages after.
    """
    monkeypatch.setattr(stage, "RUN_BYTES", 1)  # a round takes one operation
    first, second = (opened.transfer("world", "a", 1) for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        left = pool.submit(stages.work_through, [list(opened.ledger)])
        deadline = time.monotonic() + WITHIN_S
        while opened.status(first) != "posted":
            assert time.monotonic() < deadline, "the first round takes nothing through"
        wait_for_slow_look()
        drain("validate", opened.ledger)
        assert left.result() == [list(opened.ledger)]
    assert opened.status(second) == "authorized"
