"""Operations over HTTP: submitted, followed and shown."""

from typing import Any

import pytest

from pipeline.kinds import OFFERED
from tests.api.caller import Caller, new_key, problem, transfer
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
        "submitted_by": "tests",
        "accepted_at": "",
        "timeline": {},
        "postings": [],
        "decisions": [],
        "rejection": None,
    }
    assert operation["timeline"]["accepted"] == operation["accepted_at"]
    assert api.get(answer.headers["Location"]).json == operation


def test_a_posted_operation_shows_its_postings(api: Caller) -> None:
    """Both legs, positive amounts, and balances on the accounts' normal sides."""
    api.open_two()
    operation = api.posted(transfer(700))
    line = {
        "pending": False,
        "amount": 700,
        "currency": "EUR",
        "balance_after": 700,
        "version": 1,
    }
    assert operation["postings"] == [
        {"account": "world", "direction": "debit", **line},
        {"account": "a", "direction": "credit", **line},
    ]
    assert list(operation["timeline"]) == [
        "accepted",
        "validated",
        "authorized",
        "posted",
        "audited",
        "notified",
    ]
    assert list(operation["timeline"].values()) == sorted(operation["timeline"].values())


@pytest.mark.parametrize(
    ("change", "stage", "code", "reached"),
    [
        ({"destination": "world"}, "validate", "same_account", []),
        ({"destination": "nobody"}, "post", "unknown_account", ["validated", "authorized"]),
    ],
)
def test_a_rejected_operation_says_why(
    api: Caller, change: dict[str, str], stage: str, code: str, reached: list[str]
) -> None:
    """A code, the stage, a detail and a sentence; no time for what it did not reach."""
    api.open("world")
    answer = api.submit(transfer() | change, wait=10)
    assert answer.status_code == 200
    operation: Any = answer.json
    assert operation["status"] == "rejected"
    assert operation["rejection"]["stage"] == stage
    assert operation["rejection"]["code"] == code
    assert operation["rejection"]["detail"] == {"account": change["destination"]}
    assert operation["rejection"]["message"].endswith(".")
    passed = [fact for fact, at in operation["timeline"].items() if at is not None]
    assert passed == ["accepted", *reached, "audited", "notified"]


def test_a_journal_of_every_member(api: Caller) -> None:
    """What was sent comes back: legs, texts, dates and metadata of each allowed type."""
    api.open_two()
    legs = [
        {"account": "world", "direction": "debit", "amount": 5, "currency": "EUR"},
        {"account": "a", "direction": "credit", "amount": 2, "currency": "EUR"},
        {"account": "a", "direction": "credit", "amount": 3, "currency": "EUR"},
    ]
    sent = {
        "kind": "journal",
        "legs": legs,
        "description": "Ünïcode ✓ \U0001f600",
        "effective_date": "2026-01-31",
        "metadata": {"order": "8123", "n": 2**53 + 1, "paid": True},
    }
    operation = api.posted(sent)
    assert {name: operation[name] for name in sent} == sent
    assert [line["balance_after"] for line in operation["postings"]] == [5, 2, 5]


@pytest.mark.parametrize(
    "id_",
    [
        "op_00000000g0r008000001ab2c3d",
        "op_01",
        "op_",
        "customers:42",
        "op_7zzzzzzzzzzzzzzzzzzzzzzzzz",
    ],
)
def test_an_id_that_names_nothing_is_404(api: Caller, id_: str) -> None:
    """An id of another shape, another ledger or no operation is the same 404."""
    answer = api.get(f"operations/{id_}")
    assert answer.status_code == 404
    assert answer.json is not None
    assert answer.json["code"] == "unknown_operation"


def test_an_id_cannot_be_guessed_from_its_position(api: Caller, asleep: Bellman) -> None:
    """The right ledger and position with other random bits find nothing."""
    id_ = (api.submit(transfer()).json or {})["id"]
    last = "1" if id_[-1] != "1" else "2"
    assert api.get(f"operations/{id_[:-1]}{last}").status_code == 404


