"""Accounts over HTTP: opened, shown, changed, frozen and closed by operations of the log."""

from typing import Any

import pytest

from models.ledger import LedgerRef
from tests.api.caller import LIABILITY, WORLD, Caller, new_key, transfer
from tests.api.conftest import Bellman, work


def test_an_account_is_opened(api: Caller) -> None:
    """201 with the account and where it is; `show` says the same."""
    body = {
        "code": "customers:42",
        "type": "asset",
        "currency": "USD",
        "overdraft": "unlimited",
        "name": "Ada",
        "metadata": {"tier": "gold", "since": 2024, "vip": True},
    }
    answer = api.post("accounts", body, key="k")
    assert answer.status_code == 201
    assert answer.json == {
        "object": "account",
        "ledger": api.ledger,
        **body,
        "status": "open",
        "frozen": None,
        "balance": 0,
        "available": None,
        "debits_posted": 0,
        "credits_posted": 0,
        "debits_pending": 0,
        "credits_pending": 0,
        "version": 0,
    }
    assert "Preference-Applied" not in answer.headers
    assert api.get(answer.headers["Location"]).json == answer.json
    again = api.post("accounts", body, key="k")
    assert (again.status_code, again.json) == (200, answer.json)
    assert again.headers["Idempotent-Replayed"] == "true"


def test_balances_are_on_the_normal_side(api: Caller) -> None:
    """Assets rise with debits, liabilities with credits; available is balance and overdraft."""
    api.open("world", **WORLD)
    api.open("a", overdraft=50)
    api.posted(transfer(700))
    world: Any = api.get("accounts/world").json
    held: Any = api.get("accounts/a").json
    assert (world["balance"], world["debits_posted"], world["available"]) == (700, 700, None)
    assert (held["balance"], held["credits_posted"], held["available"]) == (700, 700, 750)
    assert held["version"] == 1


def test_a_life_of_an_account(api: Caller) -> None:
    """Changed, frozen, unfrozen, closed, reopened: 200 with the account as it then is."""
    api.open("a")
    changed: Any = api.call("PATCH", "accounts/a", {"overdraft": 70, "name": "B"}, key=new_key())
    assert changed.status_code == 200
    assert (changed.json["overdraft"], changed.json["name"]) == (70, "B")
    verbs = {"freeze": "frozen", "unfreeze": "open", "close": "closed", "reopen": "open"}
    for verb, status in [*verbs.items(), ("close", "closed")]:
        answer: Any = api.post(f"accounts/a/{verb}", key=new_key())
        assert (answer.status_code, answer.json["status"]) == (200, status)
    reasons = {"description": "by request", "metadata": {"ticket": 7}}
    refused: Any = api.post("accounts/a/freeze", reasons, key="why")
    assert (refused.status_code, refused.json["code"]) == (409, "account_closed")
    shown: Any = api.get(f"operations/{refused.json['operation']}").json
    assert shown["description"] == "by request"
    assert shown["rejection"] == refused.json["rejection"]
    kinds: Any = api.get("operations?order=oldest").json
    assert [one["kind"] for one in kinds["data"]] == [
        "open_account",
        "update_account",
        "freeze_account",
        "unfreeze_account",
        "close_account",
        "reopen_account",
        "close_account",
        "freeze_account",
    ]


def test_one_side_of_an_account_is_frozen(api: Caller) -> None:
    """Its money comes in and does not go out; freezing it otherwise changes the side."""
    api.open_two()
    for mode in ("credits", "debits"):
        frozen: Any = api.post("accounts/a/freeze", {"mode": mode}, key=new_key())
        assert (frozen.status_code, frozen.json["status"]) == (200, "frozen")
        assert frozen.json["frozen"] == mode
    again: Any = api.post("accounts/a/freeze", {"mode": "debits"}, key=new_key())
    assert (again.status_code, again.json["code"]) == (409, "account_frozen")
    api.posted(transfer(100))
    out: Any = api.submit(transfer(1, source="a", destination="world"), wait=10)
    assert out.json["rejection"]["code"] == "account_frozen"
    both: Any = api.post("accounts/a/freeze", key=new_key())
    assert both.json["frozen"] == "both"
    refused: Any = api.submit(transfer(1), wait=10)
    assert refused.json["rejection"]["code"] == "account_frozen"
    opened: Any = api.post("accounts/a/unfreeze", key=new_key())
    assert (opened.json["status"], opened.json["frozen"]) == ("open", None)


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "accounts", {"code": "a", **LIABILITY}, "account_exists"),
        ("PATCH", "accounts/nobody", {"name": "x"}, "unknown_account"),
        ("POST", "accounts/nobody/freeze", None, "unknown_account"),
        ("POST", "accounts/a/unfreeze", None, "account_not_frozen"),
        ("POST", "accounts/a/reopen", None, "account_not_closed"),
        ("POST", "accounts/a/close", {}, "account_not_empty"),
    ],
)
def test_a_rejected_change_is_a_conflict(
    api: Caller, method: str, path: str, body: Any, code: str
) -> None:
    """409 with the rejection's code and operation; the same again under the same key."""
    api.open_two()
    api.posted(transfer(100))
    key = new_key()
    for _ in range(2):
        answer: Any = api.call(method, path, body, key=key)
        assert (answer.status_code, answer.json["code"]) == (409, code)
        assert answer.json["rejection"]["code"] == code
        assert api.get(f"operations/{answer.json['operation']}").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "accounts", {"code": "a"}, 422),
        ("POST", "accounts", {"code": "a b", **LIABILITY}, 422),
        ("POST", "accounts", {"code": "a", "kind": "open_account", **LIABILITY}, 422),
        ("POST", "accounts", b"{", 400),
        ("POST", "accounts", b"7", 422),
        ("PATCH", "accounts/a", {}, 422),
        ("PATCH", "accounts/a", {"overdraft": -1}, 422),
        ("PATCH", "accounts/a", {"account": "b", "name": "x"}, 422),
        ("PATCH", "accounts/a", [], 422),
        ("PATCH", "accounts/a", None, 415),
        ("POST", "accounts/a/freeze", {"account": "b"}, 422),
        ("POST", "accounts/a/freeze", {"reason": "x"}, 422),
        ("POST", "accounts/a/freeze", {"mode": "left"}, 422),
        ("POST", "accounts/a/unfreeze", {"mode": "both"}, 422),
        ("POST", "accounts/a/reopen", {"account": "b"}, 422),
        ("POST", "accounts/a/freeze", b"[1]", 422),
        ("POST", "accounts/a%20b/freeze", None, 422),
        ("POST", "accounts/%00/close", None, 422),
    ],
)
def test_a_wrong_change_stores_nothing(
    api: Caller, method: str, path: str, body: Any, status: int
) -> None:
    """Shape errors never reach the log."""
    assert api.call(method, path, body, key=new_key()).status_code == status
    listed: Any = api.get("operations").json
    assert listed["data"] == []


