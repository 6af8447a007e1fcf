"""Signing in: who is let in, and that nobody learns why they are not."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import orjson
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from api.identity import sessions as routes
from models.db import tenant_writing
from pipeline.identity import lockout, passwords, refusals, totp
from tests.api.caller import problem
from tests.identity.conftest import CHEAP, DEAR, GOOD, House


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passwords are hashed in earnest."""
    monkeypatch.setattr(passwords, "_hasher", DEAR)
    passwords._nobodys.cache_clear()
    yield
    passwords._nobodys.cache_clear()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refusals do not wait; what they do before stays."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)


def test_a_person_signs_in(house: House) -> None:
    """The access token is of them, with their roles, and the event tells of the session."""
    person = house.person("auditor", email="Ada@Example.com")
    tokens = house.sign_in(" ada@example.COM")
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 900
    me = house.caller(tokens["access_token"]).get("/v1/people/me")
    assert me.status_code == 200
    assert (me.json or {})["id"] == person
    assert (me.json or {})["email"] == "Ada@Example.com"
    (told,) = house.told("person.signed_in")
    assert told["outcome"] == "done"
    assert told["actor"] == f"person:{person}"
    assert told["target"] == f"session:{tokens['session']}"


def test_every_refusal_is_the_same(house: House, quick: None) -> None:
    """Unknown tenant, unknown e-mail, wrong password, disabled, locked, invited: one answer."""
    house.person(email="ada@example.com")
    disabled = house.person(email="bob@example.com")
    locked = house.person(email="eve@example.com")
    off = house.admin().call("DELETE", f"/v1/people/{disabled}")
    assert off.status_code == 200, off.text
    house.run(
        "UPDATE people SET locked_until = now() + interval '9 minutes' WHERE person_id = :p",
        p=locked,
    )
    invited = {"email": "ivy@example.com", "roles": ["reader"]}
    assert house.admin().post("/v1/people", invited).status_code == 201
    answers = [
        house._replace(name="nobody-here").try_in("ada@example.com"),
        house.try_in("nobody@example.com"),
        house.try_in("ada@example.com", "a wrong password 12"),
        house.try_in("bob@example.com"),
        house.try_in("eve@example.com"),
        house.try_in("ivy@example.com"),
        house.try_in("ada@example.com", "x" * 500),
    ]
    seen = set()
    for answer in answers:
        assert problem(answer) == (401, "sign_in_refused")
        body = {name: value for name, value in answer.json.items() if name != "request_id"}
        seen.add(str(body) + str({k for k, _ in answer.headers}))
    assert len(seen) == 1
    reasons = [told["detail"]["reason"] for told in house.told("person.signed_in")]
    assert sorted(set(reasons)) == ["locked_or_disabled", "password", "unknown"]


def test_every_refusal_takes_the_same_time(house: House, dear: None) -> None:
    """None is answered before the others could be, and each verifies a hash."""
    house.person(email="ada@example.com")
    took = []
    for name, email in [("nobody-here", "ada@example.com"), (house.name, "no@example.com")] * 3:
        began = time.monotonic()
        answer = house._replace(name=name).try_in(email, "wrong wrong wrong")
        took.append(time.monotonic() - began)
        assert answer.status_code == 401
    assert min(took) >= routes.REFUSED_AFTER_S


def test_parallel_tries_are_counted_one_by_one(house: House, quick: None) -> None:
    """Of twelve at once only five are looked at, and the right password is refused until later."""
    person = house.person(email="ada@example.com")
    wrong = "a wrong password 12"
    with ThreadPoolExecutor(12) as threads:
        tries = [threads.submit(house.try_in, "ada@example.com", wrong) for _ in range(12)]
        assert {one.result().status_code for one in tries} == {401}
    where = "FROM people WHERE person_id = :p"
    failures, left = house.run(
        f"SELECT failures, extract(epoch FROM locked_until - now()) {where}", p=person
    ).one()
    assert failures == lockout.PERSON_FREE
    assert 0 < left <= lockout.FIRST_DELAY_S
    reasons = [told["detail"]["reason"] for told in house.told("person.signed_in")]
    assert reasons.count("password") == lockout.PERSON_FREE
    assert problem(house.try_in("ada@example.com")) == (401, "sign_in_refused")
    house.run("UPDATE people SET locked_until = now() WHERE person_id = :p", p=person)
    house.sign_in("ada@example.com")
    assert house.run(f"SELECT failures, locked_until {where}", p=person).one() == (0, None)


