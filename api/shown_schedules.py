"""Schedules and their occurrences as clients see them."""

from copy import deepcopy
from typing import Any

from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.privacy.personal import masked
from pipeline.refusal import CODES
from pipeline.schedules import Occurrence, Schedule

# What a schedule may say; null where it does not.
SAID = ("at", "rule", "starts_at", "time_zone", "description", "metadata")


def schedule(ledger: LedgerRef, found: Schedule) -> dict[str, Any]:
    """A schedule with its next time and its last occurrence."""
    return {
        "id": show_id(found.id),
        "object": "schedule",
        "ledger": ledger.name,
        "position": found.position,
        "state": found.state,
        "next_at": found.next_at,
        "operation": masked("schedule", deepcopy(found.body))["operation"],
        **{name: found.body.get(name) for name in SAID},
        "accepted_at": found.accepted_at,
        "last_occurrence": None if found.last is None else occurrence(found.last),
    }


def occurrence(found: Occurrence) -> dict[str, Any]:
    """One time of a schedule, and what came of it."""
    rejection = None
    if found.code is not None:
        rejection = {"code": found.code, "detail": found.detail, "message": CODES[found.code]}
    return {
        "operation": show_id(found.id),
        "object": "occurrence",
        "position": found.position,
        "number": found.number,
        "due_at": found.due,
        "accepted_at": found.accepted_at,
        "outcome": found.outcome,
        "rejection": rejection,
    }
