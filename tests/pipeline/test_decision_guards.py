"""What the database refuses about decisions by itself, whatever the code above it does."""

from collections.abc import Iterator

import psycopg2
import pytest

from models.operation import show_id
from pipeline.audit import AuditStopError
from pipeline.drain import drain
from pipeline.verify.verify import verify
from tests.bank import Bank, new_ledger, transfer
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import proves

# The positions of the log that `decided` makes; those from CAPTURE on wait for post.
PAID, HELD, TAKEN, BACK, REJECTED, CAPTURE, REVERSAL, RELEASE = range(5, 13)
AHEAD = RELEASE + 1


def decide(bank: Bank) -> Bank:
    """A payment of 10.00, of which 4.00 went back; a hold of 50.00, of which 20.00 was taken."""
    bank.fund("customer", 10_000)
    bank.open("merchant")
    paid = bank.transfer("customer", "merchant", 1_000)
    held = bank.submit("hold", transfer("customer", "merchant", 5_000))
    bank.submit("capture", {"target": show_id(held.id), "amount": 2_000})
    bank.submit("reversal", {"target": show_id(paid.id), "amount": 400})
    rejected = bank.transfer("merchant", "customer", 9_999)
    bank.work()
    assert (paid.position, held.position, rejected.position) == (PAID, HELD, REJECTED)
    bank.submit("capture", {"target": show_id(held.id), "amount": 1_000})
    bank.submit("reversal", {"target": show_id(paid.id), "amount": 100})
    bank.submit("release", {"target": show_id(held.id)})
    drain("validate", bank.ledger)
    return bank


@pytest.fixture
def decided(bank: Bank) -> Bank:
    """A ledger with decisions, some of which wait for post."""
    return decide(bank)


@pytest.fixture(scope="module")
def tried(module_env: dict[str, str]) -> Iterator[Bank]:
    """The same for all that is refused: the ledger then goes on as if nothing had been tried."""
    made = decide(Bank(new_ledger()))
    yield made
    made.work()
    proves(made)


def decision(
    target: int,
    number: int,
    position: int,
    effect: str,
    amount: int | str,
    remaining: int | str,
    terminal: bool = False,
) -> str:
    """The statement that stores one."""
    return (
        "INSERT INTO decisions (tenant_id, ledger_id, target, number, position, effect, amount,"
        f" remaining, terminal, actor) VALUES (1, :ledger, {target}, {number}, {position},"
        f" '{effect}', {amount}, {remaining}, {terminal}, 'somebody')"
    )


def move(position: int, amount: int, versions: tuple[int, int], balances: tuple[int, int]) -> str:
    """The statements that move `amount` from customer (number 2) to merchant (number 3)."""
    sides = (("debits", "credits"), ("credits", "debits"))[amount < 0]
    size = abs(amount)
    lines = [
        f"UPDATE accounts SET {side}_posted = {side}_posted + {size}, version = {version}"
        f" WHERE ledger_id = :ledger AND number = {number};"
        for side, version, number in zip(sides, versions, (2, 3), strict=True)
    ]
    values = ", ".join(
        f"({position}, {version}, {signed}, {balance}, 1, :ledger, {number}, {leg}, 'EUR', false)"
        for leg, (version, signed, balance, number) in enumerate(
            zip(versions, (-amount, amount), balances, (2, 3), strict=True)
        )
    )
    return (
        "".join(lines) + "INSERT INTO postings (position, version, amount, balance_after,"
        f" tenant_id, ledger_id, account, leg, currency, pending) VALUES {values};"
    )


# customer is at version 4 with 74.00, merchant at version 3 with 26.00.
def moved(position: int, amount: int) -> str:
    """As `move`, from where the accounts are."""
    return move(position, amount, (5, 4), (7_400 - amount, 2_600 + amount))


