"""The rules of a ledger over HTTP: set by operations, shown together."""

from typing import Any

import pytest

from tests.api.caller import Caller, transfer

LIMIT = {
    "kind": "set_limit",
    "name": "daily-out",
    "per": "day",
    "account": "customers:*",
    "currency": "EUR",
    "amount": 1_000,
}
RULE = {"kind": "allow_accounts", "pattern": "customers:*", "type": "liability"}


def test_a_ledger_without_rules(api: Caller) -> None:
    """Empty lists, and the position of no operation."""
    assert api.get("settings").json == {
        "object": "settings",
        "ledger": api.ledger,
        "position": 0,
        "limits": [],
        "approvals": [],
        "accounts": [],
    }


def test_rules_are_shown_as_they_were_set(api: Caller) -> None:
    """In the order of their names, with what was left out."""
    api.posted(LIMIT | {"name": "b"})
    limit = api.posted(LIMIT)
    api.posted(RULE | {"overdraft": "unlimited"})
    last = api.posted({"kind": "remove_limit", "name": "b"})
    found: Any = api.get("settings").json
    assert found["position"] == last["position"]
    assert found["limits"] == [
        {
            "name": "daily-out",
            "per": "day",
            "account": "customers:*",
            "operation_kind": None,
            "role": None,
            "currency": "EUR",
            "amount": 1_000,
            "since": limit["position"],
        }
    ]
    assert found["accounts"] == [
        {
            "pattern": "customers:*",
            "type": "liability",
            "currency": None,
            "overdraft": "unlimited",
        }
    ]


def test_a_limit_refuses_with_what_is_used(api: Caller) -> None:
    """As a rejection of the operation, with the figures."""
    api.open("world", type="asset", overdraft="unlimited")
    api.posted(RULE)
    api.posted(LIMIT | {"account": "world"})
    api.posted(transfer(900, destination="customers:1", source="world"))
    answer = api.submit(transfer(1, source="customers:1", destination="world"), wait=10)
    assert (answer.json or {})["status"] == "posted"
    more = transfer(1_001, source="customers:2", destination="world")
    refused: Any = api.submit(more, wait=10).json
    assert refused["rejection"]["code"] == "insufficient_funds"
    api.posted(LIMIT | {"account": "customers:*", "amount": 1})
    refused = api.submit(transfer(2, source="customers:1", destination="world"), wait=10).json
    assert refused["rejection"]["code"] == "limit_reached"
    assert refused["rejection"]["detail"]["limit"] == 1


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (LIMIT | {"name": "Daily Out"}, "name"),
        (LIMIT | {"per": "year"}, "per"),
        (LIMIT | {"account": "customers:**"}, "account"),
        (LIMIT | {"account": "cust*"}, "account"),
        (LIMIT | {"account": ":*"}, "account"),
        (LIMIT | {"operation_kind": "open_account"}, "operation_kind"),
        (LIMIT | {"operation_kind": "expire"}, "operation_kind"),
        (LIMIT | {"operation_kind": "group"}, "operation_kind"),
        (LIMIT | {"operation_kind": ["transfer"]}, "operation_kind"),
        (LIMIT | {"role": ""}, "role"),
        (LIMIT | {"amount": -1}, "amount"),
        (LIMIT | {"amount": 1.5}, ""),
        (LIMIT | {"amount": "100"}, "amount"),
        (LIMIT | {"amount": True}, "amount"),
        (LIMIT | {"amount": 10**15 + 1}, "amount"),
        (RULE | {"pattern": 7}, "pattern"),
        (RULE | {"type": "money"}, "type"),
        (RULE | {"overdraft": -1}, "overdraft"),
        ({"kind": "disallow_accounts", "pattern": "a b"}, "pattern"),
        ({"kind": "remove_limit"}, "name"),
    ],
)
def test_a_wrong_rule_is_named(api: Caller, body: dict[str, Any], param: str) -> None:
    """Nothing is stored of it."""
    answer = api.submit(body)
    assert answer.status_code == (422 if param else 400), answer.text
    if param:
        assert (answer.json or {})["param"] == param
    assert (api.get("settings").json or {})["position"] == 0


def test_only_an_administrator_sets_rules(api: Caller) -> None:
    """Everybody who reads sees them."""
    for role in ("operator", "submitter", "auditor"):
        assert api.with_roles(role).submit(LIMIT).status_code == 403
        assert api.with_roles(role).get("settings").status_code == 200
