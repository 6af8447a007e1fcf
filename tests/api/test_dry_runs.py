"""Dry runs over HTTP: what would happen, and nothing does."""

import orjson
import pytest

from models.ledger import LedgerRef
from tests.api.caller import Caller, operations_of, problem, transfer

PATH = "operations/dry-run"


def test_one_operation(api: Caller, ledger: LedgerRef) -> None:
    """Its postings with the balances behind them; it needs no key, and stores nothing."""
    api.open_two()
    before = operations_of(ledger)
    answer = api.post(PATH, transfer(700))
    assert answer.status_code == 200
    assert answer.json is not None
    assert {name: answer.json[name] for name in ("object", "as_of", "waiting", "posted")} == {
        "object": "dry_run",
        "as_of": before,
        "waiting": 0,
        "posted": 1,
    }
    (outlook,) = answer.json["data"]
    assert outlook["status"] == "posted"
    assert [(line["account"], line["balance_after"]) for line in outlook["postings"]] == [
        ("world", 700),
        ("a", 700),
    ]
    assert operations_of(ledger) == before


def test_many_operations(api: Caller) -> None:
    """As an array or as NDJSON; each builds on those before it, and one may be a repetition."""
    api.open_two()
    api.submit(transfer(100), key="order-1", wait=10)
    items = [
        {**transfer(100), "idempotency_key": "order-1"},
        {**transfer(101), "idempotency_key": "order-1"},
        transfer(50, source="a", destination="world"),
        transfer(51, source="a", destination="world"),
    ]
    lines = b"\n".join(map(orjson.dumps, items))
    for answer in (
        api.post(PATH, items),
        api.post(PATH, lines, mimetype="application/x-ndjson"),
    ):
        assert answer.json is not None
        statuses = [one["status"] for one in answer.json["data"]]
        assert statuses == ["replayed", "conflict", "posted", "rejected"]
        assert answer.json["data"][3]["rejection"]["code"] == "insufficient_funds"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([], (422, "invalid_request")),
        ([7], (422, "invalid_request")),
        ([{**transfer(), "kind": "expire"}], (422, "unknown_kind")),
        ([transfer(), transfer(-1)], (422, "invalid_request")),
        ([{**transfer(), "idempotency_key": "trident:due:1"}], (400, "idempotency_key_reserved")),
    ],
)
def test_what_cannot_be_read_is_refused_whole(
    api: Caller, body: object, expected: tuple[int, str]
) -> None:
    """With the item that is wrong."""
    assert problem(api.post(PATH, body)) == expected


def test_roles_hold_for_a_trial(api: Caller) -> None:
    """Who may not submit it may not try it."""
    auditor = api.with_roles("auditor")
    assert problem(auditor.post(PATH, transfer())) == (403, "forbidden")
