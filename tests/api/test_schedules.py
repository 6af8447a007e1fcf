"""Schedules over HTTP: made, listed, paused, resumed and cancelled; what came of their times."""

import datetime as dt
from typing import Any

import pytest
from sqlalchemy import text

from models.db import tenant_reading
from models.ledger import LedgerRef
from models.operation import parse_id
from pipeline.idempotency import DUE
from pipeline.receipt import Accepted
from tests.api.caller import Caller, new_key, problem, transfer
from tests.api.conftest import Bellman, work
from tests.api.test_openapi import faults
from tests.bank import Bank
from tests.pipeline.test_holds import BY_TIME

MONTHLY = {
    "operation": transfer(),
    "rule": "FREQ=MONTHLY;BYMONTHDAY=-1",
    "starts_at": "2199-01-01T08:00:00+01:00",
    "time_zone": "Europe/Zurich",
}


@pytest.fixture
def rule() -> dict[str, Any]:
    """A transfer at the end of each month."""
    starts_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
    return MONTHLY | {"starts_at": starts_at.isoformat().replace("+00:00", "Z")}


def made(api: Caller, body: dict[str, Any]) -> dict[str, Any]:
    """A schedule that waits."""
    answer = api.post("schedules", body, key=new_key())
    assert answer.status_code == 201, answer.text
    return dict(answer.json or {})


def occur(ledger: LedgerRef, schedule: str, number: int) -> Accepted:
    """A time of the schedule comes, as the scheduler would submit it, and is worked."""
    body = {"target": schedule, "number": number, "due": "2026-12-31T07:00:00Z"}
    key = DUE.format(schedule, number)
    accepted = Bank(ledger).submit("occur", body, key=key, principal=BY_TIME)
    work(ledger)
    return accepted


def test_a_schedule_is_made(api: Caller, rule: dict[str, Any]) -> None:
    """201 with what it waits for and where it is; `show`, the list and a replay say the same."""
    api.open_two()
    answer = api.post("schedules", {**rule, "description": "Rent"}, key="rent")
    shown: Any = answer.json
    assert answer.status_code == 201
    assert {**shown, "id": "", "next_at": "", "accepted_at": ""} == {
        "id": "",
        "object": "schedule",
        "ledger": api.ledger,
        "position": 3,
        "state": "active",
        "next_at": "",
        "at": None,
        **rule,
        "description": "Rent",
        "metadata": None,
        "accepted_at": "",
        "last_occurrence": None,
    }
    assert dt.datetime.fromisoformat(shown["next_at"]) > dt.datetime.now(dt.UTC)
    assert api.get(answer.headers["Location"]).json == shown
    listed: Any = api.get("schedules").json
    assert listed == {"object": "list", "data": [shown], "has_more": False, "next": None}
    again = api.post("schedules", {**rule, "description": "Rent"}, key="rent")
    assert (again.status_code, again.json) == (200, shown)
    operation: Any = api.get(f"operations/{shown['id']}").json
    assert operation["status"] == "pending"


def test_what_came_of_its_times(api: Caller, ledger: LedgerRef, rule: dict[str, Any]) -> None:
    """Posted and refused occurrences, newest first, in pages."""
    api.open_two()
    schedule = made(api, rule)["id"]
    paid = occur(ledger, schedule, 0)
    api.post("accounts/a/freeze", key=new_key())
    refused = occur(ledger, schedule, 1)
    page: Any = api.get(f"schedules/{schedule}/occurrences?limit=1").json
    assert page["has_more"]
    (newest,) = page["data"]
    assert {**newest, "accepted_at": "", "operation": ""} == {
        "object": "occurrence",
        "operation": "",
        "position": refused.position,
        "number": 1,
        "due_at": "2026-12-31T07:00:00Z",
        "accepted_at": "",
        "outcome": "rejected",
        "rejection": {
            "code": "account_frozen",
            "detail": {"account": "a"},
            "message": "The account is frozen, or the side of it that the operation moves.",
        },
    }
    rest: Any = api.get(f"schedules/{schedule}/occurrences?after={page['next']}").json
    assert [(one["position"], one["outcome"]) for one in rest["data"]] == [
        (paid.position, "posted")
    ]
    assert not rest["has_more"]
    shown: Any = api.get(f"schedules/{schedule}").json
    assert shown["last_occurrence"] == newest
    assert parse_id(newest["operation"]) == refused.id


