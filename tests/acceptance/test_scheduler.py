"""The scheduler with real workers and beat: times come, processes die, and all happens once."""

import datetime as dt
from pathlib import Path

import pytest

from pipeline.verify.verify import verify
from tests.acceptance.test_crash_points import prepare, settle, until
from tests.bank import Bank, transfer

AHEAD_S = 1.5


def faults(bank: Bank) -> list[object]:
    """What `trident verify` finds."""
    return [finding.fault for finding in verify(bank.ledger) if finding.fault]


def count(bank: Bank, kind: str) -> int:
    """How many operations of the kind the log has."""
    query = "SELECT count(*) FROM operations WHERE ledger_id = :ledger AND kind = :kind"
    return int(bank.rows(query, kind=kind)[0][0])


@pytest.mark.parametrize("point", ["accept.before_commit", "accept.after_commit"])
def test_a_hold_expires_once_though_its_scheduler_is_killed(
    bank: Bank, crash_folder: Path, point: str
) -> None:
    """The child that makes an operation of the due time dies around its commit: the hold is given
    back by one operation, and nobody had to ask for it."""
    prepare(bank)
    expires_at = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=AHEAD_S)).isoformat()
    held = bank.submit("hold", transfer("a", "world", 700) | {"expires_at": expires_at})
    settle(bank, held)
    token = crash_folder / point
    token.touch()
    until(lambda: not token.exists(), f"the scheduler dies at {point}")
    until(lambda: bank.status(held) == "posted", "the hold has expired")
    query = "SELECT effect FROM decisions WHERE ledger_id = :ledger AND target = :target"
    effects = [row[0] for row in bank.rows(query, target=held.position)]
    assert effects == ["hold", "expire"]
    assert count(bank, "expire") == 1
    assert faults(bank) == []


def test_a_schedule_occurs_once_though_processes_are_killed(bank: Bank, crash_folder: Path) -> None:
    """The scheduler dies after its commit, and then the worker that posts: what the schedule holds
    happens once, and the schedule ends."""
    prepare(bank)
    at = (dt.datetime.now(dt.UTC) + dt.timedelta(seconds=AHEAD_S)).isoformat()
    payment = {"kind": "transfer", **transfer("a", "world", 700)}
    made = bank.submit("schedule", {"operation": payment, "at": at})
    settle(bank, made)
    tokens = [crash_folder / "accept.after_commit", crash_folder / "post.before_commit"]
    for token in tokens:
        token.touch()
    until(lambda: not any(token.exists() for token in tokens), "both have died")
    until(lambda: bank.status(made) == "posted", "the schedule has ended")
    assert count(bank, "occur") == 1
    assert bank.balance("a") == 300
    assert faults(bank) == []
