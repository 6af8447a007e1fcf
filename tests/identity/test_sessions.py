"""Sessions: one successor for each refresh token, and an end that holds at once."""

import time
from typing import Any

import jwt
import pytest
import redis

from api import tokens as tokens_module
from api.errors import Problem
from api.state import NAME
from models.db import intake_engine, tenant_writing
from models.key_ring import key_ring
from models.signing_key import signing_keys
from models.token import ACCESS, REFRESH
from pipeline.identity import sessions
from pipeline.identity.errors import IdentityError
from tests.api.caller import problem, token
from tests.identity.conftest import House


def test_a_session_goes_on_and_on(house: House, tokens: dict[str, Any]) -> None:
    """Each refresh gives tokens that work; the access tokens before stay until they expire."""
    seen = tokens
    for _ in range(3):
        answer = house.refresh(seen["refresh_token"])
        assert answer.status_code == 200, answer.text
        seen = answer.json
        assert seen["session"] == tokens["session"]
        assert house.me(seen["access_token"]) == 200
    assert house.me(tokens["access_token"]) == 200


def test_tokens_of_the_wrong_kind(house: House, tokens: dict[str, Any]) -> None:
    """A refresh token is no access token, nor the other way round, nor relabelled."""
    assert house.me(tokens["refresh_token"]) == 401
    assert problem(house.refresh(tokens["access_token"])) == (401, "session_ended")
    kid, key = signing_keys(intake_engine()).signing(key_ring())
    for kind, typ in [("refresh", ACCESS), ("access", REFRESH)]:
        claims = jwt.decode(tokens["refresh_token"], options={"verify_signature": False})
        claims |= {"type": kind, "version": 1}
        forged = jwt.encode(claims, key, "EdDSA", headers={"kid": kid, "typ": typ})
        if typ == ACCESS:
            assert house.me(forged) == 401
        else:
            assert problem(house.refresh(forged)) == (401, "session_ended")


@pytest.mark.parametrize(
    "changed",
    [
        {"tenant": 0},
        {"tenant": "1"},
        {"tenant": 2**40},
        {"gen": 0},
        {"gen": 1.0},
        {"gen": True},
        {"gen": 7},
        {"sid": 7},
        {"sid": "se_x"},
        {"exp": 1},
        {"aud": "x"},
        {"iss": "x"},
    ],
)
def test_a_refresh_token_that_says_nonsense(
    house: House, tokens: dict[str, Any], changed: dict[str, Any]
) -> None:
    """Correctly signed or not: 401, and the session goes on."""
    kid, key = signing_keys(intake_engine()).signing(key_ring())
    claims = jwt.decode(tokens["refresh_token"], options={"verify_signature": False}) | changed
    forged = jwt.encode(claims, key, "EdDSA", headers={"kid": kid, "typ": REFRESH})
    assert problem(house.refresh(forged)) == (401, "session_ended")
    assert house.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.parametrize("forged", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "\u00e9" * 20])
def test_what_is_no_token_at_all(house: House, forged: str) -> None:
    """401, or 422 where there is nothing."""
    assert house.refresh(forged).status_code == (401 if forged else 422)


def test_signing_out_ends_it_at_once(house: House, tokens: dict[str, Any]) -> None:
    """In the process that was asked, the next request is refused; and so is the refresh token."""
    here = house.caller(tokens["access_token"])
    assert here.call("DELETE", "/v1/sessions/current").status_code == 200
    assert house.me(tokens["access_token"]) == 401
    assert problem(house.refresh(tokens["refresh_token"])) == (401, "session_ended")
    assert len(house.told("person.signed_out")) == 1
    house.sign_in("ada@example.com")


def test_flushing_the_broker_changes_nothing(
    house: House, tokens: dict[str, Any], environment: dict[str, str]
) -> None:
    """Sessions live in Postgres: what was revoked stays so, what lives goes on."""
    other = house.sign_in("ada@example.com")
    house.caller(other["access_token"]).call("DELETE", "/v1/sessions/current")
    redis.Redis.from_url(environment["TRIDENT_BROKER_URL"]).flushall()
    assert house.me(other["access_token"]) == 401
    assert problem(house.refresh(other["refresh_token"])) == (401, "session_ended")
    assert house.me(tokens["access_token"]) == 200
    assert house.refresh(tokens["refresh_token"]).status_code == 200


def test_another_process_learns_of_it_within_two_seconds(
    house: House, tokens: dict[str, Any]
) -> None:
    """It asks the session again no later than that."""
    other = tokens_module.Tokens(intake_engine())
    with house.app.app_context():
        assert other.principal(tokens["access_token"]).session == tokens["session"]
        house.caller(tokens["access_token"]).call("DELETE", "/v1/sessions/current")
        time.sleep(tokens_module.RECHECK_S)
        with pytest.raises(Problem, match="token_invalid"):
            other.principal(tokens["access_token"])


