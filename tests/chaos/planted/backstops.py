"""Bugs of the core that decide twice, on a real Postgres: its guards hold alone, and are needed.

Two layers guard: each is taken away alone first, and the other holds; then both go.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple

from models.operation import show_id
from pipeline.principal import SCHEDULER
from pipeline.receipt import Accepted
from pipeline.strict_json import canonical
from tests.bank import Bank, transfer
from tests.chaos.planted import deciding
from tests.chaos.planted.real_servers import expect, first_fault, owner, prepared, servers

DUE = canonical({"roles": [SCHEDULER], "sub": "trident:scheduler"})
NO_GUARDS = (
    "ALTER TABLE decisions DISABLE TRIGGER USER",
    "ALTER TABLE decisions DROP CONSTRAINT decisions_pkey",
    "ALTER TABLE decisions DROP CONSTRAINT decisions_remaining_check",
    "DROP INDEX decisions_end_once",
)


class Totals(NamedTuple):
    """By how much what is available of account a falls, and account b's balance rises."""

    taken: int
    paid: int


class Case(NamedTuple):
    """A bug, what it lets happen twice, and what must come of that."""

    bug: Callable[[], AbstractContextManager[Any]]
    act: Callable[[Bank], None]
    right: Totals


def capture_twice(bank: Bank) -> None:
    """A hold of 4 is captured with 3, and with 3 again."""
    held = hold(bank)
    decide(bank, "capture", held, amount=3)
    decide(bank, "capture", held, amount=3)


def reverse_twice(bank: Bank) -> None:
    """A payment of 4 is given back with 3, and with 3 again, out of what b has besides."""
    bank.transfer("a", "b", 8)
    paid = bank.transfer("a", "b", 4)
    decide(bank, "reversal", paid, amount=3)
    decide(bank, "reversal", paid, amount=3)


def expire_twice(bank: Bank) -> None:
    """A hold of 4 expires, and again under another key."""
    held = hold(bank)
    decide(bank, "expire", held)
    decide(bank, "expire", held)


def hold(bank: Bank) -> Accepted:
    """Of 4, beside another of 8 that nobody decides."""
    bank.submit("hold", transfer("a", "b", 8))
    return bank.submit("hold", transfer("a", "b", 4))


def decide(bank: Bank, kind: str, target: Accepted, **more: Any) -> None:
    """A decision under a key of its own, about what is posted."""
    bank.work()
    principal = {"principal": DUE} if kind == "expire" else {}
    bank.submit(kind, {"target": show_id(target.id), **more}, **principal)


CASES = (
    Case(deciding.blind_capture, capture_twice, Totals(8 + 4, 3)),
    Case(deciding.countless_reversal, reverse_twice, Totals(8 + 4 - 3, 8 + 4 - 3)),
    Case(deciding.expiry_again, expire_twice, Totals(8, 0)),
)


def decided_twice(template: Path | None) -> str:
    """Who forgets what was decided takes or gives twice, unless the database counts as well."""
    with servers(template):
        bank = prepared()
        bank.fund("a", 100)  # so that nothing is refused for want of money
        for bug, act, right in CASES:
            expect(change(bank, act) == right, f"{act.__name__} goes wrong without the bug")
            with bug():
                expect(change(bank, act) == right, f"the guards alone do not hold {act.__name__}")
        owner(*NO_GUARDS)
        for bug, act, right in CASES:
            expect(change(bank, act) == right, f"the core alone does not hold {act.__name__}")
            with bug():
                expect(change(bank, act) != right, f"{act.__name__} did no harm")
        return first_fault(bank)


def change(bank: Bank, act: Callable[[Bank], None]) -> Totals:
    """What `act` changes. An operation that the guards refuse is given up (pipeline/poison.py)."""
    before = totals(bank)
    act(bank)
    bank.work()
    after = totals(bank)
    return Totals(before[0] - after[0], after[1] - before[1])


def totals(bank: Bank) -> tuple[int, int]:
    """What is available of a, and the balance of b."""
    available = (
        "SELECT credits_posted - debits_posted - debits_pending FROM accounts"
        " WHERE ledger_id = :ledger AND code = 'a'"
    )
    return int(bank.rows(available)[0][0]), bank.balance("b")
