"""Every refusal, by a table: what was asked of which books, and the code that answers.

The books hold world (asset, unlimited), rich (100.00 EUR), poor (0), dollars (USD), closed, frozen
(5.00 EUR), half (the same, for debits alone) and full (whose credits stand at the limit).
"""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pipeline.authorize import permission
from pipeline.kinds import KINDS
from pipeline.ledger import TOTAL_MAX, Account, Books, Entry
from pipeline.perform import perform
from pipeline.refusal import CODES, Refusal
from pipeline.stage import Operation
from pipeline.strict_json import canonical
from pipeline.validate import meaning
from tests.bank import ADMIN, transfer

DATE = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


def books() -> Books:
    """The books of the table."""
    accounts = [
        Account(1, "world", "asset", "EUR", None),
        Account(2, "rich", "liability", "EUR", 0, credits_posted=10000, version=1),
        Account(3, "poor", "liability", "EUR", 0),
        Account(4, "dollars", "liability", "USD", 0),
        Account(5, "closed", "liability", "EUR", 0, status="closed"),
        Account(6, "frozen", "liability", "EUR", 0, status="frozen", credits_posted=500),
        Account(
            7, "full", "liability", "EUR", 0, credits_posted=TOTAL_MAX, debits_posted=TOTAL_MAX
        ),
        Account(8, "debt", "liability", "EUR", 5000, debits_posted=3000),
        Account(9, "half", "liability", "EUR", 0, status="frozen_debits", credits_posted=500),
    ]
    return Books({account.code: account for account in accounts}, last_number=9)


def journal(*legs: tuple[str, int, str]) -> dict[str, Any]:
    """Legs as (account, signed amount, currency)."""
    return {
        "legs": [
            {
                "account": account,
                "direction": "credit" if amount > 0 else "debit",
                "amount": abs(amount),
                "currency": currency,
            }
            for account, amount, currency in legs
        ]
    }


CODES_OF_NOBODY = ["ZZY", "AAB", "QQQ", "AAC", "KKK", "AAD"]
OPENING = {"type": "liability", "currency": "EUR", "overdraft": 0}