BAD = {
    "is not authorized": decision(HELD, 2, AHEAD, "release", 3_000, 0, True),
    "there is no operation": decision(99, 1, CAPTURE, "reverse", 1, 1),
    "the operation at 9 was rejected": decision(REJECTED, 1, REVERSAL, "reverse", 1, 9_998),
    "what 6 begins is its own": decision(HELD, 0, CAPTURE, "hold", 1, 1),
    "number 3 of 6 does not follow": decision(HELD, 3, RELEASE, "release", 3_000, 0, True),
    "number 1 of 6 does not follow": decision(HELD, 1, RELEASE, "release", 3_000, 0, True),
    "number 1 of 3 does not follow": decision(3, 1, RELEASE, "release", 1, 0, True),
    "number 2 of 6 does not follow": decision(HELD, 2, PAID, "release", 3_000, 0, True),
    "6 has 3000 left, of which 1000 cannot leave 2500": decision(
        HELD, 2, RELEASE, "release", 1_000, 2_500
    ),
    "decisions_remaining_check": decision(HELD, 2, RELEASE, "release", 3_001, -1, True),
    "decisions_end_when_used_up": decision(HELD, 2, RELEASE, "release", 3_000, 0, False),
    "10 does not post what it takes of 6": decision(HELD, 2, CAPTURE, "capture", 1_000, 2_000),
    "10 does not post what it takes of 6, which is 1000": moved(CAPTURE, 999)
    + decision(HELD, 2, CAPTURE, "capture", 1_000, 2_000),
    "11 would give back of 5 what it did not post": moved(REVERSAL, -601)
    + decision(PAID, 2, REVERSAL, "reverse", 600, 0, True),
    "12 is a release, and cannot be what did capture to 6": moved(RELEASE, 1_000)
    + decision(HELD, 2, RELEASE, "capture", 1_000, 2_000),
    "10 is a capture, and cannot be what did nothing to 6": decision(
        HELD, 2, CAPTURE, "nothing", "NULL", "NULL", True
    ),
    "10 is a capture, and cannot be what did hold to 10": decision(
        CAPTURE, 0, CAPTURE, "hold", 1, 1
    ),
    "12 reserves or gives back 0, and decides on 3000": decision(
        HELD, 2, RELEASE, "release", 3_000, 0, True
    ),
    "12 reserves or gives back 0, and decides on 0": decision(
        HELD, 2, RELEASE, "release", "NULL", "NULL", True
    ),
    "10 reserves or gives back 0, and decides on 1000": moved(CAPTURE, 1_000)
    + decision(HELD, 2, CAPTURE, "capture", 1_000, 2_000),
    "11 would do twice what it does once": moved(REVERSAL, -100)
    + decision(PAID, 2, REVERSAL, "reverse", 100, 500)
    + ";"
    + decision(PAID, 3, REVERSAL, "reverse", 100, 400),
    "11 would give back of 7 more than is left": moved(REVERSAL, -500)
    + decision(TAKEN, 1, REVERSAL, "reverse", 500, 1_501),
}


@pytest.mark.parametrize("says", BAD)
def test_a_false_decision_is_refused(tried: Bank, says: str) -> None:
    """By the database itself, with a message that names the fault."""
    with pytest.raises(psycopg2.Error, match=says):
        attempt(tried, BAD[says])


def test_a_reversal_gives_back_what_the_original_moved(tried: Bank) -> None:
    """Not something else, and not in the same direction again."""
    for statement in (moved(REVERSAL, 100), moved(REVERSAL, -599), moved(REVERSAL, -601)):
        with pytest.raises(psycopg2.Error, match="11 would give back of 5 what it did not post"):
            attempt(tried, statement + decision(PAID, 2, REVERSAL, "reverse", 600, 0, True))


def test_what_is_decided_stays_decided(decided: Bank) -> None:
    """Behind the last decision there is no other, nor does it wait any more."""
    decided.work()
    late = decided.submit("unfreeze_account", {"account": "merchant"})
    drain("validate", decided.ledger)
    with pytest.raises(psycopg2.Error, match="6 has been decided"):
        attempt(decided, decision(HELD, 4, late.position, "release", 1, 1))
    waiting = (
        "INSERT INTO pending_operations (tenant_id, ledger_id, target, effect)"
        f" VALUES (1, :ledger, {HELD}, 'hold')"
    )
    with pytest.raises(psycopg2.Error, match="6 is not pending"):
        attempt(decided, waiting)
    with pytest.raises(psycopg2.Error, match="5 is not pending"):
        attempt(decided, waiting.replace(str(HELD), str(PAID)))


def test_the_audit_misses_a_decision(decided: Bank) -> None:
    """Postings of a capture that decides nothing would be taken a second time."""
    attempt(
        decided,
        moved(CAPTURE, 1_000)
        + "INSERT INTO runs (tenant_id, ledger_id, stage, from_position, to_position)"
        + f" VALUES (1, :ledger, 'post', {CAPTURE}, {CAPTURE})",
    )
    with pytest.raises(AuditStopError, match="it decides nothing"):
        drain("audit", decided.ledger)


def test_verify_finds_what_is_kept_wrongly(decided: Bank) -> None:
    """A hold that is no longer kept as pending, or until another time, is found."""
    decided.submit("hold", transfer("customer", "merchant", 10))
    decided.work()
    for change in ("due_at = now()", "effect = 'wait'"):
        attempt(decided, f"UPDATE pending_operations SET {change} WHERE ledger_id = :ledger")
        faults = [finding.fault for finding in verify(decided.ledger) if finding.fault]
        assert any("pending" in fault.message for fault in faults)
    attempt(decided, "DELETE FROM pending_operations WHERE ledger_id = :ledger")
    faults = [finding.fault for finding in verify(decided.ledger) if finding.fault]
    assert any("not kept" in fault.message for fault in faults)
