"""Bells before anybody hears them: no worker runs here, so what is rung stays in the queue."""

import time

import pytest

from models.ledger import LedgerRef
from pipeline.drain import drain
from tasks import stages
from tasks.chain import VALIDATE, describe
from tasks.ring import broker, ring_now, ringer
from tasks.sweep import (
    CAREFUL_AFTER,
    SWEEP,
    Memory,
    read_lagging,
    read_memories,
    sweep,
    sweep_task,
    write_memories,
)
from tests.bank import Bank, new_ledger


def test_a_waiting_bell_is_not_rung_twice(env: dict[str, str]) -> None:
    """A ledger for which a bell waits is skipped until the bell has been heard."""
    ledger = LedgerRef(1, 900_001, "waiting")
    assert [ring_now({ledger: 1}), ring_now({ledger: 2})] == [1, 0]


def test_the_sweeper_leaves_a_moving_ledger_alone(env: dict[str, str]) -> None:
    """Who lags is rung for after standing still between two looks, and then ever less often."""
    bank = Bank(new_ledger())
    last = bank.open("a")
    assert read_lagging()[bank.ledger] == [last.position, 0, 0, 0, 0, 0]
    first, second, third = (bank.ledger in sweep() for _ in range(3))
    assert not first
    assert second
    assert not third


def test_a_stage_that_stands_still_on_a_busy_ledger_is_noticed(env: dict[str, str]) -> None:
    """While operations come in and the stages before move, a `post` that does not is rung for,
    carefully from the third time on."""
    bank = Bank(new_ledger())
    careful: list[bool] = []
    for number in range(6):
        bank.open(f"a{number}")
        drain("validate", bank.ledger)
        drain("authorize", bank.ledger)
        broker().delete(VALIDATE)
        if bank.ledger in sweep():
            memory = read_memories()[bank.ledger.ledger_id]
            careful.append(memory.rings >= CAREFUL_AFTER)
            write_memories({bank.ledger: memory._replace(next_s=0.0)})
    assert careful == [False, False, True, True, True]


def test_a_clock_that_was_set_back_delays_no_ring(env: dict[str, str]) -> None:
    """A pause that ends later than any pause can was written by a clock that was ahead."""
    bank = Bank(new_ledger())
    bank.open("a")
    standing = Memory(read_lagging()[bank.ledger], rings=1, next_s=time.time() + 3600)
    write_memories({bank.ledger: standing})
    assert bank.ledger in sweep()
    assert bank.ledger not in sweep()


def test_one_look_takes_the_errands_behind_it_along(env: dict[str, str]) -> None:
    """After an outage of the workers one look is made, not one for each second that it took."""
    for _ in range(3):
        broker().rpush(SWEEP, "an errand")
    sweep_task.run()
    assert broker().llen(SWEEP) == 0


def test_a_bell_ends_before_its_task_is_killed(
    env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ledgers whose turn does not come in time are rung for again, not worked on."""
    monkeypatch.setattr(stages, "BELL_ENDS_AFTER_S", -1.0)
    bank = Bank(new_ledger())
    bank.open("a")
    waiting = broker().llen(VALIDATE)
    assert stages.work("validate", [list(bank.ledger)], careful=False).worked == []
    assert broker().llen(VALIDATE) == waiting + 1
    assert bank.rows("SELECT FROM runs WHERE ledger_id = :ledger") == []


def test_the_ringer_never_waits_for_a_dead_broker(env: dict[str, str]) -> None:
    """Ringing returns at once, whatever the broker does."""
    start = time.monotonic()
    for position in range(1000):
        ringer().add(LedgerRef(1, 900_002, "busy"), position)
    assert time.monotonic() - start < 1


def test_a_bell_says_which_ledgers_and_how_far() -> None:
    """What Flower shows names ledgers and positions, and stays short."""
    assert describe([("1/main", 1042)]) == "1/main up to 1042"
    many = [("1/main", 1), ("1/b", 2), ("1/c", 3), ("1/d", 4), ("1/e", 5)]
    assert describe(many) == "1/main up to 1, 1/b up to 2, 1/c up to 3 and 2 more"