def test_an_unknown_kind_names_the_known_ones(api: Caller) -> None:
    """422 with the list, whatever stands in `kind`."""
    for kind in ("payment", None, 7, ["transfer"]):
        answer = api.submit(transfer() | {"kind": kind})
        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["code"] == "unknown_kind"
        assert ", ".join(sorted(OFFERED)) in answer.json["detail"]


def test_every_wrong_member_is_named(api: Caller) -> None:
    """`param` is the first one, `errors` are all of them, with their paths."""
    body = {
        "kind": "journal",
        "legs": [
            {"account": "a", "direction": "up", "amount": 0, "currency": "EUR"},
            {"account": "b", "direction": "debit", "amount": 1},
        ],
        "colour": "red",
    }
    answer = api.submit(body)
    assert answer.status_code == 422
    problem: Any = answer.json
    assert {one["param"] for one in problem["errors"]} == {
        "colour",
        "legs.0.direction",
        "legs.0.amount",
        "legs.1.currency",
    }
    assert problem["param"] == problem["errors"][0]["param"]


def test_a_body_with_many_errors_gets_a_short_answer(api: Caller) -> None:
    """100,000 unknown members are not answered one by one, nor are their names repeated whole."""
    body = transfer() | {f"member-{n:>200}": 1 for n in range(4_000)}
    answer = api.submit(body)
    assert answer.status_code == 422
    assert len(answer.data) < 10_000


@pytest.mark.parametrize("kind", ["journal", "transfer"])
@pytest.mark.parametrize("body", [[], "text", 7, None, True])
def test_an_operation_is_an_object(api: Caller, kind: str, body: Any) -> None:
    """Any other JSON is a 422, at the top and in a leg."""
    sent = body if kind == "transfer" else {"kind": "journal", "legs": [body, body]}
    assert api.submit(sent if sent is not None else b"null").status_code == 422


def test_a_caller_may_do_only_what_its_roles_allow(api: Caller, asleep: Bellman) -> None:
    """A submitter moves money and opens no accounts; an auditor only reads; nobody does nothing."""
    account = {"kind": "open_account", "code": "a", "type": "asset", "currency": "EUR"}
    for roles, moves, opens, reads in (
        (["submitter"], 202, 403, 200),
        (["operator"], 202, 202, 200),
        (["auditor"], 403, 403, 200),
        ([], 403, 403, 403),
        (["janitor"], 403, 403, 403),
    ):
        caller = api.with_roles(*roles)
        assert caller.submit(transfer()).status_code == moves
        assert caller.submit(account).status_code == opens
        assert caller.get("operations").status_code == reads
    refused = api.with_roles("auditor").submit(transfer(), new_key())
    assert refused.json is not None
    assert refused.json["code"] == "forbidden"
    assert "admin, operator, submitter" in refused.json["detail"]


def test_what_an_operation_holds_has_no_date_of_its_own(api: Caller) -> None:
    """A date that no report would go by is refused, not lost; the date of a group counts."""
    api.open_two()
    dated = transfer(100, effective_date="2026-01-31")
    hold_it = {
        "group": {"kind": "group", "operations": [transfer(50), dated]},
        "schedule": {"kind": "schedule", "operation": dated, "at": "2030-01-01T00:00:00Z"},
    }
    for body in hold_it.values():
        answer = api.submit(body)
        assert problem(answer) == (422, "invalid_request"), answer.text
        assert "has no date of its own" in answer.text
    dated_schedule = {
        "kind": "schedule",
        "operation": transfer(100),
        "at": "2030-01-01T00:00:00Z",
        "effective_date": "2026-01-31",
    }
    assert problem(api.submit(dated_schedule)) == (422, "invalid_request")
    grouped = {"kind": "group", "operations": [transfer(50)], "effective_date": "2026-01-31"}
    assert api.posted(grouped)["effective_date"] == "2026-01-31"
    balance = api.get("accounts/a/balance?effective=2026-01-31").json
    assert balance is not None
    assert balance["balance"] == 50
