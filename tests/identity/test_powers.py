"""Nobody makes of others more than they are themselves, nor keeps a way in to what they became."""

from typing import Any

import pytest
from sqlalchemy import text

from api.identity import sessions as routes
from models.db import tenant_writing
from models.tenant import owner_writing
from pipeline import tenants
from pipeline.identity import lockout
from tests.api.caller import Caller, problem, token
from tests.identity.conftest import GOOD, OTHER, House, code_of

ACCEPT, RESET = "/v1/invitations/accept", "/v1/password-resets/accept"


def program(house: House, **powers: Any) -> Caller:
    """A program with an API key of an owner."""
    made: Any = house.admin().post("/v1/api-keys", {"name": "k", **powers}).json
    return house.caller(made["key"])


def test_a_narrowed_key_makes_nobody_who_is_more(house: House) -> None:
    """Neither by an invitation, nor by roles, nor by the password of somebody else."""
    operator = house.person("operator")
    reader = house.person("reader")
    for key in (
        program(house, roles=["admin"], scopes=["people.write"]),
        program(house, roles=["admin"], limits={"EUR": 5}),
        program(house, roles=["admin"], ledgers=["main"]),
        program(house, roles=["admin"]),  # a program is nobody's second pair of eyes
        house.caller(token(("admin",), house.tenant_id, scopes=["people.*"])),
    ):
        refused = [
            key.post("/v1/people", {"email": "eve@example.com", "roles": ["operator"]}),
            key.call("PATCH", f"/v1/people/{reader}", {"roles": ["reader", "operator"]}),
            key.post(f"/v1/people/{operator}/password-reset"),
        ]
        assert [problem(answer) for answer in refused] == [(403, "beyond_own")] * 3
        assert key.call("DELETE", f"/v1/people/{reader}").status_code == 200
        house.admin().call("PATCH", f"/v1/people/{reader}", {"status": "active"})
    assert (house.admin().get("/v1/people").json or {})["data"][2:] == []
    made = program(house, roles=["admin"]).post(
        "/v1/people", {"email": "ivy@example.com", "roles": ["submitter", "reader"]}
    )
    assert made.status_code == 201, made.text


def test_a_narrowed_key_lets_nobody_in_again_who_is_more(house: House) -> None:
    """Not who is disabled or restricted or has a second factor; who may do no more it does."""
    operator, reader = house.person("operator"), house.person("reader")
    key = program(house, roles=["admin"], scopes=["people.*", "own.*", "operations.*"])
    house.run("UPDATE people SET totp_secret = 'sealed' WHERE person_id = :p", p=operator)
    way = f"/v1/people/{operator}"
    assert problem(key.call("DELETE", f"{way}/totp")) == (403, "beyond_own")
    restrictor = program(house, roles=["admin"], scopes=["subjects.restrict"])
    lift = f"/v1/subjects/person:{operator}/unrestrict"
    assert problem(restrictor.post(lift)) == (403, "beyond_own")
    for person in (operator, reader):
        assert key.call("DELETE", f"/v1/people/{person}").status_code == 200
    assert problem(key.call("PATCH", way, {"status": "active"})) == (403, "beyond_own")
    assert house.admin("admin").call("PATCH", way, {"status": "active"}).status_code == 200
    assert house.admin("admin").call("DELETE", f"{way}/totp").status_code == 200
    readers = program(house, roles=["admin"])
    again = readers.call("PATCH", f"/v1/people/{reader}", {"status": "active"})
    assert again.status_code == 200, again.text


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("fate", ["disabled", "demoted", "revoked"])
def test_a_way_in_ends_with_who_made_it(house: House, fate: str, by_key: bool) -> None:
    """Whoever has seen a ticket and is out, or may less, is not let in by it as somebody else."""
    house.person("owner")
    maker = house.person("admin", email="mallory@example.com")
    caller = house.caller(house.sign_in("mallory@example.com")["access_token"])
    key: Any = caller.post("/v1/api-keys", {"name": "k", "roles": ["admin"]}).json
    by = house.caller(key["key"]) if by_key else caller
    made: Any = by.post("/v1/people", {"email": "bob@example.com", "roles": ["submitter"]}).json
    word = {"invitation_token": made["invitation_token"], "password": GOOD}
    if fate == "revoked":
        house.admin().call("DELETE", f"/v1/api-keys/{key['id']}")
    else:
        change = {"status": "disabled"} if fate == "disabled" else {"roles": ["auditor"]}
        house.admin().call("PATCH", f"/v1/people/{maker}", change)
    accepted = house.caller().post(ACCEPT, word)
    counts = fate == "revoked" and not by_key
    assert accepted.status_code == (200 if counts else 401), accepted.text


