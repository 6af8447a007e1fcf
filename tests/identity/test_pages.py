"""Pages of other hosts let people in: they read the answers to log-ins."""

from typing import Any

import pytest

from api.identity import sessions as routes
from api.state import NAME
from tests.api.caller import Caller, token
from tests.identity.conftest import GOOD, OTHER, House

HERE, ELSEWHERE = "https://app.house.example", "https://app.street.example"
BEGIN, REFRESH = "/v1/sessions", "/v1/sessions/refresh"
ACCEPT, RESET = "/v1/invitations/accept", "/v1/password-resets/accept"
# Before it is told whose tenant it was.
REFUSED = (401, 409)


def allow(caller: Caller, *origins: str) -> None:
    """A tenant's pages, which this process knows at once."""
    changed = caller.call("PATCH", "/v1/tenant", {"cors_origins": list(origins)})
    assert changed.status_code == 200, changed.text
    caller.app.extensions[NAME].gate._cors._look_at = float("-inf")


def log_ins(house: House, origin: str) -> list[tuple[int, str | None]]:
    """Each way in, done and refused: its status, and which page may read it."""
    seen = []

    def post(path: str, body: dict[str, Any]) -> Any:
        answer = house.caller().post(path, body, headers={"Origin": origin})
        seen.append((answer.status_code, answer.headers.get("Access-Control-Allow-Origin")))
        return answer.json

    owner = house.admin()
    made: Any = owner.post("/v1/people", {"email": "ada@example.com", "roles": []}).json
    word = {"invitation_token": made["invitation_token"], "password": GOOD}
    post(ACCEPT, {**word, "password": "password1234"})
    post(ACCEPT, word)
    post(ACCEPT, word)
    offered: Any = owner.post(f"/v1/people/{made['id']}/password-reset").json
    post(RESET, {"reset_token": offered["token"], "password": OTHER})
    asked = {"tenant": house.name, "email": "ada@example.com", "password": OTHER}
    tokens = post(BEGIN, asked)
    post(BEGIN, {**asked, "password": GOOD})
    post(BEGIN, {**asked, "tenant": "no-such-house"})
    token = {"refresh_token": tokens["refresh_token"]}
    newer = post(REFRESH, token)
    post(REFRESH, token)
    post(REFRESH, {"refresh_token": newer["refresh_token"]})
    post(REFRESH, token)
    owner.post(f"/v1/subjects/person:{made['id']}/erase")
    return seen


def test_a_page_reads_what_a_log_in_is_answered(
    house: House, other_tenant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lets in, the pages of its tenant; a refusal, which is one for all, any known page."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    allow(house.admin(), HERE)
    allow(house.caller(token(("owner",), other_tenant)), ELSEWHERE)
    answers = log_ins(house, HERE)
    assert [status for status, _ in answers] == [
        422,
        200,
        401,
        200,
        201,
        401,
        401,
        200,
        409,
        200,
        401,
    ]
    assert {allowed for _, allowed in answers} == {HERE}
    answers = log_ins(house, ELSEWHERE)
    own = [allowed for status, allowed in answers if status not in REFUSED]
    assert own == [None] * 6
    assert {allowed for status, allowed in answers if status in REFUSED} == {ELSEWHERE}
    assert {allowed for _, allowed in log_ins(house, "https://nowhere.example")} == {None}
