"""Bugs that let a repeated request pay twice.

Two layers guard: each is taken away alone first, and the other holds; then both go.
"""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg2

import pipeline.accept
import tasks.ring
from models.ledger import LedgerRef
from pipeline.accept import LOOK_UP
from pipeline.receipt import Accepted, Receipt, Submission
from tests.bank import Bank
from tests.chaos.planted.real_servers import expect, first_fault, owner, prepared, servers

DROP_UNIQUE_KEY = "ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_pkey"


class BlindLookUp:
    """accept's look-up, which asks for no key."""

    def on(self, cursor: Any) -> str:
        """As Prepared.on."""
        sees = LOOK_UP.on(cursor)
        blind = sees.replace("%(hashes)s", "'{}'")
        assert blind != sees
        return blind


def keys_not_looked_up() -> Any:
    """accept inserts without asking which keys are known."""
    return mock.patch.object(pipeline.accept, "LOOK_UP", BlindLookUp())


def pay_twice(bank: Bank, key: str) -> int:
    """The same request two times; how much was paid."""
    before = bank.balance("b")
    for _ in range(2):
        with suppress(psycopg2.errors.UniqueViolation):
            bank.transfer("a", "b", 10, key=key)
    bank.work()
    return bank.balance("b") - before


def unique_keys_dropped(template: Path | None) -> str:
    """accept's look-up and the unique key both go: then a repeated request pays twice."""
    with servers(template):
        bank = prepared()
        expect(pay_twice(bank, "control") == 10, "paid other than once without the bug")
        with keys_not_looked_up():
            expect(pay_twice(bank, "guard") == 10, "the unique key alone does not hold")
        owner(DROP_UNIQUE_KEY)
        expect(pay_twice(bank, "look-up") == 10, "the look-up alone does not hold")
        with keys_not_looked_up():
            expect(pay_twice(bank, "both") == 20, "the bug did no harm")
        return first_fault(bank)


Receipts: dict[int, Accepted] = {}


def accept_by_redis(
    connection: Any, ledger: LedgerRef, submissions: Sequence[Submission], max_lag: int
) -> list[Receipt]:
    """What many services do: the key is looked up in Redis, and nowhere else."""
    (submission,) = submissions
    name = f"idempotency:{ledger.ledger_id}:{submission.key}"
    known: Any = tasks.ring.broker().get(name)
    if known is not None:
        return [Receipts[int(known)]]
    (receipt,) = pipeline.accept.accept(connection, ledger, submissions, max_lag)
    assert isinstance(receipt, Accepted)
    Receipts[receipt.position] = receipt._replace(replayed=True)
    tasks.ring.broker().set(name, receipt.position)
    return [receipt]


def pay_around_a_flush(bank: Bank, key: str) -> int:
    """A request, FLUSHALL, and the request again; how much was paid."""
    before = bank.balance("b")
    for _ in range(2):
        with suppress(psycopg2.errors.UniqueViolation):
            bank.transfer("a", "b", 10, key=key)
        tasks.ring.broker().flushall()
    bank.work()
    return bank.balance("b") - before


def keys_only_in_redis(template: Path | None) -> str:
    """Redis forgets: the request after FLUSHALL pays again, unless Postgres knows the key."""
    with servers(template):
        bank = prepared()
        expect(pay_around_a_flush(bank, "control") == 10, "paid other than once without the bug")
        by_redis = mock.patch("tests.bank.accept", accept_by_redis)
        with by_redis, keys_not_looked_up():
            expect(pay_around_a_flush(bank, "guard") == 10, "the unique key alone does not hold")
        owner(DROP_UNIQUE_KEY)
        with by_redis, keys_not_looked_up():
            expect(pay_twice(bank, "no flush") == 10, "keys in Redis do not even work")
            expect(pay_around_a_flush(bank, "both") == 20, "the bug did no harm")
        return first_fault(bank)