# One row a refusal, in the order of precedence: each row after the first of a kind is wrong in
# every way that comes after it, too, wherever that can be.
POST: list[tuple[str, dict[str, Any], str | None]] = [
    ("transfer", transfer("rich", "poor", 10000), None),
    ("transfer", transfer("world", "poor", 10**15), None),
    ("transfer", transfer("nobody", "dollars", 10**15), "unknown_account"),
    ("transfer", transfer("closed", "nobody", 10**15), "unknown_account"),
    ("transfer", transfer("closed", "dollars", 10**15), "currency_mismatch"),
    ("transfer", transfer("dollars", "closed", 10**15), "currency_mismatch"),
    ("transfer", transfer("frozen", "closed", 10**15), "account_closed"),
    ("transfer", transfer("poor", "closed", 1), "account_closed"),
    ("transfer", transfer("frozen", "full", 501), "account_frozen"),
    ("transfer", transfer("poor", "frozen", 1), "account_frozen"),
    ("transfer", transfer("full", "poor", 1), "balance_overflow"),
    ("transfer", transfer("poor", "full", 1), "balance_overflow"),
    ("transfer", transfer("rich", "poor", 10001), "insufficient_funds"),
    ("transfer", transfer("debt", "poor", 2001), "insufficient_funds"),
    ("transfer", transfer("debt", "poor", 2000), None),
    ("journal", journal(("rich", -1, "EUR"), ("nobody", 1, "EUR")), "unknown_account"),
    ("journal", journal(("rich", -1, "USD"), ("dollars", 1, "USD")), "currency_mismatch"),
    ("journal", journal(("rich", -1, "EUR"), ("closed", 1, "EUR")), "account_closed"),
    ("journal", journal(("rich", -1, "EUR"), ("frozen", 1, "EUR")), "account_frozen"),
    ("journal", journal(("rich", -1, "EUR"), ("full", 1, "EUR")), "balance_overflow"),
    ("journal", journal(("poor", -1, "EUR"), ("rich", 1, "EUR")), "insufficient_funds"),
    # An account's limit is judged on what all legs together do to it.
    (
        "journal",
        journal(("poor", -9, "EUR"), ("poor", 9, "EUR"), ("rich", -1, "EUR"), ("world", 1, "EUR")),
        None,
    ),
    ("open_account", {"code": "new", **OPENING}, None),
    ("open_account", {"code": "closed", **OPENING}, "account_exists"),
    ("update_account", {"account": "nobody", "name": "x"}, "unknown_account"),
    ("update_account", {"account": "closed", "name": "x"}, "account_closed"),
    ("update_account", {"account": "debt", "overdraft": 2999}, "overdraft_in_use"),
    ("update_account", {"account": "debt", "overdraft": 3000}, None),
    ("update_account", {"account": "debt", "overdraft": "unlimited"}, None),
    ("freeze_account", {"account": "nobody"}, "unknown_account"),
    ("freeze_account", {"account": "closed"}, "account_closed"),
    ("freeze_account", {"account": "frozen"}, "account_frozen"),
    ("freeze_account", {"account": "rich"}, None),
    ("unfreeze_account", {"account": "nobody"}, "unknown_account"),
    ("unfreeze_account", {"account": "closed"}, "account_closed"),
    ("unfreeze_account", {"account": "rich"}, "account_not_frozen"),
    ("unfreeze_account", {"account": "frozen"}, None),
    ("close_account", {"account": "nobody"}, "unknown_account"),
    ("close_account", {"account": "closed"}, "account_closed"),
    ("close_account", {"account": "frozen"}, "account_frozen"),
    ("close_account", {"account": "rich"}, "account_not_empty"),
    ("close_account", {"account": "poor"}, None),
    ("close_account", {"account": "half"}, "account_frozen"),
    ("freeze_account", {"account": "half", "mode": "debits"}, "account_frozen"),
    ("freeze_account", {"account": "half", "mode": "credits"}, None),
    ("freeze_account", {"account": "half"}, None),
    ("freeze_account", {"account": "frozen", "mode": "both"}, "account_frozen"),
    ("freeze_account", {"account": "frozen", "mode": "debits"}, None),
    ("unfreeze_account", {"account": "half"}, None),
    ("transfer", transfer("half", "poor", 1), "account_frozen"),
    ("transfer", transfer("rich", "half", 1), None),
    ("reopen_account", {"account": "nobody"}, "unknown_account"),
    ("reopen_account", {"account": "rich"}, "account_not_closed"),
    ("reopen_account", {"account": "frozen"}, "account_not_closed"),
    ("reopen_account", {"account": "closed"}, None),
]

VALIDATE: list[tuple[str, dict[str, Any], str | None]] = [
    ("transfer", transfer("a", "b", 1), None),
    (
        "transfer",
        transfer("a", "a", 1, "XYZ") | {"effective_date": "1800-01-01"},
        "unknown_currency",
    ),
    (
        "transfer",
        transfer("a", "a", 1) | {"effective_date": "1899-12-31"},
        "effective_date_out_of_range",
    ),
    (
        "transfer",
        transfer("a", "b", 1) | {"effective_date": "2027-11-24"},
        "effective_date_out_of_range",
    ),
    ("transfer", transfer("a", "b", 1) | {"effective_date": "2027-11-23"}, None),
    ("transfer", transfer("a", "a", 1), "same_account"),
    ("journal", journal(("a", -2, "EUR"), ("b", 1, "EUR")), "unbalanced_journal"),
    (
        "journal",
        journal(("a", -1, "EUR"), ("b", 1, "USD")),
        "unbalanced_journal",
    ),
    ("journal", journal(("a", -1, "EUR"), ("b", 1, "ZZZ")), "unknown_currency"),
    ("open_account", {"code": "x", **OPENING, "currency": "ABC"}, "unknown_currency"),
]