def test_a_life_of_a_schedule(api: Caller, rule: dict[str, Any]) -> None:
    """Paused, resumed and cancelled: 200 with the schedule as it then is."""
    schedule = made(api, rule)["id"]
    states = []
    for act in ("pause", "resume", "cancel"):
        answer: Any = api.post(f"schedules/{schedule}/{act}", key=new_key())
        assert answer.status_code == 200, answer.text
        states.append((answer.json["state"], answer.json["next_at"] is None))
    assert states == [("paused", True), ("active", False), ("cancelled", True)]
    remark = {"description": "Asked for by the owner"}
    late = api.post(f"schedules/{schedule}/pause", remark, key=new_key())
    assert problem(late) == (409, "target_decided")


def test_a_schedule_for_one_time_ends_with_it(api: Caller, ledger: LedgerRef) -> None:
    """It is shown as ended, with its occurrence."""
    api.open_two()
    at = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    schedule = made(api, {"operation": transfer(), "at": at.isoformat()})["id"]
    occur(ledger, schedule, 0)
    shown: Any = api.get(f"schedules/{schedule}").json
    assert (shown["state"], shown["next_at"]) == ("ended", None)
    assert shown["last_occurrence"]["outcome"] == "posted"


def test_schedules_are_listed_in_pages(api: Caller, rule: dict[str, Any]) -> None:
    """Newest first, each once."""
    ids = [made(api, rule)["id"] for _ in range(3)]
    first: Any = api.get("schedules?limit=2").json
    second: Any = api.get(f"schedules?limit=2&after={first['next']}").json
    assert [one["id"] for one in (*first["data"], *second["data"])] == ids[::-1]
    assert not second["has_more"]
    stolen = api.get(f"operations?after={first['next']}")
    assert problem(stolen) == (400, "invalid_cursor")


def test_bad_input_is_answered(api: Caller, rule: dict[str, Any]) -> None:
    """What is wrong is named, and nothing is stored."""
    api.open_two()
    refused = api.post("schedules", {**rule, "rule": "FREQ=SECONDLY"}, key=new_key())
    assert problem(refused) == (422, "invalid_request")
    assert refused.json is not None
    assert refused.json["param"] == "rule"
    inner = {**rule, "operation": transfer(amount=-1)}
    answer: Any = api.post("schedules", inner, key=new_key()).json
    assert answer["param"] == "operation.amount"
    past = {"operation": transfer(), "at": "2026-01-01T00:00:00Z"}
    assert problem(api.post("schedules", past, key=new_key())) == (409, "schedule_never_due")
    paid = api.posted(transfer())["id"]
    assert problem(api.get(f"schedules/{paid}")) == (404, "unknown_schedule")
    assert problem(api.get("schedules/nonsense")) == (404, "unknown_schedule")
    pausing = api.post(f"schedules/{paid}/pause", key=new_key())
    assert problem(pausing) == (409, "target_not_pending")
    doubled = api.post(f"schedules/{paid}/pause", {"target": paid}, key=new_key())
    assert problem(doubled) == (422, "invalid_request")
    occurring = api.submit({"kind": "occur", "target": paid, "number": 0})
    assert problem(occurring) == (422, "unknown_kind")


def test_a_schedule_that_is_not_posted_yet(
    api: Caller, asleep: Bellman, rule: dict[str, Any]
) -> None:
    """202 with the operation; it is no schedule before it is posted."""
    answer: Any = api.post("schedules", rule, key=new_key(), wait=0)
    assert answer.status_code == 202
    assert answer.json["object"] == "operation"
    assert problem(api.get(f"schedules/{answer.json['id']}")) == (404, "unknown_schedule")


