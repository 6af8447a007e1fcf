"""Operations over HTTP: submitted, followed, shown and listed."""

from typing import Any

import pytest

from tests.api.caller import Caller, transfer
from tests.api.conftest import Bellman


def test_an_accepted_operation_is_answered_from_memory(api: Caller, asleep: Bellman) -> None:
    """202, a Location, and everything that is known of it; `show` says the same."""
    answer = api.submit(transfer(description="Rent"), "rent-1")
    assert answer.status_code == 202
    operation: Any = answer.json
    assert answer.headers["Location"] == f"/v1/ledgers/{api.ledger}/operations/{operation['id']}"
    assert operation | {"id": "", "accepted_at": "", "timeline": {}} == {
        "id": "",
        "object": "operation",
        "ledger": api.ledger,
        "position": 1,
        "kind": "transfer",
        "status": "accepted",
        "source": "world",
        "destination": "a",
        "amount": 100,
        "currency": "EUR",
        "description": "Rent",
        "idempotency_key": "rent-1",
        "accepted_at": "",
        "timeline": {},
        "postings": [],
        "rejection": None,
    }
    assert operation["timeline"]["accepted"] == operation["accepted_at"]
    assert api.get(answer.headers["Location"]).json == operation


def test_a_posted_operation_shows_its_postings(api: Caller) -> None:
    """Both legs, positive amounts, and balances on the accounts' normal sides."""
    api.open_two()
    operation = api.posted(transfer(700))
    assert operation["postings"] == [
        {
            "account": "world",
            "amount": 700,
            "direction": "debit",
            "currency": "EUR",
            "balance_after": 700,
            "version": 1,
        },
        {
            "account": "a",
            "amount": 700,
            "direction": "credit",
            "currency": "EUR",
            "balance_after": 700,
            "version": 1,
        },
    ]
    assert all(operation["timeline"].values())
    assert list(operation["timeline"].values()) == sorted(operation["timeline"].values())


@pytest.mark.parametrize(
    ("change", "stage", "code"),
    [
        ({"destination": "world"}, "validate", "same_account"),
        ({"destination": "nobody"}, "post", "unknown_account"),
    ],
)
def test_a_rejected_operation_says_why(
    api: Caller, change: dict[str, str], stage: str, code: str
) -> None:
    """A code, the stage, a detail and a sentence; the stages behind it have no time."""
    api.open("world")
    answer = api.submit(transfer() | change, wait=10)
    assert answer.status_code == 200
    operation: Any = answer.json
    assert operation["status"] == "rejected"
    assert operation["rejection"]["stage"] == stage
    assert operation["rejection"]["code"] == code
    assert operation["rejection"]["message"].endswith(".")
    assert operation["timeline"]["posted"] is None
    assert operation["timeline"]["notified"] is not None


def test_wait_answers_when_it_is_final(api: Caller) -> None:
    """`Prefer: wait` is applied, and the answer is 200 with the outcome."""
    api.open_two()
    answer = api.submit(transfer(), headers={"Prefer": "respond-async, wait=20"})
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=20"