AUTHORIZE: list[tuple[dict[str, Any], str, dict[str, Any], str | None]] = [
    ({"roles": ["submitter"]}, "transfer", transfer("a", "b", 100), None),
    ({"roles": ["auditor"]}, "transfer", transfer("a", "b", 100), "not_permitted"),
    ({"roles": []}, "transfer", transfer("a", "b", 100), "not_permitted"),
    ({}, "transfer", transfer("a", "b", 100), "not_permitted"),
    ({"roles": ["submitter"]}, "freeze_account", {"account": "a"}, "not_permitted"),
    ({"roles": ["operator"]}, "freeze_account", {"account": "a"}, None),
    ({"roles": ["owner"]}, "set_limit", {}, None),
    ({"roles": ["reader", "approver"]}, "transfer", transfer("a", "b", 100), "not_permitted"),
    ({"roles": ["admin"]}, "expire", {}, "not_permitted"),
    ({"roles": ["admin"], "scopes": []}, "transfer", transfer("a", "b", 100), "not_permitted"),
    (
        {"roles": ["admin"], "scopes": ["operation.hold", "operations.*"]},
        "transfer",
        transfer("a", "b", 100),
        "not_permitted",
    ),
    (
        {"roles": ["submitter"], "scopes": ["operation.*"]},
        "freeze_account",
        {"account": "a"},
        "not_permitted",
    ),
    (
        {"roles": ["submitter"], "scopes": ["operation.transfer"]},
        "transfer",
        transfer("a", "b", 100),
        None,
    ),
    (
        {"roles": ["admin"], "scopes": ["operation.group"]},
        "group",
        {"operations": [{"kind": "transfer", **transfer("a", "b", 100)}]},
        "group_failed",
    ),
    (
        {"roles": ["auditor"], "limits": {"EUR": 1}},
        "transfer",
        transfer("a", "b", 100),
        "not_permitted",
    ),
    (
        {"roles": ["submitter"], "limits": {"EUR": 99}},
        "transfer",
        transfer("a", "b", 100),
        "limit_exceeded",
    ),
    ({"roles": ["submitter"], "limits": {"EUR": 100}}, "transfer", transfer("a", "b", 100), None),
    # A currency that the limits do not name may not be moved, so none may be where they name none.
    ({"roles": ["submitter"], "limits": {}}, "transfer", transfer("a", "b", 1), "limit_exceeded"),
    (
        {"roles": ["submitter"], "limits": {"USD": 100}},
        "transfer",
        transfer("a", "b", 100),
        "limit_exceeded",
    ),
]


def operation(kind: str, body: dict[str, Any], principal: dict[str, Any]) -> Operation:
    """The operation as a stage reads it."""
    return Operation(
        1, 1, kind, canonical(body).decode(), DATE, canonical(principal).decode(), rejected=False
    )


@pytest.mark.parametrize(("kind", "body", "code"), POST)
def test_post_refuses_in_a_fixed_order(kind: str, body: dict[str, Any], code: str | None) -> None:
    """post answers each fault with its own code, and the first in the order wins."""
    effect = perform(books(), Entry(1, 1, kind, body, DATE, ADMIN.decode()))
    assert (effect.code if isinstance(effect, Refusal) else None) == code


@pytest.mark.parametrize(("kind", "body", "code"), VALIDATE)
def test_validate_refuses_what_no_books_could_make_right(
    kind: str, body: dict[str, Any], code: str | None
) -> None:
    """validate answers each fault of meaning with its own code, and the first in the order wins."""
    refusal = meaning(operation(kind, body, {}))
    assert (refusal.code if refusal else None) == code


@pytest.mark.parametrize(("principal", "kind", "body", "code"), AUTHORIZE)
def test_authorize_refuses_what_the_principal_may_not_do(
    principal: dict[str, Any], kind: str, body: dict[str, Any], code: str | None
) -> None:
    """authorize asks for a role first, then holds the amount against the principal's limit."""
    refusal = permission(operation(kind, body, principal))
    assert (refusal.code if refusal else None) == code


def test_the_first_unknown_currency_is_named() -> None:
    """Of several unknown currencies the first leg's is named, in every process: a replay must not
    give another one."""
    legs = [(f"a{n}", 1 if n % 2 else -1, code) for n, code in enumerate(CODES_OF_NOBODY)]
    refusal = meaning(operation("journal", journal(*legs), {}))
    assert refusal == Refusal("unknown_currency", {"currency": CODES_OF_NOBODY[0]})
    assert list(KINDS["journal"].currencies(journal(*legs))) == CODES_OF_NOBODY


def test_every_code_stands_in_the_tables() -> None:
    """No refusal code is without its row, or a test of its own where it takes more than books."""
    shown = {row[-1] for row in [*POST, *VALIDATE]} | {row[-1] for row in AUTHORIZE}
    elsewhere = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        text = path.read_text() if path.name != Path(__file__).name else ""
        elsewhere |= {code for code in CODES if f'"{code}"' in text}
    assert set(CODES) - shown - elsewhere == set()