def test_who_is_out_leaves_no_way_in_behind(house: House) -> None:
    """What outlasts a request is not done on what was remembered two seconds ago."""
    maker, reader = house.person("admin", email="mallory@example.com"), house.person("reader")
    caller = house.caller(house.sign_in("mallory@example.com")["access_token"])
    made: Any = caller.post("/v1/api-keys", {"name": "k", "roles": ["admin"]}).json
    key = house.caller(made["key"])
    asked: list[tuple[Caller, str, str, Any]] = [
        (one, method, path, body)
        for one in (caller, key)
        for method, path, body in (
            ("POST", "/v1/api-keys", {"name": "next", "roles": ["reader"]}),
            ("POST", "/v1/people", {"email": "eve@example.com", "roles": ["reader"]}),
            ("PATCH", f"/v1/people/{reader}", {"roles": ["submitter"]}),
            ("PATCH", f"/v1/api-keys/{made['id']}", {"expires_at": None}),
            ("POST", f"/v1/api-keys/{made['id']}/rotate", {"grace_s": 0}),
            ("POST", f"/v1/people/{reader}/password-reset", {}),
        )
    ]
    for one in (caller, key):
        assert one.get("/v1/people").status_code == 200  # they are remembered from now on
    disable = "UPDATE people SET status = 'disabled', version = version + 1 WHERE person_id = :p"
    house.run(disable, p=maker)  # as another process does
    answers = [one.call(method, path, body) for one, method, path, body in asked]
    assert [problem(answer) for answer in answers] == [(401, "token_invalid")] * len(asked)


def test_an_old_ticket_is_no_way_in_to_new_roles(house: House) -> None:
    """Who made it for somebody of few roles has seen it; those who give the roles make another."""
    admin, owner = house.admin("admin"), house.caller(token(("owner",), house.tenant_id, "cli:eve"))
    made: Any = admin.post("/v1/people", {"email": "bob@example.com", "roles": ["reader"]}).json
    word = {"invitation_token": made["invitation_token"], "password": GOOD}
    path = f"/v1/people/{made['id']}"
    admin.call("PATCH", path, {"roles": ["reader", "operator"]})  # the maker's own is the same
    owner.call("PATCH", path, {"roles": ["owner"]})
    assert problem(house.caller().post(ACCEPT, word)) == (401, "ticket_invalid")
    newer: Any = owner.post(f"/v1/people/{made['id']}/password-reset").json
    accepted = house.caller().post(ACCEPT, {**word, "invitation_token": newer["token"]})
    assert accepted.status_code == 200, accepted.text
    (told,) = house.told("person.accepted")
    assert told["detail"] == {"offered_by": "cli:eve"}
    other = house.person("reader")
    reset: Any = admin.post(f"/v1/people/{other}/password-reset").json
    owner.call("PATCH", f"/v1/people/{other}", {"roles": ["owner"]})
    brought = {"reset_token": reset["token"], "password": OTHER}
    assert problem(house.caller().post(RESET, brought)) == (401, "ticket_invalid")


def test_codes_are_not_guessed_to_keep_somebody_out(house: House) -> None:
    """Whoever took over a session while a second factor waits for its first code has five tries."""
    person = house.person("reader", email="ada@example.com")
    here = house.caller(house.sign_in("ada@example.com")["access_token"])
    secret = (here.post("/v1/people/me/totp", {"password": GOOD}).json or {})["secret"]
    confirm = "/v1/people/me/totp/confirm"
    for code in ("000000", "x", "1", "2", "3", code_of(secret)):
        assert problem(here.post(confirm, {"code": code})) == (422, "code_wrong")
    house.run("UPDATE people SET locked_until = now() WHERE person_id = :p", p=person)
    assert here.post(confirm, {"code": code_of(secret)}).status_code == 200
    failures = house.run("SELECT failures FROM people WHERE person_id = :p", p=person)
    assert failures.scalar() == 0


def test_a_deleted_tenant_lets_nobody_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """By no way, each refused as it refuses; restored, they are all there again."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    owner = house.admin()
    person = house.person("reader", email="ada@example.com")
    tokens = house.sign_in("ada@example.com")
    newer = house.refresh(tokens["refresh_token"]).json
    made: Any = owner.post("/v1/people", {"email": "bob@example.com", "roles": []}).json
    reset: Any = owner.post(f"/v1/people/{person}/password-reset").json
    invited = {"invitation_token": made["invitation_token"], "password": GOOD}
    brought = {"reset_token": reset["token"], "password": OTHER}

    def ways() -> list[Any]:
        return [
            house.refresh(newer["refresh_token"]),
            house.refresh(tokens["refresh_token"]),
            house.caller().post(ACCEPT, invited),
            house.caller().post(RESET, brought),
            house.try_in("ada@example.com", OTHER),
        ]

    with owner_writing() as connection:
        tenants.delete(connection, house.tenant_id, "cli:test")
    assert [problem(way) for way in ways()] == [
        (401, "session_ended"),
        (401, "session_ended"),
        (401, "ticket_invalid"),
        (401, "ticket_invalid"),
        (401, "sign_in_refused"),
    ]
    with owner_writing() as connection:
        tenants.restore(connection, house.tenant_id, "cli:test")
    statuses = [way.status_code for way in ways()]
    assert statuses == [200, 401, 200, 200, 201]


def test_a_network_is_one_address(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has a /64 has as many addresses as they like, and still so many tries."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    asked = {"tenant": house.name, "email": "no@example.com", "password": GOOD}
    with house.app.test_client() as client:
        for last in range(3):
            origin = {"REMOTE_ADDR": f"2001:db8::{last + 1:x}"}
            client.post("/v1/sessions", json=asked, environ_base=origin)
    with tenant_writing(lockout.INSTALLATION) as connection:
        rows = connection.execute(text("SELECT failures FROM sign_in_addresses")).scalars().all()
    assert rows == [3]
