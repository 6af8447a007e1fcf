"""What may go wrong around a schedule: somebody moves it, or it cannot be processed."""

from pipeline.verify.verify import verify
from tests.bank import Bank
from tests.pipeline.test_guards import attempt
from tests.pipeline.test_holds import proves
from tests.pipeline.test_schedules import minutely, name, occur, waits


def test_verify_finds_a_schedule_that_somebody_moved(bank: Bank) -> None:
    """Its next time, and how often it has changed, follow from the log."""
    minutely(bank)
    for change in ("due_at = due_at + interval '1 day'", "number = 7"):
        attempt(bank, f"UPDATE pending_operations SET {change} WHERE ledger_id = :ledger")
        faults = [finding.fault for finding in verify(bank.ledger) if finding.fault]
        assert [fault.message for fault in faults] == [
            "what is pending of it is not what the log makes of it"
        ]


def test_a_schedule_behind_a_poisoned_time_is_set_going_by_hand(bank: Bank) -> None:
    """What Trident could not process changes nothing, so the schedule stands still: its time has
    been submitted. A pause and a resumption give it another."""
    incomplete = {"kind": "open_account", "code": "x", "type": "asset", "currency": "EUR"}
    made = minutely(bank, operation=incomplete)
    poisoned = occur(bank, made, 0)
    for _ in range(5):
        bank.work()
    assert bank.rejection(poisoned) == "internal_error"
    assert waits(bank) == [("schedule", True, 0)]
    name(bank, "pause_schedule", made)
    name(bank, "resume_schedule", made)
    bank.work()
    assert waits(bank) == [("schedule", True, 2)]
    proves(bank)
