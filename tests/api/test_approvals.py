"""Approvals over HTTP: what waits for whom, and how it is decided."""

from typing import Any

import pytest

from tests.api.caller import Caller, new_key, problem, transfer

RULE = {
    "kind": "set_approval",
    "name": "large",
    "currency": "EUR",
    "above": 1_000,
    "people": 2,
    "expires_after_s": 3_600,
}


@pytest.fixture
def shop(api: Caller) -> Caller:
    """World and a; more than 10.00 EUR wait for two approvers."""
    api.open_two()
    api.posted(RULE)
    return api


def submitted(api: Caller, amount: int) -> dict[str, Any]:
    """A payment of the clerk's, as it is answered."""
    answer = api.with_roles("submitter", subject="clerk").submit(transfer(amount), wait=10)
    return dict(answer.json or {})


def approver(api: Caller, name: str) -> Caller:
    """Somebody with the role."""
    return api.with_roles("approver", subject=name)


def test_what_waits_for_whom(shop: Caller) -> None:
    """The list says who is missing, and whether the one who asks could help."""
    assert submitted(shop, 1_000)["status"] == "posted"
    waiting = submitted(shop, 1_001)
    assert waiting["status"] == "pending"
    ann = approver(shop, "ann")
    first = ann.post(f"approvals/{waiting['id']}/approve", key=new_key())
    assert (first.status_code, (first.json or {})["status"]) == (200, "pending")
    (listed,) = (shop.get("approvals").json or {})["data"]
    assert listed["id"] == waiting["id"]
    assert listed["approval"] | {"expires_at": ""} == {
        "rule": "large",
        "by_role": "approver",
        "submitted_by": "clerk",
        "approved_by": ["ann"],
        "missing": 1,
        "expires_at": "",
        "awaits_you": True,
    }
    for caller, awaits in ((ann, False), (approver(shop, "ben"), True)):
        (listed,) = (caller.get("approvals").json or {})["data"]
        assert listed["approval"]["awaits_you"] is awaits
    done = approver(shop, "ben").post(f"approvals/{waiting['id']}/approve", key=new_key())
    operation: Any = done.json
    assert operation["status"] == "posted"
    assert [line["amount"] for line in operation["postings"]] == [1_001, 1_001]
    assert [one["by"] for one in operation["decisions"]] == ["clerk", "ann", "ben"]
    assert (shop.get("approvals").json or {})["data"] == []


def test_what_has_gone_back_of_what_was_approved(shop: Caller) -> None:
    """It stands in the fate of the operation, as if it had never waited, and of its approval."""
    waiting = submitted(shop, 1_001)
    for name in ("ann", "ben"):
        approver(shop, name).post(f"approvals/{waiting['id']}/approve", key=new_key())
    shop.posted({"kind": "reversal", "target": waiting["id"], "amount": 1})
    fate = (shop.get(f"operations/{waiting['id']}").json or {})["decisions"]
    assert [one["effect"] for one in fate] == ["wait", "approve", "approve", "reverse"]
    assert fate[-1]["remaining"] == 1_000
    last = (shop.get(f"operations/{fate[2]['operation']}").json or {})["decisions"]
    assert [one["effect"] for one in last] == ["reverse"]


def test_pages_of_what_waits(shop: Caller) -> None:
    """The longest waiting first, each once."""
    ids = [submitted(shop, 2_000)["id"] for _ in range(3)]
    page: Any = shop.get("approvals?limit=2").json
    assert [one["id"] for one in page["data"]] == ids[:2]
    page = shop.get(f"approvals?limit=2&after={page['next']}").json
    assert [one["id"] for one in page["data"]] == ids[2:]
    assert page["has_more"] is False


def test_what_is_refused_is_rejected(shop: Caller) -> None:
    """With who refused it and why; among the rejected ones, and not among the posted."""
    waiting = submitted(shop, 2_000)
    path = f"approvals/{waiting['id']}/refuse"
    answer = approver(shop, "ann").post(path, {"reason": "Not ours"}, key=new_key())
    operation: Any = answer.json
    assert operation["status"] == "rejected"
    assert operation["rejection"] == {
        "code": "approval_refused",
        "stage": "post",
        "detail": {"by": "ann", "reason": "Not ours"},
        "message": "One of the people whose approval it needed has refused it.",
    }
    assert operation["timeline"]["posted"] is None
    for status, there in (("rejected", True), ("posted", False), ("pending", False)):
        listed: Any = shop.get(f"operations?status={status}").json
        assert (waiting["id"] in [one["id"] for one in listed["data"]]) is there


def test_an_answer_that_is_not_taken(shop: Caller) -> None:
    """Own, repeated, without the role, about nothing: a problem, and the books stay."""
    waiting = submitted(shop, 2_000)
    path = f"approvals/{waiting['id']}/approve"
    ann, clerk = approver(shop, "ann"), shop.with_roles("approver", subject="clerk")
    assert ann.post(path, key="ann-1").status_code == 200
    assert ann.post(path, key="ann-1").headers["Idempotent-Replayed"] == "true"
    assert problem(ann.post(path, key=new_key())) == (409, "approved_already")
    assert problem(clerk.post(path, key=new_key())) == (409, "own_approval")
    operator = shop.with_roles("operator", subject="o")
    assert problem(operator.post(path, key=new_key())) == (409, "not_permitted")
    submitter = shop.with_roles("submitter", subject="s")
    assert problem(submitter.post(path, key=new_key())) == (403, "forbidden")
    other = path.replace(waiting["id"], "op_00000000g0r008000001ab2c3d")
    assert problem(ann.post(other, key=new_key())) == (404, "unknown_operation")
    assert problem(ann.post(path, {"target": waiting["id"]}, key=new_key())) == (
        422,
        "invalid_request",
    )
    account: Any = shop.get("accounts/a").json
    assert account["balance"] == 0


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"people": 0}, "people"),
        ({"people": 6}, "people"),
        ({"people": "2"}, "people"),
        ({"by_role": "submitter"}, "by_role"),
        ({"above": -1}, "above"),
        ({"expires_after_s": 59}, "expires_after_s"),
        ({"operation_kind": "reversal"}, "operation_kind"),
    ],
)
def test_a_wrong_rule_is_named(api: Caller, change: dict[str, Any], param: str) -> None:
    """Nothing is stored of it."""
    answer = api.submit(RULE | change)
    assert answer.status_code == 422
    assert (answer.json or {})["param"] == param


def test_an_approval_takes_the_date_of_what_it_approves(api: Caller) -> None:
    """By itself; another date, sent along, is refused."""
    api.open_two()
    api.posted({**RULE, "people": 1})
    dated = {**transfer(2_000), "effective_date": "2026-01-31"}
    clerk = api.with_roles("submitter", subject="clerk")
    waiting: Any = clerk.submit(dated, wait=10).json
    path = f"approvals/{waiting['id']}/approve"
    other = approver(api, "ann").post(path, {"effective_date": "2026-02-01"}, key=new_key())
    assert b"approval_dated_otherwise" in other.data
    done = approver(api, "ann").post(path, key=new_key())
    assert (done.status_code, (done.json or {})["status"]) == (200, "posted")
    line: Any = api.get("accounts/a/postings").json
    assert line["data"][0]["effective_date"] == "2026-01-31"
