"""Each event says whence the request came that it tells of."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from api.identity import sessions as routes
from models import key_ring
from models.db import set_tenant
from models.key_ring import KeyRingError, LocalRing, Wrapped
from models.tenant import owner_writing
from pipeline.events import ACTIONS
from pipeline.identity.people import subject_of
from tests.identity.conftest import GOOD, OTHER, House, code_of

# The installation's owner does these, on the command line.
COMMANDS = {"tenant.created", "tenant.deleted", "tenant.restored", "tenant.allowed_changed"}
COMMANDS |= {"token.created", "token.revoked", "key.rotated", "key.revoked"}
# There is no mail server here (test_mail.py has one); what is given up, no request has asked for.
OF_MAIL = {"person.reset_asked", "mail.given_up"}
# What becomes of data in the night, which no request asks for (tests/api/test_retention.py).
OF_NIGHTS = {"retention.carried_out"}
# Rows that somebody has locked, by table; what nobody else sees yet does not count.
LOCKED = " UNION ALL ".join(
    f"SELECT '{table}' WHERE (SELECT count(*) FROM {table} WHERE tenant_id = :tenant) >"
    f" (SELECT count(*) FROM (SELECT FROM {table} WHERE tenant_id = :tenant"
    " FOR UPDATE SKIP LOCKED) free)"
    for table in ("tenants", "people", "sessions", "tickets", "api_keys", "data_keys", "subjects")
)


class Far(LocalRing):
    """A ring that is waited for, as KMS is, and remembers nothing: it looks what is locked then."""

    at_once = 8

    def __init__(self, tenant_id: int) -> None:
        super().__init__(key_ring.named_source())
        self.asked = 0
        self.behind: set[str] = set()
        self.away = False
        self._tenant_id = tenant_id

    def wrap(self, key: bytes, aad: bytes) -> Wrapped:
        self._look_around()
        return super().wrap(key, aad)

    def unwrap(self, wrapped: Wrapped, aad: bytes) -> bytes:
        self._look_around()
        return super().unwrap(wrapped, aad)

    def _look_around(self) -> None:
        self.asked += 1
        if self.away:
            raise KeyRingError("KMS does not answer")
        with owner_writing() as connection:
            set_tenant(connection, self._tenant_id)
            locked = connection.execute(text(LOCKED), {"tenant": self._tenant_id})
            self.behind.update(locked.scalars())


@pytest.fixture
def far(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Far]:
    """The keys of this process are asked for over a network."""
    made = Far(house.tenant_id)
    key_ring.key_ring.cache_clear()
    monkeypatch.setattr(key_ring, "ring_of", lambda _: made)
    yield made
    key_ring.key_ring.cache_clear()


@pytest.fixture
def lived_in(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house in which somebody did all that makes events, over HTTP."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    person = house.person("owner", email="ada@example.com")
    first = house.sign_in("ada@example.com")
    newer = house.refresh(first["refresh_token"]).json
    house.refresh(newer["refresh_token"])
    house.refresh(first["refresh_token"])
    ada = house.caller(house.sign_in("ada@example.com")["access_token"])
    house.try_in("ada@example.com", "a wrong password 12")
    house.try_in("nobody@example.com")
    _people(ada, house)
    _keys_and_subjects(ada, person)
    ada.call("PATCH", "/v1/tenant", {"retention_days": 1})
    ada.post("/v1/ledgers", {"name": "other"})
    limit = {"kind": "set_limit", "name": "daily", "per": "day", "account": "*", "currency": "EUR"}
    ada.post("/v1/ledgers/other/operations", limit | {"amount": 1}, key="a limit")
    again = house.sign_in("ada@example.com", OTHER)["session"]
    ada.call("DELETE", f"/v1/sessions/{again}")
    ada.call("DELETE", "/v1/sessions/current")
    return house


def _people(ada: Any, house: House) -> None:
    secret = ada.post("/v1/people/me/totp", {"password": GOOD}).json["secret"]
    ada.post("/v1/people/me/totp/confirm", {"code": code_of(secret)})
    ada.call("DELETE", "/v1/people/me/totp", {"password": GOOD})
    ada.post("/v1/people/me/password", {"password": GOOD, "new_password": OTHER})
    made = ada.post("/v1/people", {"email": "bob@example.com", "roles": ["reader"]}).json
    brought = {"invitation_token": made["invitation_token"], "password": GOOD}
    house.caller().post("/v1/invitations/accept", brought)
    reset = ada.post(f"/v1/people/{made['id']}/password-reset").json["token"]
    brought = {"reset_token": reset, "password": OTHER}
    house.caller().post("/v1/password-resets/accept", brought)
    ada.call("DELETE", f"/v1/people/{made['id']}")
    subject = f"/v1/subjects/{subject_of(made['id'])}"
    for act in ("export", "restrict", "unrestrict"):
        ada.post(f"{subject}/{act}")
    house.run(
        "INSERT INTO subject_mentions (tenant_id, subject, ledger_id, key_hash)"
        " VALUES (:t, :s, 1, gen_random_uuid())",
        t=house.tenant_id,
        s=subject_of(made["id"]),
    )
    ada.call("PATCH", "/v1/tenant", {"retention_days": 30})
    ada.post(f"{subject}/erase")


def _keys_and_subjects(ada: Any, person: str) -> None:
    key = ada.post("/v1/api-keys", {"name": "k", "roles": ["reader"]}).json["id"]
    ada.call("PATCH", f"/v1/api-keys/{key}", {"name": "l"})
    ada.post(f"/v1/api-keys/{key}/rotate")
    ada.call("DELETE", f"/v1/api-keys/{key}")
    gone = ada.post("/v1/people", {"email": "eve@example.com", "roles": ["reader"]}).json["id"]
    ada.post(f"/v1/subjects/{subject_of(gone)}/erase")


def test_every_event_of_a_request_says_whence(lived_in: House) -> None:
    """To those who may see what is personal; in the log it is sealed, also of nobody known."""
    listed: Any = lived_in.admin().get("/v1/events?limit=200").json["data"]  # type: ignore[index]
    seen = {one["action"] for one in listed}
    assert seen == set(ACTIONS) - COMMANDS - OF_MAIL - OF_NIGHTS | {"tenant.created"}
    told = {one["action"] for one in listed if one.get("from", {}).get("address") == "127.0.0.1"}
    # What ada was invited by, and this test's own tenant, were made by no request.
    beside = [one for one in listed if "from" not in one]
    assert told == seen - {"tenant.created"}, beside
    assert {one["actor"] for one in beside} == {"cli:test"}
    refused = [one for one in listed if one["outcome"] == "refused"]
    assert "trident" in {one["actor"] for one in refused}
    hidden: Any = lived_in.admin("auditor").get("/v1/events?limit=200").json["data"]  # type: ignore[index]
    assert not [one for one in hidden if "from" in one]
    assert "127.0.0.1" not in str(lived_in.told("person.signed_in"))


def test_keys_are_never_waited_for_behind_a_lock(far: Far, lived_in: House) -> None:
    """Whatever is done and told of: what KMS needs for an answer, no other request waits for."""
    assert {event["action"] for event in lived_in.told("person.changed")} == {"person.changed"}
    assert far.asked > len(ACTIONS)
    assert far.behind == set()


def test_a_stolen_key_is_revoked_whether_or_not_keys_are_at_hand(far: Far, house: House) -> None:
    """And somebody is signed out and restricted; the events say no whence, and are there."""
    person = house.person("operator", email="ada@example.com")
    first = house.sign_in("ada@example.com")
    newer = house.refresh(first["refresh_token"]).json
    house.refresh(newer["refresh_token"])
    admin = house.admin()
    key: Any = admin.post("/v1/api-keys", {"name": "k", "roles": ["reader"]}).json
    far.away = True
    asked = far.asked
    assert admin.call("DELETE", f"/v1/api-keys/{key['id']}").status_code == 200
    assert far.asked == asked + 1
    assert house.refresh(first["refresh_token"]).status_code == 401
    assert admin.post(f"/v1/subjects/{subject_of(person)}/restrict").status_code == 200
    for action in ("api_key.revoked", "session.reused", "subject.restricted"):
        (told,) = house.told(action)
        assert "from" not in told
