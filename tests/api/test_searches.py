"""Searches over HTTP: every filter by its name, wrong and hostile ones, and what is refused."""

from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from tests.api.caller import Caller, new_key, transfer
from tests.api.conftest import Bellman
from tests.api.test_lists import every
from tests.bank import new_ledger


@pytest.fixture(scope="module")
def busy(app: Flask, _bellman: Bellman) -> Caller:
    """A ledger in which each filter finds something else; position 9 is waiting."""
    _bellman.awake = True
    api = Caller(app, new_ledger().name)
    api.open_two()  # 1, 2
    api.open("a:sub")  # 3
    api.posted(transfer(100, description="Order 8123, first part"))  # 4
    more = {"description": "REFUND of order_8", "metadata": {"order": "8123", "paid": True}}
    api.posted(transfer(250, destination="a:sub", **more))  # 5
    api.posted(transfer(300, metadata={"order": 8123, "a=b": "c&d", "ключ": "да"}))  # 6
    legs = [
        {"account": "a", "direction": "credit", "amount": 70, "currency": "EUR"},
        {"account": "a:sub", "direction": "credit", "amount": 30, "currency": "EUR"},
        {"account": "world", "direction": "debit", "amount": 100, "currency": "EUR"},
    ]
    api.posted({"kind": "journal", "legs": legs, "description": "Straße ﬁnal"})  # 7
    api.submit(transfer(999, destination="nobody", description="Order lost"), wait=10)  # 8
    _bellman.awake = False
    api.submit(transfer(250, description="order waits"))  # 9
    return api


@pytest.mark.parametrize(
    ("query", "positions"),
    [
        ("text=order", [9, 8, 4]),
        ("text=ORDER", [9, 8, 4]),
        ("text=order+8123", [4]),
        ("text=8123+order", [4]),
        ("text=ord*", [9, 8, 5, 4]),
        ("text=order_8", [5]),
        ("text=first+p*", [4]),
        ("text=strasse", [7]),
        ("text=STRASSE+final", [7]),
        ("text=rder", []),
        ("text=order&status=rejected", [8]),
        ("text=order&status=accepted", [9]),
        ("text=order&status=posted", [4]),
        ("text=order&account=a", [4]),
        ("text=o*&account=a", [4]),
        ("metadata.order=8123", [6, 5]),
        ("metadata.order=8123&metadata.paid=true", [5]),
        ("metadata.order=8123&metadata.order=8123", [6, 5]),
        ("metadata.paid=1", []),
        ("metadata.a%3Db=c%26d", [6]),
        ("metadata.%D0%BA%D0%BB%D1%8E%D1%87=%D0%B4%D0%B0", [6]),
        ("metadata.order=", []),
        ("amount=100", [7, 4]),
        ("amount=30", [7]),
        ("amount_min=250&amount_max=300", [9, 6, 5]),
        ("amount_min=300", [8, 6]),
        ("amount_max=99", [7]),
        ("amount=250&status=posted", [5]),
        ("prefix=a", [7, 6, 5, 4]),
        ("prefix=a:", [7, 5]),
        ("prefix=a:&kind=transfer", [5]),
        ("prefix=a:&amount=250", [5]),
        ("prefix=nothing", []),
        ("prefix=a&status=rejected", []),
        ("prefix=w&amount_max=99", [7]),
    ],
)
def test_operations_that_are_found(busy: Caller, query: str, positions: list[int]) -> None:
    """In one page and in several, from either end."""
    for limit in (1, 2, 200):
        found = every(busy, f"operations?{query}", limit)
        assert [one["position"] for one in found] == positions
    oldest = every(busy, f"operations?{query}&order=oldest")
    assert [one["position"] for one in oldest] == positions[::-1]


@pytest.mark.parametrize(
    ("query", "lines"),
    [
        ("", [(7, 2), (7, 1), (7, 0), (6, 1), (6, 0), (5, 1), (5, 0), (4, 1), (4, 0)]),
        ("account=a", [(7, 0), (6, 1), (4, 1)]),
        ("account=a&amount_min=100", [(6, 1), (4, 1)]),
        ("prefix=a:", [(7, 1), (5, 1)]),
        ("direction=debit", [(7, 2), (6, 0), (5, 0), (4, 0)]),
        ("direction=credit&prefix=a", [(7, 1), (7, 0), (6, 1), (5, 1), (4, 1)]),
        ("amount=100", [(7, 2), (4, 1), (4, 0)]),
        ("amount=100&direction=credit", [(4, 1)]),
        ("currency=EUR&amount_max=30", [(7, 1)]),
        ("currency=USD", []),
        ("amount=999", []),
    ],
)
def test_postings_that_are_found(busy: Caller, query: str, lines: list[tuple[int, int]]) -> None:
    """In one page and in several, from either end."""
    for limit in (1, 2, 200):
        found = every(busy, f"postings?{query}", limit)
        assert [(line["position"], line["leg"]) for line in found] == lines
    oldest = every(busy, f"postings?{query}&order=oldest", 1)
    assert [(line["position"], line["leg"]) for line in oldest] == lines[::-1]


def test_a_posting_of_the_ledger_is_that_of_its_account(busy: Caller) -> None:
    """With its account and leg beside."""
    (line,) = every(busy, "postings?amount=250&direction=credit")
    (of_account,) = every(busy, "accounts/a:sub/postings?amount=250")
    assert line == {"account": "a:sub", "leg": 1, **of_account}


@pytest.mark.parametrize(
    ("query", "amounts"),
    [("amount=70", [70]), ("amount_min=71&direction=credit", [300, 100]), ("direction=debit", [])],
)
def test_an_accounts_postings_are_filtered(busy: Caller, query: str, amounts: list[int]) -> None:
    """By amount and by side."""
    for limit in (1, 200):
        found = every(busy, f"accounts/a/postings?{query}", limit)
        assert [line["amount"] for line in found] == amounts


