"""Ledgers over HTTP, and that two tenants see nothing of each other."""

from typing import Any

import pytest

from tests.api.caller import Caller, problem, transfer
from tests.api.conftest import Bellman, work
from tests.bank import new_ledger


def test_a_ledger_is_made_and_listed(api: Caller) -> None:
    """201, then it is there for every request; the list is in the order of names."""
    name = f"{api.ledger}-new"
    answer: Any = api.post("/v1/ledgers", {"name": name})
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/v1/ledgers/{name}"
    shown: Any = api.get(answer.headers["Location"]).json
    assert shown.items() >= answer.json.items()
    names: list[str] = []
    after = ""
    while True:
        page: Any = api.get(f"/v1/ledgers?limit=7{after}").json
        names += [one["name"] for one in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert names == sorted(set(names))
    assert {"main", name} <= set(names)


def test_a_name_is_given_once(api: Caller) -> None:
    """The second time is a conflict."""
    answer: Any = api.post("/v1/ledgers", {"name": api.ledger})
    assert (answer.status_code, answer.json["code"]) == (409, "ledger_exists")


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        b"null",
        {"name": 7},
        {"name": "a", "x": 1},
        *({"name": name} for name in ("", "A", "-a", "a" * 64, "a\n", "ä")),
    ],
)
def test_a_name_that_is_none(api: Caller, body: Any) -> None:
    """422 that says what a name is."""
    answer: Any = api.post("/v1/ledgers", body)
    assert (answer.status_code, answer.json["code"]) == (422, "invalid_request")


def test_only_admins_make_ledgers(api: Caller) -> None:
    """403 for the others, who may list them."""
    for role in ("operator", "submitter", "auditor"):
        caller = api.with_roles(role)
        assert caller.post("/v1/ledgers", {"name": "x"}).status_code == 403
        assert caller.get("/v1/ledgers").status_code == 200


def test_progress_and_lag(api: Caller, asleep: Bellman) -> None:
    """How far each stage is, how many operations wait for it, and how long the first one has."""
    fresh: Any = api.get(f"/v1/ledgers/{api.ledger}").json
    assert set(fresh["progress"].values()) == {0}
    assert fresh["lag"]["posted"] == {"operations": 0, "seconds": 0.0}
    for _ in range(3):
        api.submit(transfer())
    waiting: Any = api.get(f"/v1/ledgers/{api.ledger}").json
    assert waiting["progress"]["accepted"] == 3
    assert waiting["progress"]["notified"] == 0
    assert waiting["lag"]["validated"]["operations"] == 3
    assert 0 < waiting["lag"]["validated"]["seconds"] < 60
    work(asleep.rung[0][0])
    done: Any = api.get(f"/v1/ledgers/{api.ledger}").json
    assert set(done["progress"].values()) == {3}
    assert {lag["operations"] for lag in done["lag"].values()} == {0}
    assert {lag["seconds"] for lag in done["lag"].values()} == {0}
    assert done["index"] == {"position": 0, "operations": 3, "seconds": 0.0}


@pytest.mark.parametrize("name", ["nothing", "NOTHING", "%00", "%FF", "a" * 100, "..", "main "])
def test_an_unknown_ledger(api: Caller, name: str) -> None:
    """404 on every route below it, before anything else is looked at."""
    for method, path in (
        ("GET", ""),
        ("GET", "/operations"),
        ("GET", "/operations/op_1"),
        ("POST", "/operations"),
        ("POST", "/operations/bulk"),
        ("GET", "/accounts"),
        ("POST", "/accounts"),
        ("GET", "/accounts/a"),
        ("PATCH", "/accounts/a"),
        ("GET", "/accounts/a/postings"),
        ("POST", "/accounts/a/freeze"),
    ):
        answer: Any = api.call(method, f"/v1/ledgers/{name}{path}")
        assert answer.status_code == 404
        assert answer.json["code"] in {"unknown_ledger", "not_found"}


def test_a_tenant_that_does_not_exist(api: Caller) -> None:
    """A token of a tenant that is not there counts nowhere."""
    ghost = api.with_roles("admin", tenant_id=2**31 - 1)
    assert problem(ghost.post("/v1/ledgers", {"name": "x"})) == (401, "token_invalid")
    assert problem(ghost.get("/v1/ledgers")) == (401, "token_invalid")


def test_another_tenants_ledger_is_not_there(api: Caller, stranger: Caller) -> None:
    """Every route below it is 404, and it is not in the list."""
    api.open_two()
    operation = api.posted(transfer())
    for path in (
        "",
        "operations",
        f"operations/{operation['id']}",
        "accounts",
        "accounts/a",
        "accounts/a/postings",
    ):
        assert api.get(path).status_code == 200
        answer: Any = stranger.get(path)
        assert (answer.status_code, answer.json["code"]) == (404, "unknown_ledger")
    assert stranger.submit(transfer()).status_code == 404
    assert stranger.post("operations/bulk", [{}]).status_code == 404
    names: Any = stranger.get("/v1/ledgers").json
    assert api.ledger not in [one["name"] for one in names["data"]]


def test_two_tenants_with_one_name_share_nothing(
    api: Caller, stranger: Caller, other_tenant: int
) -> None:
    """Ledgers of the same name: other accounts, other operations, ids that mean nothing there."""
    stranger.post("/v1/ledgers", {"name": api.ledger})
    api.open_two()
    operation = api.posted(transfer())
    assert stranger.get("accounts").json == {
        "object": "list",
        "data": [],
        "has_more": False,
        "next": None,
    }
    assert stranger.get(f"operations/{operation['id']}").status_code == 404
    assert stranger.get("accounts/a").status_code == 404
    stranger.open("a", name="Mine")
    assert (api.get("accounts/a").json or {})["name"] is None


def test_an_id_of_another_ledger(api: Caller) -> None:
    """An operation is found in its own ledger only."""
    api.open_two()
    operation = api.posted(transfer())
    other = Caller(api.app, new_ledger().name)
    assert other.get(f"operations/{operation['id']}").status_code == 404