def test_a_flood_is_told_by_its_number(
    house: House, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of refusals beyond the bound of a minute no event is kept; the next one says how many."""
    monkeypatch.setattr(refusals, "TOLD_A_MINUTE", 2)
    with capture_logs() as logs:
        for _ in range(5):
            assert problem(house.try_in("nobody@example.com")) == (401, "sign_in_refused")
    assert len(house.told("person.signed_in")) == 2
    assert [one["event"] for one in logs if one["log_level"] == "error"] == ["sign_ins_flood"]
    monkeypatch.setattr(refusals, "MINUTE_S", 0.0)
    house.try_in("nobody@example.com")
    (last, *before) = house.told("person.signed_in")
    assert last["detail"] == {"reason": "unknown", "left_out": 3}
    assert [told["detail"] for told in before] == [{"reason": "unknown"}] * 2


def test_addresses_of_one_network_are_one(house: House, quick: None) -> None:
    """Whoever has a /64 has as many addresses as they like, and no more tries for it."""
    asked = {"tenant": house.name, "email": "nobody@example.com", "password": GOOD}
    client = house.app.test_client()
    for host in range(3):
        seen = {"REMOTE_ADDR": f"2001:db8:7:7::{host:x}"}
        assert client.post("/v1/sessions", json=asked, environ_base=seen).status_code == 401
    with tenant_writing(lockout.INSTALLATION) as connection:
        failures = connection.execute(text("SELECT failures FROM sign_in_addresses")).scalars()
        assert list(failures) == [3]


def test_the_delay_grows_to_its_bound(house: House, quick: None) -> None:
    """Each failure after the free ones takes twice the delay of the one before."""
    person = house.person(email="ada@example.com")
    delays = []
    for failures in (4, 5, 6, 30, 10_000):
        house.run(
            "UPDATE people SET failures = :n, locked_until = NULL WHERE person_id = :p",
            n=failures,
            p=person,
        )
        house.try_in("ada@example.com", "a wrong password 12")
        query = "SELECT extract(epoch FROM locked_until - now()) FROM people WHERE person_id = :p"
        delays.append(round(float(house.run(query, p=person).scalar_one())))
    assert all(one <= other for one, other in pairwise(delays))
    assert delays[0] in (29, 30)
    assert delays[1] in (59, 60)
    assert delays[-1] in (899, 900)


def test_an_address_is_locked_too(
    house: House, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tries others' passwords, at whichever tenants; an account of its own does not help it."""
    monkeypatch.setattr(lockout, "ADDRESS_FREE", 4)
    house.person(email="ada@example.com")
    for number in range(3):
        assert house.try_in(f"p{number}@example.com").status_code == 401
        house.sign_in("ada@example.com")
    assert house._replace(name="nobody-here").try_in("ada@example.com").status_code == 401
    assert problem(house.try_in("ada@example.com")) == (401, "sign_in_refused")


def test_a_locked_address_is_told_of_once(
    house: House, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For each person that it tries, with a line in the log; the next event says how many more."""
    monkeypatch.setattr(lockout, "ADDRESS_FREE", 2)
    person = house.person(email="ada@example.com")
    tries = [*["no@example.com"] * 2, *["ada@example.com"] * 3, *["nobody@example.com"] * 3]
    with capture_logs() as logs:
        assert {house.try_in(email).status_code for email in tries} == {401}
    told = [(one["actor"], one["detail"]) for one in house.told("person.signed_in")]
    assert told[::-1] == [
        *[("trident", {"reason": "unknown"})] * 2,
        (f"person:{person}", {"reason": "locked_address"}),
        ("trident", {"reason": "locked_address", "left_out": 2}),
    ]
    lines = [one["person"] for one in logs if one["event"] == "sign_in_address_locked"]
    assert lines == [person, None]
    assert house.run("SELECT failures FROM people").scalar() == 0
    monkeypatch.setattr(refusals, "LONGEST_DELAY_S", 0)
    house.try_in("ada@example.com")
    later = house.told("person.signed_in")[0]["detail"]
    assert later == {"reason": "locked_address", "left_out": 2}


def test_an_address_is_forgotten_after_a_day(house: House, quick: None) -> None:
    """Its count begins anew, and rows of others that were not heard of go."""
    insert = text(
        "INSERT INTO sign_in_addresses (address_hash, failures, tried_at)"
        " VALUES (decode(repeat('ff', 32), 'hex'), 9, now() - interval '25 hours')"
    )
    with tenant_writing(lockout.INSTALLATION) as connection:
        connection.execute(insert)
    house.try_in("nobody@example.com")
    with tenant_writing(lockout.INSTALLATION) as connection:
        left = connection.execute(text("SELECT failures FROM sign_in_addresses")).scalars().all()
        assert left == [1]
        old = "UPDATE sign_in_addresses SET failures = 19, tried_at = now() - interval '25 hours'"
        connection.execute(text(old))
    house.try_in("nobody@example.com")
    with tenant_writing(lockout.INSTALLATION) as connection:
        left = connection.execute(text("SELECT failures FROM sign_in_addresses")).scalars().all()
    assert left == [1]


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "%", "'", "\u202e", "a" * 5_000])
def test_odd_texts_are_refused_and_nothing_breaks(house: House, quick: None, odd: str) -> None:
    """In any member of any body: a 4xx, never a 5xx."""
    raw = orjson.dumps if odd != "\ud800" else (lambda body: json.dumps(body).encode())
    good = {"tenant": house.name, "email": "ada@example.com", "password": GOOD, "code": "1"}
    for member in good:
        answer = house.caller().post("/v1/sessions", raw({**good, member: odd}))
        assert 400 <= answer.status_code < 500, (member, answer.text)
    for path, body in [
        ("/v1/people", {"email": odd, "roles": []}),
        ("/v1/people", {"email": "x@example.com", "roles": [], "name": odd}),
        ("/v1/password-resets", {"tenant": odd, "email": odd}),
        ("/v1/sessions/refresh", {"refresh_token": odd}),
        ("/v1/invitations/accept", {"invitation_token": odd, "password": GOOD}),
    ]:
        answer = house.admin().post(path, raw(body))
        assert answer.status_code < 500, (path, answer.text)


def test_odd_addresses_are_found_nowhere(house: House) -> None:
    """Ids in paths and queries that are none: 404."""
    admin = house.admin()
    for odd in ("%00", "x%00y", "%F0%9F%92%A9", "'", "x" * 300):
        assert admin.get(f"/v1/people/{odd}").status_code == 404, odd
        assert admin.get(f"/v1/sessions?person={odd}").status_code in (404, 422), odd
        assert admin.call("DELETE", f"/v1/sessions/{odd}").status_code == 404, odd
        assert admin.call("DELETE", f"/v1/people/{odd}").status_code == 404, odd


def test_a_password_is_the_same_however_it_is_typed(house: House) -> None:
    """Composed and decomposed letters are one (NFC)."""
    house.person(email="ada@example.com", password="caf\u00e9 mandolin 49 quilts")
    house.sign_in("ada@example.com", "cafe\u0301 mandolin 49 quilts")


def test_a_hash_of_other_parameters_is_made_anew(house: House, dear: None) -> None:
    """When its owner signs in next, who alone can tell the password; RFC 9106 has the numbers."""
    person = house.person(email="ada@example.com")
    weaker = CHEAP.hash(GOOD)
    house.run("UPDATE people SET password_hash = :h WHERE person_id = :p", h=weaker, p=person)
    house.sign_in("ada@example.com")
    query = "SELECT password_hash FROM people WHERE person_id = :p"
    kept = house.run(query, p=person).scalar_one()
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert not passwords.outdated(kept)
    house.sign_in("ada@example.com")


def test_no_secret_stands_in_the_database(house: House) -> None:
    """Neither the e-mail address nor a name nor an address in any column of any row."""
    house.person(email="canary@example.com")
    house.sign_in("canary@example.com")
    for table in ("people", "sessions", "tickets", "data_keys"):
        for row in house.run(f"SELECT t::text FROM {table} t").scalars():
            for canary in ("canary", "127.0.0.1"):
                assert canary not in row
                assert canary.encode().hex() not in row


@pytest.mark.parametrize(
    ("time_s", "code"),
    [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_standard(time_s: int, code: str) -> None:
    """RFC 6238, appendix B, in six digits."""
    secret = b"12345678901234567890"
    step_s = 30
    for late_s, step in ((0, time_s // step_s), (step_s, time_s // step_s), (60, None)):
        assert totp.step_of(secret, code, time_s + late_s) == step