def test_people_see_and_end_their_sessions(house: House, tokens: dict[str, Any]) -> None:
    """All of them, with where they began; ending one leaves the others."""
    other = house.sign_in("ada@example.com")
    here = house.caller(tokens["access_token"])
    listed: Any = here.get("/v1/sessions", headers={"User-Agent": "x"}).json
    assert [one["id"] for one in listed["data"]] == [other["session"], tokens["session"]]
    assert [one["current"] for one in listed["data"]] == [False, True]
    assert listed["data"][0]["address"] == "127.0.0.1"
    assert here.call("DELETE", f"/v1/sessions/{other['session']}").status_code == 200
    assert house.me(other["access_token"]) == 401
    assert house.me(tokens["access_token"]) == 200
    again = here.call("DELETE", f"/v1/sessions/{other['session']}")
    assert problem(again) == (404, "unknown_session")


def test_only_admins_end_the_sessions_of_others(
    house: House, person: str, tokens: dict[str, Any]
) -> None:
    """To anybody else they are not there; the tenant next door sees none of them."""
    path = f"/v1/sessions/{tokens['session']}"
    house.person("operator", email="bob@example.com")
    bob = house.caller(house.sign_in("bob@example.com")["access_token"])
    assert problem(bob.call("DELETE", path)) == (404, "unknown_session")
    assert problem(bob.get(f"/v1/sessions?person={person}")) == (403, "forbidden")
    stranger = house.caller(token(("owner",), 1))
    assert problem(stranger.call("DELETE", path)) == (404, "unknown_session")
    assert problem(stranger.get(f"/v1/sessions?person={person}")) == (404, "unknown_person")
    assert house.me(tokens["access_token"]) == 200
    admin = house.admin("admin")
    assert len(admin.get(f"/v1/sessions?person={person}").json["data"]) == 1  # type: ignore[index]
    assert admin.call("DELETE", path).status_code == 200
    assert house.me(tokens["access_token"]) == 401
    (told,) = house.told("session.revoked")
    assert told["actor"] == "cli:ada"


def test_a_session_ends_by_itself(house: House, person: str, tokens: dict[str, Any]) -> None:
    """When it was not refreshed for a week, and after a month in any case."""
    end = "UPDATE sessions SET expires_at = now() + interval '1 second' WHERE session_id = :s"
    house.run(end, s=tokens["session"])
    newer = house.refresh(tokens["refresh_token"]).json
    week = "SELECT expires_at - now() BETWEEN interval '6 days' AND interval '7 days' FROM sessions"
    assert house.run(week).scalar_one()
    house.run("UPDATE sessions SET expires_at = now() WHERE session_id = :s", s=tokens["session"])
    assert problem(house.refresh(newer["refresh_token"])) == (401, "session_ended")
    house.app.extensions[NAME].tokens.look_again(f"person:{person}")
    assert house.me(newer["access_token"]) == 401


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("revoked_at = NULL, why = NULL", "is revoked"),
        ("generation = generation + 1", "is revoked"),
    ],
)
def test_a_revoked_session_never_comes_back(
    house: House, tokens: dict[str, Any], change: str, told: str
) -> None:
    """The database refuses it, whatever the code above it does."""
    house.caller(tokens["access_token"]).call("DELETE", "/v1/sessions/current")
    with pytest.raises(Exception, match=told):
        house.run(f"UPDATE sessions SET {change}")


def test_a_generation_follows_the_one_before(house: House, tokens: dict[str, Any]) -> None:
    """The database refuses to go back, or to skip one."""
    for change in ("generation - 1", "generation + 2"):
        with pytest.raises(Exception, match="does not follow"):
            house.run(f"UPDATE sessions SET generation = {change}")


def test_nobody_refreshes_who_was_disabled(
    house: House, person: str, tokens: dict[str, Any]
) -> None:
    """Also after they are enabled again: the session ended."""
    admin = house.admin()
    for status in ("disabled", "active"):
        changed = admin.call("PATCH", f"/v1/people/{person}", {"status": status})
        assert changed.status_code == 200, changed.text
        assert house.me(tokens["access_token"]) == 401
        assert problem(house.refresh(tokens["refresh_token"])) == (401, "session_ended")
    with (
        tenant_writing(house.tenant_id) as connection,
        pytest.raises(IdentityError, match="Sign in again"),
    ):
        sessions.refresh(connection, house.tenant_id, tokens["session"], 1)
