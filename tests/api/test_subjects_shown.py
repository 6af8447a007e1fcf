"""Subjects over HTTP: what is exported, listed, and written about them."""

from typing import Any

from tests.api.caller import Caller, new_key, problem, transfer
from tests.api.shop import do, name, shop, tenant, told
from tests.api.test_personal import CANARY, about
from tests.api.written import check as check_page

__all__ = ["shop", "tenant"]


def test_an_export_holds_everything_in_clear(shop: Caller) -> None:
    """Accounts, operations with postings, events; what is about others stays sealed."""
    made = name(shop)
    opened = {"code": "b", "type": "liability", "currency": "EUR", "personal": about("customer-42")}
    shop.post("accounts", opened, key=new_key())
    name(shop, "customer-43")
    both = [transfer(personal=about(f"customer-4{n}", secret=f"of {n}")) for n in (2, 3)]
    shop.submit({"kind": "group", "operations": both}, wait=5)
    answer = do(shop, "export")
    assert answer.status_code == 200
    found: Any = answer.json
    assert found["subject"]["status"] == "open"
    assert [one["code"] for one in found["accounts"]] == ["b"]
    assert found["accounts"][0]["personal"]["name"] == CANARY
    assert [one["kind"] for one in found["operations"]] == ["transfer", "open_account", "group"]
    first = found["operations"][0]
    assert first["id"] == made["id"]
    assert [(one["account"], one["amount"]) for one in first["postings"]] == [
        ("world", -100),
        ("a", 100),
    ]
    inner = [one["personal"] for one in found["operations"][2]["operations"]]
    assert inner[0]["secret"] == "of 2"
    assert inner[1] == {"subject": "customer-43", "sealed": True}
    assert told(shop)[-1][0] == "subject.exported"


def test_lists_are_filtered_by_subject(shop: Caller) -> None:
    """Operations, page by page, both ways round, and accounts; no other filter goes with it."""
    ids = [name(shop)["id"] for _ in range(5)]
    name(shop, "customer-43")
    first: Any = shop.get("operations?subject=customer-42&limit=3").json
    assert [one["id"] for one in first["data"]] == ids[:1:-1]
    second: Any = shop.get(f"operations?subject=customer-42&limit=3&after={first['next']}").json
    assert [one["id"] for one in second["data"]] == ids[1::-1]
    assert second["next"] is None
    oldest: Any = shop.get("operations?subject=customer-42&order=oldest").json
    assert [one["id"] for one in oldest["data"]] == ids
    other = shop.get("operations?subject=customer-42&kind=transfer")
    assert problem(other) == (422, "filter_unserved")
    for code in ("b", "c", "d"):
        opened = {"code": code, "type": "liability", "currency": "EUR"}
        shop.post("accounts", opened | {"personal": about("customer-42")}, key=new_key())
    page: Any = shop.get("accounts?subject=customer-42&limit=2").json
    assert [one["code"] for one in page["data"]] == ["b", "c"]
    page = shop.get(f"accounts?subject=customer-42&limit=2&after={page['next']}").json
    assert [one["code"] for one in page["data"]] == ["d"]


def test_a_refused_repetition_names_nobody(shop: Caller) -> None:
    """Who stands in a request whose key had made another operation is not given that operation."""
    name(shop, "customer-43", key="taken")
    other = shop.submit(transfer(personal=about("customer-42")), "taken")
    assert problem(other) == (422, "idempotency_key_reused")
    assert (shop.get("operations?subject=customer-42").json or {})["data"] == []
    assert do(shop, "export").json["operations"] == []
    assert len((shop.get("operations?subject=customer-43").json or {})["data"]) == 1


def test_the_examples_of_the_page_come_true(shop: Caller) -> None:
    """docs/privacy.md: every request, one after the other, gives what stands below it."""
    check_page(shop, "privacy.md")
