"""Every error is a problem: a code, what is wrong, where, and what to do."""

from typing import Any

import psycopg2
import pytest
from flask import Flask
from sqlalchemy.exc import OperationalError

from api.problems import PROBLEMS
from api.state import NAME
from tests.api.caller import Caller, new_key, transfer


def problem_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    """The whole problem, which is the same in every error."""
    assert answer.status_code == status, answer.text
    assert answer.mimetype == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem["type"] == f"/docs#{code}"
    assert problem["title"].endswith(".")
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["X-Request-Id"]
    return problem


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1", 404, "not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/ledgers/", 404, "not_found"),
        ("GET", "/favicon.ico", 404, "not_found"),
        ("DELETE", "/v1/ledgers", 405, "method_not_allowed"),
        ("PUT", "/v1/ledgers/main/operations", 405, "method_not_allowed"),
        ("DELETE", "/v1/ledgers/main/accounts/a", 405, "method_not_allowed"),
        ("BREW", "/v1/ledgers", 405, "method_not_allowed"),
        ("POST", "/healthz", 405, "method_not_allowed"),
    ],
)
def test_an_address_that_is_none(
    api: Caller, method: str, path: str, status: int, code: str
) -> None:
    """404 and 405, the latter with the methods that there are."""
    answer = api.call(method, path)
    problem_of(answer, status, code)
    assert (status == 405) == ("Allow" in answer.headers)


@pytest.mark.parametrize(
    ("mimetype", "status"),
    [
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("Application/JSON", 202),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/x-ndjson", 415),
        ("", 415),
    ],
)
def test_a_body_of_another_type(api: Caller, mimetype: str, status: int) -> None:
    """415 that says which type is taken."""
    answer = api.submit(transfer(), mimetype=mimetype)
    assert answer.status_code == status
    if status == 415:
        problem = problem_of(answer, 415, "unsupported_media_type")
        assert "application/json" in problem["detail"]


def test_a_body_that_is_too_large(api: Caller) -> None:
    """413 beyond 1 MiB; a body of just that size is read."""
    fits = b" " * (1024 * 1024)
    problem_of(api.submit(fits), 400, "malformed_body")
    problem_of(api.submit(fits + b" "), 413, "body_too_large")


def test_a_bug_is_answered_without_its_traceback(
    api: Caller, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """500 with a request id; the log has the traceback under the same id."""

    def bug(*_: object) -> None:
        raise ValueError("secret inside")

    monkeypatch.setattr(api.app.extensions[NAME].books, "find", bug)
    answer = api.submit(transfer(description="canary"))
    problem = problem_of(answer, 500, "internal_error")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert "secret inside" in caplog.text
    assert problem["request_id"] in caplog.text
    assert "canary" not in caplog.text


def test_a_database_that_does_not_answer(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After, not a 500: it is not the request's fault."""

    def gone(*_: object) -> None:
        raise OperationalError("SELECT 1", {}, psycopg2.OperationalError("gone"))

    monkeypatch.setattr(api.app.extensions[NAME].books, "find", gone)
    answer = api.get("operations")
    problem_of(answer, 503, "database_unavailable")
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("my-id_1.2:3", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("a b", False),
        ("<script>", False),
        ("é", False),
    ],
)
def test_a_request_id_is_echoed(api: Caller, given: str, kept: bool) -> None:
    """The caller's if it is harmless, else one of ours; on good answers and bad ones."""
    for path in ("operations", "nothing"):
        answer = api.get(path, headers={"X-Request-Id": given})
        assert (answer.headers["X-Request-Id"] == given) is kept
        assert answer.headers["X-Request-Id"]


def test_nothing_is_kept_by_caches(api: Caller) -> None:
    """Every answer below /v1 says `no-store`, errors too."""
    for path in ("operations", "nothing", "/v1/ledgers", "/v1/openapi.json", "/v1/nothing"):
        assert api.get(path).headers["Cache-Control"] == "no-store"


def test_bodies_do_not_get_into_logs(api: Caller, caplog: pytest.LogCaptureFixture) -> None:
    """Neither good ones nor bad ones."""
    for body in (
        transfer(description="canary-1"),
        transfer(-1, description="canary-2"),
        b'{"canary-3"',
        {"kind": "open_account", "code": "canary-4", "type": "asset", "currency": "EUR"},
    ):
        api.submit(body, wait=5)
    api.get("accounts/canary-5")
    assert "canary" not in caplog.text


def test_every_problem_has_its_status_and_title() -> None:
    """Codes are stable words; titles are sentences."""
    for code, kind in PROBLEMS.items():
        assert code == code.lower().replace(" ", "_")
        assert 400 <= kind.status <= 503
        assert kind.title.endswith(".")


def test_every_error_leads_to_the_docs(app: Flask, api: Caller) -> None:
    """`type` is an anchor that the page has; so is the code of every rejection."""
    page = api.get("/docs").text
    for code in PROBLEMS:
        assert f'id="{code}"' in page
    api.open("a")
    again: Any = api.post(
        "accounts", {"code": "a", "type": "asset", "currency": "EUR"}, key=new_key()
    ).json
    assert f'id="{again["type"].removeprefix("/docs#")}"' in page
