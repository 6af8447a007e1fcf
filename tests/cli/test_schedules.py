"""`trident schedules`: what happens later, and what came of it."""

import csv
import datetime as dt
import io
import json

import pytest

from models.db import tenant_reading
from models.operation import show_id
from pipeline.idempotency import DUE
from pipeline.receipt import Accepted
from pipeline.schedules import page
from tests.bank import Bank, transfer
from tests.cli.conftest import Trident
from tests.pipeline.test_holds import BY_TIME

RULE = "FREQ=MONTHLY;BYMONTHDAY=-1"


@pytest.fixture
def made(bank: Bank) -> list[Accepted]:
    """Two schedules that have occurred, the second in vain, and one for once that was cancelled."""
    bank.fund("customer", 150)
    bank.open("merchant")
    now = dt.datetime.now(dt.UTC)
    body = {"operation": {"kind": "transfer", **transfer("customer", "merchant", 100)}}
    monthly = {**body, "rule": RULE, "starts_at": now.isoformat(), "time_zone": "Europe/Zurich"}
    once = {**body, "at": (now + dt.timedelta(hours=1)).isoformat(), "description": "Rent"}
    found = [bank.submit("schedule", one) for one in (monthly, monthly, once)]
    for one in found[:2]:
        shown = show_id(one.id)
        occurrence = {"target": shown, "number": 0, "due": "2026-12-31T07:00:00Z"}
        bank.submit("occur", occurrence, key=DUE.format(shown, 0), principal=BY_TIME)
    bank.submit("cancel_schedule", {"target": show_id(found[2].id)})
    bank.work()
    return found


def test_schedules_are_listed_for_people(
    bank: Bank, made: list[Accepted], trident: Trident
) -> None:
    """Newest first, each with its next time, its rule, and what came of it."""
    result = trident("schedules", "--ledger", bank.ledger.name)
    assert result.exit_code == 0
    lines = [line for line in result.stdout.splitlines() if "op_" in line]
    assert [line.split()[0] for line in lines] == [show_id(one.id) for one in made[::-1]]
    assert "cancelled" in lines[0]
    assert "insufficient_funds" in lines[1]
    assert all(word in lines[2] for word in ("active", RULE, "Europe/Zurich", "posted"))


def test_schedules_are_listed_for_programs(
    bank: Bank, made: list[Accepted], trident: Trident
) -> None:
    """CSV and JSON hold the same."""
    words = ("schedules", "--ledger", bank.ledger.name, "--state", "active", "--format")
    rows = list(csv.DictReader(io.StringIO(trident(*words, "csv").stdout)))
    objects = json.loads(trident(*words, "json").stdout)
    assert [row["schedule"] for row in rows] == [show_id(one.id) for one in made[1::-1]]
    blank = [{name: value or "" for name, value in one.items()} for one in objects]
    assert blank == rows


def test_a_ledger_without_schedules_says_so(bank: Bank, trident: Trident) -> None:
    """Nothing is no table."""
    result = trident("schedules", "--ledger", bank.ledger.name)
    assert result.stdout == f"Ledger {bank.ledger.name} has no such schedule.\n"


def test_pages_follow_one_another(bank: Bank, made: list[Accepted]) -> None:
    """However small, they show each schedule once."""
    with tenant_reading(1) as connection:
        before, seen = 2**40, []
        while found := page(connection, bank.ledger, before, 1):
            before = found[0].position
            seen.append(before)
    assert seen == [one.position for one in made[::-1]]