def test_a_change_that_takes_longer(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """202 with the operation when the wait ends first; the account is there later."""
    body = {"code": "a", **LIABILITY}
    answer: Any = api.post("accounts", body, key="k", wait=0)
    assert answer.status_code == 202
    assert answer.json["object"] == "operation"
    assert answer.headers["Location"].endswith(answer.json["id"])
    waited: Any = api.post("accounts", body, key="k", wait=1)
    assert waited.status_code == 202
    assert waited.headers["Preference-Applied"] == "wait=1"
    work(ledger)
    assert api.post("accounts", body, key="k").status_code == 200


@pytest.mark.parametrize(
    ("code", "path"),
    [
        ("customers:42", "customers:42"),
        ("customers:42", "customers%3A42"),
        ("a/b/c", "a/b/c"),
        ("a/b/c", "a%2Fb%2fc"),
        ("a//b", "a//b"),
        ("a/", "a/"),
        ("x@y.example", "x%40y.example"),
        ("_a:b-c.d", "_a:b-c.d"),
        ("a/freeze", "a/freeze"),
        ("postings", "postings"),
    ],
)
def test_codes_in_addresses(api: Caller, code: str, path: str) -> None:
    """Slashes and colons, as they are or encoded, and the routes below the account."""
    api.open(code)
    assert (api.get(f"accounts/{path}").json or {})["code"] == code
    assert api.get(f"accounts/{path}/postings").status_code == 200
    for verb, status in (("freeze", "frozen"), ("unfreeze", "open"), ("close", "closed")):
        answer: Any = api.post(f"accounts/{path}/{verb}", key=new_key())
        assert (answer.status_code, answer.json.get("status")) == (200, status)


def test_a_code_that_ends_like_a_route(api: Caller) -> None:
    """The route below the account is meant; the account is found with `?code=`."""
    api.open("a/postings")
    assert api.get("accounts/a/postings").status_code == 404
    listed: Any = api.get("accounts?code=a/postings").json
    assert [one["code"] for one in listed["data"]] == ["a/postings"]


def test_many_accounts_at_once(api: Caller) -> None:
    """Each item has an outcome, and those that were opened are shown."""
    api.open("there")
    items: list[Any] = [
        {"idempotency_key": "one", "code": "one", **LIABILITY},
        {"idempotency_key": "bad", "code": "b b", **LIABILITY},
        {"idempotency_key": "there", "code": "there", **LIABILITY},
        {"code": "no-key", **LIABILITY},
        {"idempotency_key": "one", "code": "one", **LIABILITY},
        {"idempotency_key": "two", "code": "two", **WORLD},
    ]
    answer: Any = api.post("accounts", items, wait=10)
    assert answer.status_code == 200
    found = answer.json["data"]
    assert [one["status"] for one in found] == [
        "opened",
        "invalid",
        "rejected",
        "invalid",
        "replayed",
        "opened",
    ]
    assert found[0]["account"] == api.get("accounts/one").json
    assert found[4]["account"] == found[0]["account"]
    assert found[2]["error"]["code"] == "account_exists"
    assert found[3]["error"]["code"] == "idempotency_key_missing"
    assert (answer.json["opened"], answer.json["rejected"], answer.json["invalid"]) == (2, 1, 2)


def test_many_accounts_that_take_longer(api: Caller, asleep: Bellman) -> None:
    """Without workers they are accepted, and no account is shown."""
    items = [{"idempotency_key": f"k-{n}", "code": f"c-{n}", **LIABILITY} for n in range(3)]
    answer: Any = api.post("accounts", items, wait=0)
    assert [one["status"] for one in answer.json["data"]] == ["accepted"] * 3
    assert not any("account" in one for one in answer.json["data"])


def test_only_some_roles_change_accounts(api: Caller) -> None:
    """A submitter may not open, change or freeze; an auditor may look."""
    api.open("a")
    for roles in (["submitter"], ["auditor"]):
        caller = api.with_roles(*roles)
        body = {"code": "b", **LIABILITY}
        assert caller.post("accounts", body, key=new_key()).status_code == 403
        assert caller.call("PATCH", "accounts/a", {"name": "x"}, key=new_key()).status_code == 403
        assert caller.post("accounts/a/freeze", key=new_key()).status_code == 403
        assert caller.get("accounts/a").status_code == 200
