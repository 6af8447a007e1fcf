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
from tests.identity.conftest import GOOD, OTHER, House

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
