"""Bulk intake: many operations in one request, an outcome for each."""

from typing import Any

import orjson
import pytest

from api.parameters import BULK_STATUSES
from api.state import NAME
from models.ledger import LedgerRef
from tests.api.caller import Caller, new_key, transfer
from tests.api.conftest import Bellman
from tests.bank import Bank

NDJSON = "application/x-ndjson"


def item(key: str = "", **members: Any) -> dict[str, Any]:
    """A transfer with a key of its own, unless one is given."""
    return {"idempotency_key": key or new_key(), **transfer(), **members}


def stored_keys(ledger: LedgerRef) -> list[str]:
    """The keys of the log, in order."""
    query = "SELECT idempotency_key FROM operations WHERE ledger_id = :ledger ORDER BY position"
    return [row[0] for row in Bank(ledger).rows(query)]


def test_five_thousand_in_their_order(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """The most that one request takes: all accepted, at consecutive positions, in order."""
    items = [item(f"bulk-{n}") for n in range(5_000)]
    answer = api.post("operations/bulk", items)
    assert answer.status_code == 200
    found: Any = answer.json
    assert (found["accepted"], found["invalid"], found["object"]) == (5_000, 0, "bulk")
    assert [one["position"] for one in found["data"]] == list(range(1, 5_001))
    assert [one["index"] for one in found["data"]] == list(range(5_000))
    assert stored_keys(ledger) == [f"bulk-{n}" for n in range(5_000)]
    shown: Any = api.get(f"operations/{found['data'][4_321]['id']}").json
    assert shown["idempotency_key"] == "bulk-4321"


def test_lines_are_as_good_as_an_array(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """NDJSON, with empty lines, with and without a last line end."""
    lines = b"\n".join(orjson.dumps(item(f"line-{n}")) for n in range(3))
    answer = api.post("operations/bulk", b"\n" + lines + b"\r\n\n", mimetype=NDJSON)
    assert answer.status_code == 200, answer.text
    assert stored_keys(ledger) == ["line-0", "line-1", "line-2"]


def test_one_bad_item_stops_no_other(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """Each bad item has a status and a problem of its own; the good ones are stored."""
    api.submit(transfer(), "known")
    api.submit(transfer(1), "other")
    items: list[Any] = [
        item("first"),
        item("bad", amount=-1),
        "no object",
        transfer(),
        item("x" * 256),
        item(" "),
        item("trident:mine"),
        item("what", kind="payment"),
        item("known"),
        item("other", amount=2),
        item("first"),
        item("first", amount=3),
        item("last"),
    ]
    found: Any = api.post("operations/bulk", items).json
    assert [(one["status"], one.get("error", {}).get("code")) for one in found["data"]] == [
        ("accepted", None),
        ("invalid", "invalid_request"),
        ("invalid", "invalid_request"),
        ("invalid", "idempotency_key_missing"),
        ("invalid", "idempotency_key_invalid"),
        ("invalid", "idempotency_key_invalid"),
        ("invalid", "idempotency_key_reserved"),
        ("invalid", "unknown_kind"),
        ("replayed", None),
        ("conflict", "idempotency_key_reused"),
        ("replayed", None),
        ("conflict", "idempotency_key_reused"),
        ("accepted", None),
    ]
    assert found["data"][1]["error"]["param"] == "amount"
    assert found["data"][9]["error"]["differs"] == ["amount"]
    assert found["data"][10]["id"] == found["data"][0]["id"]
    assert (found["accepted"], found["replayed"], found["conflict"]) == (2, 2, 2)
    assert stored_keys(ledger) == ["known", "other", "first", "last"]


def test_each_item_needs_the_role_of_its_kind(api: Caller, asleep: Bellman) -> None:
    """A submitter's accounts are forbidden, its transfers are not."""
    account = {"kind": "open_account", "code": "a", "type": "asset", "currency": "EUR"}
    items = [{"idempotency_key": "o", **account}, item()]
    found: Any = api.with_roles("submitter").post("operations/bulk", items).json
    assert [one["status"] for one in found["data"]] == ["forbidden", "accepted"]


def test_a_repeated_document_changes_nothing(
    api: Caller, asleep: Bellman, ledger: LedgerRef
) -> None:
    """The same ids, all replayed."""
    items = [item(f"again-{n}") for n in range(100)]
    first: Any = api.post("operations/bulk", items).json
    again: Any = api.post("operations/bulk", items).json
    assert again["replayed"] == 100
    assert [one["id"] for one in again["data"]] == [one["id"] for one in first["data"]]
    assert len(stored_keys(ledger)) == 100


@pytest.mark.parametrize(
    ("body", "mimetype", "status", "code"),
    [
        (b"[{]", "application/json", 400, "malformed_body"),
        (b'[{"a":1,"a":2}]', "application/json", 400, "malformed_body"),
        (b"{}", "application/json", 422, "invalid_request"),
        (b"[]", "application/json", 422, "invalid_request"),
        (b"\n\n", NDJSON, 422, "invalid_request"),
        (b"{}\n{\n", NDJSON, 400, "malformed_body"),
        (b"{}\n\xff\n", NDJSON, 400, "malformed_body"),
        (b"[" + b"{}," * 5_000 + b"{}]", "application/json", 413, "too_many_items"),
        (b"{}\n" * 5_001, NDJSON, 413, "too_many_items"),
        (b"\n" * 100_000, NDJSON, 413, "too_many_items"),
        (b" " * (8 * 1024 * 1024 + 1), "application/json", 413, "body_too_large"),
        (b"kind=transfer", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_document_that_cannot_be_read_is_refused_whole(
    api: Caller, ledger: LedgerRef, body: bytes, mimetype: str, status: int, code: str
) -> None:
    """Nothing of it is stored; a bad line is named by its number."""
    answer = api.post("operations/bulk", body, mimetype=mimetype)
    problem: Any = answer.json
    assert (answer.status_code, problem["code"]) == (status, code)
    if mimetype == NDJSON and status == 400:
        assert problem["detail"].startswith("Line 2: ")
    assert stored_keys(ledger) == []


def test_a_lagging_ledger_takes_a_part(
    api: Caller, asleep: Bellman, ledger: LedgerRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is beyond the bound is `behind`; a single request gets 503 with Retry-After."""
    writer = api.app.extensions[NAME].writer
    for thread in writer._threads:
        monkeypatch.setattr(thread, "_max_lag", 3)
    found: Any = api.post("operations/bulk", [item(f"lag-{n}") for n in range(5)]).json
    assert [one["status"] for one in found["data"]] == ["accepted"] * 3 + ["behind"] * 2
    assert found["behind"] == 2
    single = api.submit(transfer())
    assert single.status_code == 503
    assert single.headers["Retry-After"] == "1"
    assert (single.json or {})["code"] == "ledger_behind"
    assert api.submit(transfer(), "lag-0").status_code == 202
    assert stored_keys(ledger) == ["lag-0", "lag-1", "lag-2"]


def test_a_request_of_which_nothing_got_through_is_503(
    api: Caller, ledger: LedgerRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not 200 with five thousand times the same reason."""
    writer = api.app.extensions[NAME].writer
    monkeypatch.setattr(writer, "_lines", writer._lines.__class__(most=0))
    writer._lines.close()
    answer = api.post("operations/bulk", [item(), item()])
    assert answer.status_code == 503
    assert (answer.json or {})["code"] == "intake_down"
    assert "unavailable" in BULK_STATUSES
