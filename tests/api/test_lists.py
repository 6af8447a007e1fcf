"""Lists of operations, postings and accounts: their order, their filters and their pages."""

import base64
import json
from typing import Any

import pytest
from flask import Flask

from models.ledger import LedgerRef
from pipeline.drain import drain
from pipeline.search import listing, sources
from tests.api.caller import Caller, transfer
from tests.api.conftest import Bellman
from tests.bank import new_ledger


def every(api: Caller, path: str, limit: int = 2) -> list[Any]:
    """All pages of a list; each but the last says that there is a next one."""
    found: list[Any] = []
    after = ""
    joint = "&" if "?" in path else "?"
    for _ in range(100):
        answer = api.get(f"{path}{joint}limit={limit}{after}")
        assert answer.status_code == 200, answer.text
        page: Any = answer.json
        found += page["data"]
        assert page["has_more"] == (page["next"] is not None)
        if not page["has_more"]:
            return found
        after = f"&after={page['next']}"
    raise AssertionError("a list without an end")


@pytest.fixture(scope="module")
def busy(app: Flask, _bellman: Bellman) -> Caller:
    """A ledger with operations of all kinds of outcomes; the positions 9 and 10 are waiting."""
    _bellman.awake = True
    api = Caller(app, new_ledger().name)
    api.open_two()  # 1, 2
    api.posted(transfer(100))  # 3
    api.posted(transfer(200, destination="a", description="Second"))  # 4
    api.submit(transfer(destination="nobody"), wait=10)  # 5: rejected by post
    api.submit(transfer(source="a", destination="a"), wait=10)  # 6: rejected by validate
    api.posted(transfer(300, effective_date="2026-02-01"))  # 7
    api.open("b")  # 8
    _bellman.awake = False
    api.submit(transfer(400))  # 9
    api.submit(transfer(source="b", destination="b"))  # 10
    return api


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ("", [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("order=newest", [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]),
        ("order=oldest", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        ("status=posted", [8, 7, 4, 3, 2, 1]),
        ("status=posted&order=oldest", [1, 2, 3, 4, 7, 8]),
        ("status=rejected", [6, 5]),
        ("status=accepted", [10, 9]),
        ("status=authorized", []),
        ("kind=open_account", [8, 2, 1]),
        ("kind=open_account&order=oldest", [1, 2, 8]),
        ("kind=transfer&status=rejected", [6, 5]),
        ("kind=open_account&status=rejected", []),
        ("kind=journal", []),
        ("account=a", [7, 4, 3]),
        ("account=a&order=oldest", [3, 4, 7]),
        ("account=a&kind=transfer", [7, 4, 3]),
        ("account=a&kind=journal", []),
        ("account=a&status=posted", [7, 4, 3]),
        ("account=a&status=accepted", []),
        ("account=b", []),
    ],
)
def test_operations_by_their_filters(busy: Caller, query: str, positions: list[int]) -> None:
    """The same operations in one page and in pages of one, two and three."""
    for limit in (1, 2, 3, 200):
        found = every(busy, f"operations?{query}", limit)
        assert [one["position"] for one in found] == positions


def test_a_status_moves_with_the_stages(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """What waits is accepted, then validated, then authorized, then posted or rejected."""
    for body in (
        {"kind": "open_account", "code": "a", "type": "asset", "currency": "EUR"},
        transfer(),
    ):
        api.submit(body)
    for stage, status in (
        ("validate", "accepted"),
        ("authorize", "validated"),
        ("post", "authorized"),
    ):
        found = every(api, f"operations?status={status}")
        assert [one["position"] for one in found] == [2, 1]
        assert {one["status"] for one in found} == {status}
        drain(stage, ledger, careful=True)  # by itself
    assert [one["position"] for one in every(api, "operations?status=posted")] == [1]
    assert [one["position"] for one in every(api, "operations?status=rejected")] == [2]


def test_operations_by_time(busy: Caller) -> None:
    """`since` is included, `until` is not; both take an offset or mean UTC."""
    operations = every(busy, "operations?order=oldest")
    fourth, seventh = operations[3]["accepted_at"], operations[6]["accepted_at"]
    found = every(busy, f"operations?order=oldest&since={fourth}&until={seventh}")
    assert [one["position"] for one in found] == [4, 5, 6]
    assert every(busy, "operations?since=2100-01-01") == []
    assert every(busy, "operations?until=2000-01-01T00:00:00%2B05:00") == []
    # Postgres takes offsets of less than 16 hours only.
    assert every(busy, "operations?until=2000-01-01T00:00:00%2B23:59") == []
    assert len(every(busy, "operations?since=2000-01-01T00:00:00-21:23")) == 10
    assert len(every(busy, "operations?since=0001-01-01&until=9999-12-31T23:59:59Z")) == 10


def test_listed_operations_are_those_that_are_shown(busy: Caller) -> None:
    """A listed operation is the shown one without its postings and its fate."""
    for listed in every(busy, "operations"):
        shown: Any = busy.get(f"operations/{listed['id']}").json
        del shown["postings"], shown["decisions"]
        assert listed == shown


def test_a_filter_without_an_index_looks_through_bounded_stretches(
    busy: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages may be short or empty, but together they are complete and in order."""
    monkeypatch.setattr(listing, "WORK_MAX", 3)
    monkeypatch.setattr(sources, "WORK_MAX", 3)
    monkeypatch.setattr(listing, "POSTINGS", 2)
    first: Any = busy.get("operations?kind=open_account&limit=2").json
    assert [one["position"] for one in first["data"]] == [8]
    assert first["has_more"]
    for query, positions in (
        ("kind=open_account", [8, 2, 1]),
        ("kind=open_account&order=oldest", [1, 2, 8]),
        ("status=posted", [8, 7, 4, 3, 2, 1]),
        ("status=rejected&kind=transfer", [6, 5]),
        ("account=a&order=oldest", [3, 4, 7]),
        ("account=world&kind=transfer", [7, 4, 3]),
    ):
        for limit in (1, 2, 200):
            found = every(busy, f"operations?{query}", limit)
            assert [one["position"] for one in found] == positions


def test_an_accounts_postings(busy: Caller) -> None:
    """Newest or oldest first, by time, each with its operation and the balance behind it."""
    lines = every(busy, "accounts/a/postings?order=oldest")
    assert [(line["position"], line["amount"], line["balance_after"]) for line in lines] == [
        (3, 100, 100),
        (4, 200, 300),
        (7, 300, 600),
    ]
    shown: Any = busy.get(f"operations/{lines[1]['operation']}").json
    assert lines[1] == {
        "operation": shown["id"],
        "position": 4,
        "kind": "transfer",
        "accepted_at": shown["accepted_at"],
        "effective_date": None,
        "description": "Second",
        "amount": 200,
        "direction": "credit",
        "currency": "EUR",
        "balance_after": 300,
        "version": 2,
    }
    assert every(busy, "accounts/a/postings", 1) == lines[::-1]
    assert every(busy, f"accounts/a/postings?since={shown['accepted_at']}") == lines[:0:-1]
    assert every(busy, f"accounts/a/postings?until={shown['accepted_at']}") == lines[:1]
    assert every(busy, "accounts/b/postings") == []


def test_accounts_in_the_order_of_their_codes(api: Caller) -> None:
    """Pages by code; `code` finds the one, or none."""
    for code in ("b:2", "a", "b:1", "c/x"):
        api.open(code)
    assert [one["code"] for one in every(api, "accounts")] == ["a", "b:1", "b:2", "c/x"]
    assert [one["code"] for one in every(api, "accounts?code=c/x")] == ["c/x"]
    assert every(api, "accounts?code=nobody") == []


@pytest.mark.parametrize("listed", ["/v1/ledgers", "operations", "accounts", "accounts/a/postings"])
@pytest.mark.parametrize(
    ("query", "status", "code", "param"),
    [
        ("limit=0", 422, "invalid_request", "limit"),
        ("limit=201", 422, "invalid_request", "limit"),
        ("limit=x", 422, "invalid_request", "limit"),
        ("limit=" + "9" * 5000, 422, "invalid_request", "limit"),
        ("after=x", 400, "invalid_cursor", "after"),
        ("after=" + "x" * 5000, 400, "invalid_cursor", "after"),
        ("after=WyJub3QtYS1saXN0IiwxXQ", 400, "invalid_cursor", "after"),
        ("after=bnVsbA", 400, "invalid_cursor", "after"),
        ("colour=red", 422, "invalid_request", "colour"),
    ],
)
def test_a_wrong_parameter_is_named(
    api: Caller, listed: str, query: str, status: int, code: str, param: str
) -> None:
    """Unknown parameters too: a filter with a typing error must not show everything."""
    api.open("a")
    answer = api.get(f"{listed}?{query}")
    assert answer.status_code == status
    problem: Any = answer.json
    assert (problem["code"], problem["param"]) == (code, param)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("status=done", "status"),
        ("kind=payment", "kind"),
        ("order=up", "order"),
        ("account=%00", "account"),
        ("since=yesterday", "since"),
        ("since=2026-01-01T00:00:00+05:00", "since"),
        ("until=", "until"),
        ("since=0001-01-01T00:00:00%2B14:00", "since"),
        ("since=2026-01-01T00:00:00%2B24:00", "since"),
    ],
)
def test_a_wrong_filter_is_named(api: Caller, query: str, param: str) -> None:
    """With what it should have been."""
    answer = api.get(f"operations?{query}")
    assert answer.status_code == 422
    assert answer.json is not None
    assert answer.json["param"] == param


@pytest.mark.parametrize("place", [-1, 2**63, 2**70, "a\x00", True, [1], {"a": 1}, 1.5, None])
def test_a_forged_cursor_is_refused(api: Caller, place: Any) -> None:
    """Whatever stands in it: 400, and the database is not asked."""
    for listed in ("operations", "accounts"):
        forged = base64.urlsafe_b64encode(json.dumps([listed, place]).encode()).decode()
        assert api.get(f"{listed}?after={forged}").status_code == 400


def test_an_unknown_account_has_no_postings_and_no_operations(api: Caller) -> None:
    """404 for either question."""
    for path in ("accounts/nobody", "accounts/nobody/postings", "operations?account=nobody"):
        answer = api.get(path)
        assert answer.status_code == 404
        assert answer.json is not None
        assert answer.json["code"] == "unknown_account"


def test_many_legs_on_one_account_are_one_operation(api: Caller) -> None:
    """A journal that posts to an account ten times is listed once."""
    api.open_two()
    legs: list[dict[str, Any]] = [
        {"account": "a", "direction": "credit", "amount": n, "currency": "EUR"}
        for n in range(1, 11)
    ]
    legs.append({"account": "world", "direction": "debit", "amount": 55, "currency": "EUR"})
    api.posted({"kind": "journal", "legs": legs})
    api.posted(transfer(5))
    for limit in (1, 2, 200):
        found = every(api, "operations?account=a", limit)
        assert [one["position"] for one in found] == [4, 3]
        assert len(every(api, "accounts/a/postings", limit)) == 11
