"""Places to die: SIGKILL there, and every promise holds once the rest has gone on."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.crash import AT_A_STAGE
from pipeline.drain import drain
from pipeline.receipt import Accepted
from pipeline.stage import STAGES
from tasks.ring import ring_now
from tests.acceptance.conftest import ROOT
from tests.bank import Bank, new_ledger

# A killed child is replaced, and the sweeper rings again within two seconds of the loss; the rest
# is for a machine that is busy with other tests.
FINAL_S = 60.0
MOMENT_S = 3.0
THROUGH, BY_STAGE = "all stages at once", "stage by stage"
BY_STAGE_POINTS = [f"{stage}.{where}" for stage in STAGES for where in AT_A_STAGE]
# Where all is done at once, the messages of the later stages are never sent.
UNSENT = {f"{stage}.after_message" for stage in STAGES[1:]}
STAGE_POINTS = [
    *((BY_STAGE, point) for point in BY_STAGE_POINTS),
    *((THROUGH, point) for point in BY_STAGE_POINTS if point not in UNSENT),
]


def until(what: Callable[[], bool], says: str) -> None:
    """Wait for it, at most FINAL_S seconds."""
    end = time.monotonic() + FINAL_S
    while not what():
        assert time.monotonic() < end, f"waited {FINAL_S} s in vain until {says}"
        time.sleep(0.02)


def notified(bank: Bank) -> int:
    """How far the last stage has come."""
    rows = bank.rows("SELECT last_position(:tenant, :ledger, 'notify')", tenant=1)
    return int(rows[0][0])


def settle(bank: Bank, last: Accepted) -> None:
    """Ring, and wait until everything up to `last` is final."""
    ring_now({bank.ledger: last.position})
    until(lambda: notified(bank) >= last.position, f"position {last.position} is notified")


def prepare(bank: Bank) -> None:
    """world and a, with 10.00 EUR, posted by the workers."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    settle(bank, bank.transfer("world", "a", 1000))


def check(bank: Bank, last: Accepted) -> None:
    """Promises 2 to 4: one outcome, one set of postings, balances that add up, sealed once."""
    assert bank.balance("a") == 1000 - 125 + 25
    assert bank.balance("world") == -900
    postings = bank.rows("SELECT position, leg FROM postings WHERE ledger_id = :ledger")
    assert sorted(map(tuple, postings)) == [(p, leg) for p in (3, 4, 5) for leg in (0, 1)]
    for stage in STAGES:
        runs = bank.rows(
            "SELECT from_position, to_position FROM runs"
            " WHERE ledger_id = :ledger AND stage = :stage ORDER BY 1",
            stage=stage,
        )
        ends = [0, *(run[1] for run in runs)]
        assert [run[0] for run in runs] == [end + 1 for end in ends[:-1]]
        assert ends[-1] == last.position
    blocks = bank.rows("SELECT sum(leaf_count) FROM audit_blocks WHERE ledger_id = :ledger")
    assert blocks[0][0] == last.position


@pytest.mark.parametrize(("way", "point"), STAGE_POINTS)
def test_a_worker_killed_at_a_stage_loses_and_doubles_nothing(
    bank: Bank, crash_folder: Path, way: str, point: str
) -> None:
    """A pool child that dies at this point leaves one outcome, sealed and notified."""
    token = crash_folder / point
    last = work_up_to(token, bank, way)
    if token.exists():  # the sweeper rang before us, and what stood apart stood side by side
        bank = Bank(new_ledger())
        last = work_up_to(token, bank, way)
    assert not token.exists(), f"no process dies at {point}"
    until(lambda: notified(bank) >= last.position, f"{last.position} is notified after {point}")
    check(bank, last)


def work_up_to(token: Path, bank: Bank, way: str) -> Accepted:
    """Two transfers, rung for in a way that meets the crash point; the second one."""
    prepare(bank)
    bank.transfer("a", "world", 125)
    if way == BY_STAGE:
        drain("validate", bank.ledger)  # a ledger whose stages stand apart is left to them
    token.touch()
    last = bank.transfer("world", "a", 25)
    ring_now({bank.ledger: last.position})
    until(
        lambda: not token.exists() or notified(bank) >= last.position,
        f"a process dies at {token.name}, or {last.position} is notified",
    )
    # What dies after the last commit dies a moment later.
    end = time.monotonic() + MOMENT_S
    while token.exists() and time.monotonic() < end:
        time.sleep(0.02)
    return last


ACCEPTING = """
import sys
from tests.bank import Bank, new_ledger
from models.ledger import LedgerRef
bank = Bank(LedgerRef(1, int(sys.argv[1]), "crash"))
bank.transfer("a", "world", 125, key="retried")
"""


@pytest.mark.parametrize("point", ["accept.before_commit", "accept.after_commit"])
def test_an_intake_killed_around_its_commit_is_retried_once(
    bank: Bank, servers: dict[str, str], tmp_path: Path, point: str
) -> None:
    """Who submits again after the process died gets one operation, and no key is stuck."""
    prepare(bank)
    (tmp_path / point).touch()
    env = {**os.environ, **servers, "TRIDENT_CRASH_AT": str(tmp_path)}
    command = [sys.executable, "-c", ACCEPTING, str(bank.ledger.ledger_id)]
    died = subprocess.run(command, env=env, cwd=ROOT, check=False, timeout=FINAL_S)
    assert died.returncode == -9
    again = bank.transfer("a", "world", 125, key="retried")
    assert again.replayed is (point == "accept.after_commit")
    last = bank.transfer("world", "a", 25)
    settle(bank, last)
    check(bank, last)