def test_nobody_else_sees_it(api: Caller, stranger: Caller, rule: dict[str, Any]) -> None:
    """Neither another tenant, nor a reader who may not write changes it."""
    schedule = made(api, rule)["id"]
    assert problem(stranger.get(f"schedules/{schedule}"))[0] == 404
    auditor = api.with_roles("auditor")
    assert auditor.get(f"schedules/{schedule}").status_code == 200
    assert problem(auditor.post(f"schedules/{schedule}/pause", key=new_key()))[0] == 403


def test_the_lists_are_read_by_their_indexes(ledger: LedgerRef) -> None:
    """Under row-level security, and in order; how full the tables are just now plays no part."""
    plans = {
        "operations_occurrences": "SELECT position FROM operations WHERE tenant_id = 1 AND"
        " ledger_id = :ledger AND kind = 'occur' AND idempotency_key COLLATE \"C\" >= 'a'"
        ' AND idempotency_key COLLATE "C" < \'b\' ORDER BY idempotency_key COLLATE "C" DESC'
        " LIMIT 1",
        "decisions_schedules": "SELECT target FROM decisions WHERE tenant_id = 1 AND ledger_id ="
        " :ledger AND effect = 'schedule' AND target < 9 ORDER BY target DESC"
        " LIMIT 1",
        "pending_operations_due": "SELECT due_at FROM pending_operations WHERE tenant_id = 1"
        " AND ledger_id = :ledger AND due_at <= now() ORDER BY due_at LIMIT 1",
    }
    for index, query in plans.items():
        with tenant_reading(ledger.tenant_id) as connection:
            for other in (
                "seqscan",
                "bitmapscan",
                "sort",
            ):  # cheaper where there is next to nothing
                connection.execute(text(f"SET LOCAL enable_{other} = off"))
            wanted = {"ledger": ledger.ledger_id}
            plan = "\n".join(connection.execute(text(f"EXPLAIN {query}"), wanted).scalars())
        assert index in plan, plan
        assert "Sort" not in plan, plan
        assert "Filter: (" not in plan.replace("One-Time Filter", ""), plan


def test_real_answers_are_as_documented(
    api: Caller, ledger: LedgerRef, rule: dict[str, Any]
) -> None:
    """No member is missing, none is undocumented, none of another type."""
    api.open_two()
    spec: Any = api.get("/v1/openapi.json").json
    schedule = made(api, rule)["id"]
    occur(ledger, schedule, 0)
    api.post("accounts/a/freeze", key=new_key())
    occur(ledger, schedule, 1)
    here = "/v1/ledgers/{ledger}/schedules"
    for answer, path, method in (
        (api.post("schedules", rule, key=new_key()), here, "post"),
        (api.get("schedules"), here, "get"),
        (api.get(f"schedules/{schedule}"), f"{here}/{{schedule_id}}", "get"),
        (
            api.get(f"schedules/{schedule}/occurrences"),
            f"{here}/{{schedule_id}}/occurrences",
            "get",
        ),
        (
            api.post(f"schedules/{schedule}/pause", key=new_key()),
            f"{here}/{{schedule_id}}/pause",
            "post",
        ),
    ):
        documented = spec["paths"][path][method]["responses"][str(answer.status_code)]
        schema = documented["content"][answer.mimetype]["schema"]
        assert list(faults(spec, schema, answer.json)) == [], (path, method)


def test_a_schedule_is_an_operation_like_any_other(api: Caller, rule: dict[str, Any]) -> None:
    """Through the generic route and in bulk, where the canonical body is the same."""
    generic: Any = api.submit({"kind": "schedule", **rule}, "one", wait=10).json
    assert generic["status"] == "pending"
    again = api.post("schedules", rule, key="one")
    assert again.headers["Idempotent-Replayed"] == "true"
    items = [{"idempotency_key": "two", "kind": "schedule", **rule}]
    bulk: Any = api.post("operations/bulk", items).json
    assert bulk["accepted"] == 1