@pytest.mark.parametrize(
    ("path", "status", "code", "param"),
    [
        ("operations?text=", 422, "invalid_request", "text"),
        ("operations?text=%26%7C!()", 422, "invalid_request", "text"),
        ("operations?text=%00", 422, "invalid_request", "text"),
        ("operations?text=" + "x" * 501, 422, "invalid_request", "text"),
        ("operations?text=" + "+".join(map(str, range(17))), 422, "invalid_request", "text"),
        ("operations?text=" + "+".join(map(str, range(10_000))), 422, "invalid_request", "text"),
        ("operations?text=ab*", 422, "filter_unserved", "text"),
        ("operations?text=ab*+*", 422, "filter_unserved", "text"),
        ("operations?text=ab*&kind=journal", 422, "filter_unserved", "text"),
        ("operations?metadata=x", 422, "invalid_request", "metadata"),
        ("operations?metadata.=", 422, "invalid_request", "metadata"),
        ("operations?metadata.a=1&metadata.a=2", 422, "invalid_request", "metadata"),
        (
            "operations?" + "&".join(f"metadata.m{n}=1" for n in range(17)),
            422,
            "invalid_request",
            "metadata",
        ),
        ("operations?amount=0", 422, "invalid_request", "amount"),
        ("operations?amount=-5", 422, "invalid_request", "amount"),
        ("operations?amount=1.5", 422, "invalid_request", "amount"),
        ("operations?amount=1e3", 422, "invalid_request", "amount"),
        ("operations?amount=" + "9" * 5000, 422, "invalid_request", "amount"),
        ("operations?amount=5&amount_min=1", 422, "invalid_request", "amount"),
        ("operations?amount_min=5&amount_max=4", 422, "invalid_request", "amount_max"),
        ("operations?prefix=", 422, "invalid_request", "prefix"),
        ("operations?prefix=a%25", 422, "invalid_request", "prefix"),
        ("operations?prefix=a%00", 422, "invalid_request", "prefix"),
        ("operations?prefix=" + "a" * 129, 422, "invalid_request", "prefix"),
        ("operations?account=a&prefix=a", 422, "invalid_request", "prefix"),
        ("postings?account=nobody", 404, "unknown_account", "account"),
        ("postings?currency=eur", 422, "invalid_request", "currency"),
        ("postings?direction=left", 422, "invalid_request", "direction"),
        ("postings?text=order", 422, "invalid_request", "text"),
        ("postings?after=WyJsZWRnZXIgcG9zdGluZ3MiLDFd", 400, "invalid_cursor", "after"),
        ("accounts/a/postings?prefix=a", 422, "invalid_request", "prefix"),
    ],
)
def test_a_wrong_search_is_named(
    busy: Caller, path: str, status: int, code: str, param: str
) -> None:
    """With what it should have been; nothing is looked for."""
    answer = busy.get(path)
    assert answer.status_code == status, answer.text
    problem: Any = answer.json
    assert (problem["code"], problem["param"]) == (code, param)


@pytest.mark.parametrize(
    "text",
    [
        "order & !refund | (x)",
        "order <-> 8123",
        "'order':* \\",
        "order'; DROP TABLE operations; --",
        "%(tenant)s %s {0} order",
        "order\x00\x1b[2J\u202e",
        "\ud7ff\U0010ffff order \ufffe",
        "*order*",
        "ﬀ" * 400,
        "İ" * 400,
        "😀 order",
    ],
)
def test_hostile_text_is_only_words(busy: Caller, text: str) -> None:
    """No operator, no pattern and no statement: what is no letter or digit parts words."""
    answer = busy.get(f"operations?text={quote(text)}")
    assert answer.status_code == 200, answer.text
    positions = [one["position"] for one in (answer.json or {})["data"]]
    assert set(positions) <= {4, 5, 8, 9}


def test_another_tenant_finds_nothing(busy: Caller, stranger: Caller) -> None:
    """Not even the ledger."""
    foreign = Caller(busy.app, busy.ledger, stranger.bearer)
    for path in ("operations?text=order", "postings?amount=100"):
        assert foreign.get(path).status_code == 404


def test_pages_stand_still_while_operations_come_in(api: Caller, bellman: Bellman) -> None:
    """Newest first: what comes in between two pages doubles and hides nothing."""
    api.open_two()
    for number in range(6):
        api.posted(transfer(5, description=f"Rent {number}"))
    seen: list[int] = []
    after = ""
    for _ in range(4):
        page: Any = api.get(f"operations?text=rent&limit=2{after}").json
        seen += [one["position"] for one in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
        api.posted(transfer(5, description="Rent again"))
    assert seen == [8, 7, 6, 5, 4, 3]


def test_a_search_moves_nothing(busy: Caller) -> None:
    """A refused search leaves the log as it was."""
    query = "operations?text=ab*"
    before = busy.get("operations?limit=1").json
    assert busy.get(query).status_code == 422
    assert busy.get("operations?limit=1").json == before


def test_a_new_operation_is_found_at_once(api: Caller, asleep: Bellman) -> None:
    """As soon as it is accepted, before any stage has seen it."""
    body = transfer(77, description="Brand new", metadata={"k": "v"})
    accepted: Any = api.submit(body, key=new_key()).json
    for query in ("text=brand", "metadata.k=v", "amount=77"):
        found = every(api, f"operations?{query}")
        assert [one["id"] for one in found] == [accepted["id"]]
    assert every(api, "postings?amount=77") == []
