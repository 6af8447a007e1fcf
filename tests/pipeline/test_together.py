"""Several ledgers of a tenant in one run: what each gets is what it would get alone."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psycopg2
import pytest

from models.ledger import LedgerRef
from models.settings import settings
from pipeline import poison
from pipeline.drain import EFFECTS, drain, drain_together
from pipeline.stage import RUN_OPERATIONS, STAGES, Claim, claim
from tasks import stages
from tests.bank import Bank, new_ledger


@pytest.fixture
def banks(bank: Bank) -> list[Bank]:
    """Three ledgers, each with `world` and `a`."""
    every = [bank, Bank(new_ledger()), Bank(new_ledger())]
    for each in every:
        each.open("world", type="asset", overdraft="unlimited")
        each.open("a")
    return every


def work_together(banks: list[Bank]) -> None:
    """Every stage over all ledgers."""
    for stage in STAGES:
        while drain_together(stage, [bank.ledger for bank in banks]).more:
            pass


def transactions(banks: list[Bank], stage: str) -> int:
    """How many transactions wrote the stage's runs."""
    query = (
        "SELECT count(DISTINCT xmin::text) FROM runs"
        " WHERE stage = :stage AND ledger_id = ANY(:ledgers)"
    )
    ledgers = [bank.ledger.ledger_id for bank in banks]
    return int(banks[0].rows(query, stage=stage, ledgers=ledgers)[0][0])


def test_runs_in_opposite_order_do_not_wait_in_a_circle(banks: list[Bank]) -> None:
    """Four who work the same ledgers and accounts from both ends: nobody is ended by Postgres, and
    each operation is posted once."""
    for n in range(40):
        for bank in banks:
            bank.transfer(*(("world", "a") if n % 2 == 0 else ("a", "world")), 10)
    with ThreadPoolExecutor(4) as threads:
        for worked in [threads.submit(work_together, banks[::step]) for step in (1, -1, 1, -1)]:
            worked.result()
    work_together(banks)
    count = "SELECT count(*) FROM postings WHERE ledger_id = :ledger"
    assert [bank.rows(count)[0][0] for bank in banks] == [80] * len(banks)
    assert [bank.balance("a") for bank in banks] == [0] * len(banks)


def test_ledgers_share_a_transaction_and_nothing_else(banks: list[Bank]) -> None:
    """The same keys, codes and positions in three ledgers become three separate books."""
    receipts = [bank.transfer("world", "a", 100 + n) for n, bank in enumerate(banks)]
    refused = [bank.transfer("a", "world", 500) for bank in banks[1:]]
    work_together(banks)
    assert [bank.balance("a") for bank in banks] == [100, 101, 102]
    assert [bank.status(r) for bank, r in zip(banks, receipts, strict=True)] == ["posted"] * 3
    codes = [bank.rejection(r) for bank, r in zip(banks[1:], refused, strict=True)]
    assert codes == ["insufficient_funds"] * 2
    for stage in STAGES:
        assert transactions(banks, stage) == 1
    for bank in banks:
        heights = bank.rows("SELECT height FROM audit_blocks WHERE ledger_id = :ledger")
        assert [tuple(row) for row in heights] == [(1,)]


