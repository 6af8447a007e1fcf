"""Poison: what breaks a run stands alone in the end, and the rest goes on."""

from collections.abc import Sequence
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models.db import app_engine, intake_engine, make_engine, raw_connection
from pipeline import poison
from pipeline import post as posting
from pipeline.drain import EFFECTS, drain
from pipeline.kinds import UnknownKindError, kind_of
from pipeline.poison import CONSECUTIVE_MAX, LONE_ATTEMPTS_MAX, HaltedError
from pipeline.stage import STAGES, Claim, Operation, claim
from tests.bank import Bank


@pytest.fixture
def poisoned(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Lets post's write fail, in Postgres, on operations whose description is `poison`."""
    good = posting.effect

    def effect(work: Claim, these: Sequence[Operation]) -> list[str]:
        work.cursor.execute(
            "SELECT 1 / CASE WHEN body->>'description' = 'poison' THEN 0 ELSE 1 END"
            " FROM operations WHERE tenant_id = %(tenant_id)s AND ledger_id = %(ledger_id)s"
            " AND position BETWEEN %(first)s AND %(last)s",
            {"tenant_id": work.tenant_id, **work.alone._asdict()},
        )
        return good(work, these)

    monkeypatch.setattr(posting, "effect", effect)
    return bank


def _poison(bank: Bank) -> Any:
    body = {
        "source": "a",
        "destination": "b",
        "amount": 1,
        "currency": "EUR",
        "description": "poison",
    }
    return bank.submission("transfer", body)


@pytest.mark.parametrize(
    ("statement", "fault"),
    [("SELECT pg_terminate_backend(pg_backend_pid())", True), ("SELECT 1 / 0", False)],
)
def test_an_error_counts_the_same_when_sqlalchemy_wraps_it(
    bank: Bank, statement: str, fault: bool
) -> None:
    """A lost connection is a fault of the surroundings, whoever noticed it; bad data is not."""
    with pytest.raises(DBAPIError) as wrapped, app_engine().connect() as connection:
        connection.execute(text(statement))
    assert poison.is_fault(wrapped.value) is fault


def test_poison_is_rejected_alone(poisoned: Bank) -> None:
    """Among 200 operations the two that break their run are rejected, and 198 are posted.

    They are many, so validate takes post along, until that fails.
    """
    bank = poisoned
    bank.fund("a", 1000)
    bank.open("b")
    subs = [
        _poison(bank) if n in (60, 61) else bank.submission("transfer", _transfer())
        for n in range(200)
    ]
    receipts = bank.accept(*subs)
    for _ in range(10):
        bank.work()
    codes = [bank.rejection(r) for r in receipts]  # type: ignore[arg-type]
    assert [n for n, code in enumerate(codes) if code == "internal_error"] == [60, 61]
    assert bank.balance("b") == 198
    assert bank.rows("SELECT count(*) FROM attempts WHERE ledger_id = :ledger")[0][0] == 0


def test_the_rejection_says_where_and_how_often(poisoned: Bank) -> None:
    """An internal_error names its stage and the attempts that were made."""
    bank = poisoned
    (receipt,) = bank.accept(_poison(bank))
    bank.work()
    detail = bank.rows("SELECT detail FROM rejections WHERE ledger_id = :ledger")[0][0]
    assert detail == {"stage": "post", "attempts": LONE_ATTEMPTS_MAX}
    assert bank.status(receipt) == "rejected"  # type: ignore[arg-type]


def test_many_internal_errors_in_a_row_halt_the_stage(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If everything fails it is Trident that is broken: the stage stops and rejects no more."""

    def broken(work: Claim) -> None:
        raise KeyError("a bug of ours")

    receipts = bank.accept(
        *(bank.submission("transfer", _transfer()) for _ in range(CONSECUTIVE_MAX + 5))
    )
    monkeypatch.setitem(EFFECTS, "post", broken)
    drain("validate", bank.ledger)
    drain("authorize", bank.ledger)
    drain("post", bank.ledger)
    with pytest.raises(HaltedError):
        _drain_to_the_end(bank)
    rejected = [r for r in receipts if bank.rejection(r)]  # type: ignore[arg-type]
    assert len(rejected) == CONSECUTIVE_MAX
    monkeypatch.undo()


@pytest.mark.parametrize("fault", ["08006", "40P01", "42501", "42703", "53200", "57P01"])
def test_faults_of_the_surroundings_do_not_count(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Connection, deadlock, schema, resource and shutdown faults are raised and leave no trace."""
    bank.accept(_poison(bank))
    drain("validate", bank.ledger)
    drain("authorize", bank.ledger)

    def failing(work: Claim) -> None:
        work.cursor.execute(f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{fault}'; END $$")

    monkeypatch.setitem(EFFECTS, "post", failing)
    for careful in (False, True):
        for _ in range(LONE_ATTEMPTS_MAX + 1):
            with pytest.raises(psycopg2.Error):
                drain("post", bank.ledger, careful=careful)
    assert bank.rows("SELECT FROM attempts WHERE ledger_id = :ledger") == []
    assert bank.rows("SELECT FROM rejections WHERE ledger_id = :ledger") == []


@pytest.mark.parametrize("fault", [MemoryError, OSError, UnknownKindError])
def test_a_fault_in_python_is_taken_back_at_once(
    bank: Bank, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    """A careful run that fails outside Postgres, its transaction open, leaves no attempt behind."""
    bank.accept(_poison(bank))

    def failing(work: Claim) -> None:
        raise fault

    monkeypatch.setitem(EFFECTS, "validate", failing)
    for _ in range(LONE_ATTEMPTS_MAX + 1):
        with pytest.raises(fault):
            drain("validate", bank.ledger, careful=True)
    assert bank.rows("SELECT FROM attempts WHERE ledger_id = :ledger") == []
    assert bank.rows("SELECT FROM rejections WHERE ledger_id = :ledger") == []


def test_a_timeout_halves_the_work(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that takes too long is tried again with fewer operations, and nothing is rejected."""
    sizes = []
    good = EFFECTS["post"]

    def slow(work: Claim) -> None:
        sizes.append(work.alone.last - work.alone.first + 1)
        if sizes[-1] > 50:
            work.cursor.execute("SET LOCAL statement_timeout = 20; SELECT pg_sleep(1)")
        good(work)

    _hundred_transfers(bank)
    monkeypatch.setitem(EFFECTS, "post", slow)
    monkeypatch.setattr("pipeline.drain.RUN_OPERATIONS", 100)
    for _ in range(3):
        bank.work()
    assert bank.balance("b") == 100
    assert sizes[0] > 50
    assert sizes[1] <= 25


def test_an_attempt_is_recorded_before_it_is_made(bank: Bank) -> None:
    """A careful run that dies has left its range behind, and the next one takes half of it."""
    bank.accept(*(bank.submission("transfer", _transfer()) for _ in range(8)))
    with raw_connection(app_engine()) as connection, raw_connection(app_engine()) as notes:
        work = claim(connection, "validate", [bank.ledger], 100)
        assert work is not None
        widths = []
        for _ in range(4):
            work.spans = [work.alone._replace(last=8)]
            poison.narrow(work)
            widths.append(work.alone.last - work.alone.first + 1)
            poison.record(notes, work)
        assert widths == [8, 4, 2, 1]
        work.cursor.execute("ROLLBACK")
    drain("validate", bank.ledger, careful=True)
    left = bank.rows("SELECT FROM attempts WHERE ledger_id = :ledger")
    assert left == []


def test_an_operation_without_outcome_stops_the_audit(env: dict[str, str], bank: Bank) -> None:
    """Postings that vanished stop audit before a block is made of their absence."""
    bank.fund("a", 100)
    lost = bank.transfer("a", "world", 10)
    for name in STAGES[:3]:
        drain(name, bank.ledger)
    engine = make_engine(env["TRIDENT_OWNER_DATABASE_URL"], statement_timeout_ms=5000, trusted=True)
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('trident.tenant', '1', true)"))
        connection.execute(text("ALTER TABLE postings DISABLE TRIGGER ALL"))
        connection.execute(
            text("DELETE FROM postings WHERE ledger_id = :l AND position = :p"),
            {"l": bank.ledger.ledger_id, "p": lost.position},
        )
        connection.execute(text("ALTER TABLE postings ENABLE TRIGGER ALL"))
        connection.execute(text("ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_guard"))
        for trigger in ("append_only", "no_truncate"):
            connection.execute(
                text(f"ALTER TABLE postings ENABLE ALWAYS TRIGGER postings_{trigger}")
            )
    engine.dispose()
    with pytest.raises(Exception, match=f"position {lost.position}: it has 0 postings"):
        drain("audit", bank.ledger)
    sealed = bank.rows("SELECT max(to_position) FROM audit_blocks WHERE ledger_id = :ledger")
    assert sealed[0][0] == lost.position - 1


def test_what_a_timeout_taught_outlives_the_bell(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When one time-out uses up a bell's time, the next bell takes fewer operations, and ends."""
    good = EFFECTS["post"]

    def slow(work: Claim) -> None:
        if work.alone.last - work.alone.first + 1 > 20:
            work.cursor.execute("SET LOCAL statement_timeout = 20; SELECT pg_sleep(1)")
        good(work)

    _hundred_transfers(bank)
    monkeypatch.setitem(EFFECTS, "post", slow)
    monkeypatch.setattr("pipeline.drain.RUN_OPERATIONS", 100)
    monkeypatch.setattr("pipeline.drain.ROUNDS_END_AFTER_S", 0.01)
    for _ in range(30):
        bank.work_once()
    assert bank.balance("b") == 100


def test_a_lost_connection_does_not_count(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """A careful run whose connections are all cut takes its attempt back over a new one."""
    last = bank.open("a")
    drain("validate", bank.ledger)
    drain("authorize", bank.ledger)

    def cut(work: Claim) -> None:
        with raw_connection(app_engine()) as other:
            other.cursor().execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = current_user AND pid <> pg_backend_pid()"
            )
        work.cursor.execute("SELECT 1")

    with monkeypatch.context() as patch:
        patch.setitem(EFFECTS, "post", cut)
        for _ in range(LONE_ATTEMPTS_MAX + 1):
            with pytest.raises(psycopg2.Error):
                drain("post", bank.ledger, careful=True)
    # The API's pool lost its connections as well: the next test must not meet them.
    intake_engine().dispose()
    assert bank.rows("SELECT FROM attempts WHERE ledger_id = :ledger") == []
    bank.work()
    assert bank.status(last) == "posted"


def test_poison_that_was_rejected_before_is_passed(bank: Bank) -> None:
    """Three attempts left behind at an operation that validate rejected do not stop authorize."""
    same = {"source": "a", "destination": "a", "amount": 1, "currency": "EUR"}
    rejected = bank.submit("transfer", same)
    good = bank.open("a")
    drain("validate", bank.ledger, careful=True)
    with raw_connection(app_engine()) as connection, raw_connection(app_engine()) as notes:
        work = claim(connection, "authorize", [bank.ledger], 1)
        assert work is not None
        for _ in range(LONE_ATTEMPTS_MAX):
            poison.record(notes, work)
        work.cursor.execute("ROLLBACK")
    drain("authorize", bank.ledger, careful=True)
    bank.work()
    assert bank.rejection(rejected) == "same_account"
    assert bank.status(good) == "posted"


def test_a_kind_of_tomorrow_is_a_fault() -> None:
    """In a deploy an old worker leaves operations that it does not know to the new ones."""
    with pytest.raises(UnknownKindError) as unknown:
        kind_of("tithe")
    assert poison.is_fault(unknown.value)


def _hundred_transfers(bank: Bank) -> None:
    bank.fund("a", 1000)
    bank.open("b")
    bank.accept(*(bank.submission("transfer", _transfer()) for _ in range(100)))


def _drain_to_the_end(bank: Bank) -> None:
    while drain("post", bank.ledger).more:
        pass


def _transfer() -> dict[str, Any]:
    return {"source": "a", "destination": "b", "amount": 1, "currency": "EUR"}