def test_a_run_is_shared_evenly(banks: list[Bank], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run's operations each ledger gets a share, so that a long log does not take them all."""
    monkeypatch.setattr("pipeline.drain.RUN_OPERATIONS", 12)
    work_together(banks)
    banks[0].accept(
        *(
            banks[0].submission("transfer", {"source": "world", "destination": "a", **one})
            for one in [{"amount": 1, "currency": "EUR"}] * 30
        )
    )
    banks[1].transfer("world", "a", 7)
    drain_together("validate", [bank.ledger for bank in banks])
    query = (
        "SELECT to_position - from_position + 1 FROM runs"
        " WHERE ledger_id = :ledger AND stage = 'validate' AND from_position = 3"
    )
    assert banks[0].rows(query)[0][0] == 6
    assert banks[1].rows(query)[0][0] == 1


def test_one_ledgers_fault_leaves_the_others_alone(
    banks: list[Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails together is worked ledger by ledger, and the poison is found where it is."""
    good = EFFECTS["post"]
    bad = banks[1].ledger.ledger_id

    def post(work: Claim) -> None:
        if any(span.ledger_id == bad and span.last >= 3 for span in work.spans):
            work.cursor.execute("SELECT 1 / 0")
        good(work)

    work_together(banks)
    receipts = [bank.transfer("world", "a", 5) for bank in banks]
    monkeypatch.setitem(EFFECTS, "post", post)
    bell = [list(bank.ledger) for bank in banks]
    for _ in range(poison.LONE_ATTEMPTS_MAX + 1):
        for stage in STAGES:
            stages.work(stage, bell, careful=False)
    assert [bank.balance("a") for bank in banks] == [5, 0, 5]
    assert banks[1].rejection(receipts[1]) == "internal_error"


@pytest.mark.parametrize("many", [1, 2])
def test_what_was_sealed_before_a_fault_has_a_head_to_keep(
    banks: list[Bank], monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    """Blocks of a run whose next look fails are remembered outside all the same."""
    due: list[int] = []

    class Keeper:
        def add(self, ledger: LedgerRef, _upto: int) -> None:
            due.append(ledger.ledger_id)

    def fail(*_: Any) -> None:
        raise psycopg2.OperationalError("the server is gone")

    for bank in banks:
        for stage in STAGES[:3]:
            drain(stage, bank.ledger)
    looks: Iterator[Any] = iter([claim, fail])

    def look(*given: Any) -> Any:
        return next(looks, claim)(*given)

    monkeypatch.setattr(stages, "keeper", Keeper)
    monkeypatch.setattr("pipeline.drain.claim", look)
    with suppress(psycopg2.OperationalError):
        stages.audit([list(bank.ledger) for bank in banks[:many]], careful=False)
    assert due == [bank.ledger.ledger_id for bank in banks[:many]]


def test_a_bell_whose_time_is_up_is_rung_again(
    banks: list[Bank], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ledgers whose turn came too late are not begun, alone or together."""
    rung: list[LedgerRef] = []
    monkeypatch.setattr(stages, "BELL_ENDS_AFTER_S", -1.0)
    monkeypatch.setattr(stages, "ring_more", lambda more, _careful: rung.extend(more))
    outcome = stages.work("validate", [list(bank.ledger) for bank in banks], careful=False)
    assert rung == [bank.ledger for bank in banks]
    assert not outcome.worked


def test_a_ledger_that_somebody_else_works_is_left_out(banks: list[Bank]) -> None:
    """A held stage lock turns nobody away from the other ledgers of the bell."""
    with psycopg2.connect(settings().database_url) as other:
        lock = "SELECT pg_advisory_xact_lock(1, %s)"
        other.cursor().execute(lock, (banks[0].ledger.ledger_id,))
        drained = drain_together("validate", [bank.ledger for bank in banks])
        assert drained.worked == {bank.ledger.ledger_id for bank in banks[1:]}
        other.rollback()
    assert drain("validate", banks[0].ledger).runs == 1


def test_a_bell_for_two_tenants_is_worked_tenant_by_tenant(bank: Bank) -> None:
    """Ledgers of different tenants never share a transaction."""
    bell = [[1, 5, "a"], [2, 6, "b"], [1, 7, "c"]]
    together = stages.by_tenant(bell)
    assert [[ledger.ledger_id for ledger in group] for group in together] == [[5, 7], [6]]


def test_a_run_has_a_share_for_each_ledger_of_a_bell() -> None:
    """Fifty ledgers in a bell leave each a share worth a transaction."""
    assert RUN_OPERATIONS // 50 >= 100
