"""People: invited, changed, disabled; their passwords and second factors."""

import base64
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyotp
import pytest

from models.db import tenant_writing
from pipeline.identity import people, totp
from pipeline.privacy.data_keys import destroy
from tests.api.caller import problem, token
from tests.api.conftest import Bellman
from tests.identity.conftest import GOOD, OTHER, House, code_of

NEW = {"email": "grace@example.com", "roles": ["operator"], "name": "Grace Hopper"}


def test_who_may_act_is_said_in_one_place() -> None:
    """No statement has a rule of its own: it would forget one of the ways to be out."""
    root = Path(people.__file__).parents[2]
    files = [
        one for part in ("api", "cli", "pipeline", "tasks") for one in (root / part).rglob("*.py")
    ]
    rule = re.compile(r"NOT [\w.{}]*restricted\b|AND [\w.{}]*status = 'active'")
    saying = [one for one in files if rule.search(one.read_text())]
    assert saying == [Path(people.__file__)]


def invited(house: House, **more: Any) -> dict[str, Any]:
    """Somebody who was invited by an owner."""
    answer = house.admin().post("/v1/people", {**NEW, **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json or {})


def accept(house: House, word: str, password: str = GOOD) -> Any:
    """An invitation is accepted."""
    brought = {"invitation_token": word, "password": password}
    return house.caller().post("/v1/invitations/accept", brought)


def reset(house: House, word: str, password: str = OTHER) -> Any:
    """A new password is chosen."""
    return house.caller().post(
        "/v1/password-resets/accept", {"reset_token": word, "password": password}
    )


def offered(house: House, person: str) -> str:
    """What an owner hands to somebody who forgot their password."""
    answer = house.admin().post(f"/v1/people/{person}/password-reset")
    assert answer.status_code == 201, answer.text
    return str((answer.json or {})["token"])


def as_person(house: House, *roles: str) -> Any:
    """Somebody new who signed in: a caller, and their id."""
    email = f"{'-'.join(roles)}@example.com"
    person = house.person(*roles, email=email)
    return house.caller(house.sign_in(email)["access_token"]), person


def test_an_invitation_works_once(house: House) -> None:
    """Not before a good password is chosen, not twice, not at another place."""
    person = invited(house)
    assert person["status"] == "invited"
    word = person["invitation_token"]
    assert problem(accept(house, word, "password1234")) == (422, "weak_password")
    assert problem(reset(house, word)) == (401, "ticket_invalid")
    with ThreadPoolExecutor(3) as threads:
        tries = [threads.submit(accept, house, word).result for _ in range(3)]
        assert sorted(one().status_code for one in tries) == [200, 401, 401]
    house.sign_in("grace@example.com")
    (told,) = house.told("person.accepted")
    assert told["actor"] == f"person:{person['id']}"
    assert len(house.told("person.invited")) == 1


@pytest.mark.parametrize("word", ["x", "1.x", f"0.{'A' * 43}", f"1.{'A' * 43}", f"9.{'A' * 43}"])
def test_a_ticket_that_there_is_not(house: House, word: str) -> None:
    """401, whoever's tenant it names."""
    assert problem(accept(house, word)) == (401, "ticket_invalid")


def test_a_ticket_grows_too_old(house: House) -> None:
    """And a newer one takes its place."""
    person = invited(house)
    newer = offered(house, person["id"])
    assert problem(accept(house, person["invitation_token"])) == (401, "ticket_invalid")
    old = f"{house.tenant_id}.{'A' * 43}"
    age = "INSERT INTO tickets SELECT tenant_id, sha256(:old), person_id, purpose, made_by,"
    house.run(f"{age} created_at, now() FROM tickets LIMIT 1", old=old.encode())
    assert problem(accept(house, old)) == (401, "ticket_invalid")
    assert accept(house, newer).status_code == 200


def test_an_address_has_one_person(house: House) -> None:
    """However it is spelt; another tenant may have its own."""
    invited(house)
    twice = house.admin().post("/v1/people", {**NEW, "email": "GRACE@example.com"})
    assert problem(twice) == (409, "person_exists")


def test_a_reset_ends_all_sessions(house: House) -> None:
    """The old password is gone, and whoever was in is out; a second factor would stay."""
    person = house.person("operator", email="ada@example.com")
    tokens = house.sign_in("ada@example.com")
    answer = reset(house, offered(house, person))
    assert answer.status_code == 200, answer.text
    assert house.caller(tokens["access_token"]).get("/v1/people/me").status_code == 401
    assert house.refresh(tokens["refresh_token"]).status_code == 401
    assert house.try_in("ada@example.com").status_code == 401
    house.sign_in("ada@example.com", OTHER)
    assert len(house.told("person.password_reset")) == 1


def test_a_changed_password_ends_the_other_sessions(house: House) -> None:
    """The one that asked goes on; the present password is asked for, and counted."""
    person = house.person("operator", email="ada@example.com")
    here, there = house.sign_in("ada@example.com"), house.sign_in("ada@example.com")
    caller = house.caller(here["access_token"])
    path = "/v1/people/me/password"
    wrong = caller.post(path, {"password": "not the one at all", "new_password": OTHER})
    assert problem(wrong) == (401, "sign_in_refused")
    query = "SELECT failures FROM people WHERE person_id = :p"
    assert house.run(query, p=person).scalar_one() == 1
    weak = caller.post(path, {"password": GOOD, "new_password": "ada@example.com"})
    assert problem(weak) == (422, "weak_password")
    changed = caller.post(path, {"password": GOOD, "new_password": OTHER})
    assert changed.status_code == 200, changed.text
    assert caller.get("/v1/people/me").status_code == 200
    assert house.refresh(here["refresh_token"]).status_code == 200
    assert house.caller(there["access_token"]).get("/v1/people/me").status_code == 401
    assert house.try_in("ada@example.com").status_code == 401
    house.sign_in("ada@example.com", OTHER)


def test_other_roles_hold_at_once(house: House) -> None:
    """Access tokens from before do not count, and a refresh gives one with the new roles."""
    person = house.person("operator", email="ada@example.com")
    tokens = house.sign_in("ada@example.com")
    here = house.caller(tokens["access_token"])
    assert here.get("/v1/people").status_code == 403
    changed = house.admin().call("PATCH", f"/v1/people/{person}", {"roles": ["auditor"]})
    assert (changed.json or {})["roles"] == ["auditor"]
    assert here.get("/v1/people/me").status_code == 401
    newer = house.refresh(tokens["refresh_token"]).json["access_token"]
    assert house.caller(newer).get("/v1/people").status_code == 200
    (told,) = house.told("person.changed")
    assert told["detail"]["after"] == {"roles": ["auditor"], "status": "active"}


def test_only_owners_touch_owners(house: House) -> None:
    """An admin neither makes one, nor changes, resets or disables one: it could be them."""
    admin, _ = as_person(house, "admin")
    owner = house.person("owner")
    other = house.person("reader")
    path = f"/v1/people/{owner}"
    refused = [
        admin.post("/v1/people", {**NEW, "roles": ["owner"]}),
        admin.call("PATCH", f"/v1/people/{other}", {"roles": ["owner"]}),
        admin.call("PATCH", path, {"roles": ["reader"]}),
        admin.call("PATCH", path, {"status": "disabled"}),
        admin.call("DELETE", path),
        admin.call("DELETE", f"{path}/totp"),
        admin.post(f"{path}/password-reset"),
    ]
    assert {problem(answer) for answer in refused} == {(403, "owners_only")}


def test_nobody_gives_roles_to_themselves(house: House) -> None:
    """They may give some up."""
    admin, person = as_person(house, "admin")
    path = f"/v1/people/{person}"
    more = admin.call("PATCH", path, {"roles": ["admin", "approver"]})
    assert problem(more) == (403, "own_roles")
    assert admin.call("PATCH", path, {"roles": ["admin"]}).status_code == 200
    assert admin.call("PATCH", path, {"roles": []}).status_code == 200


def test_nobody_resets_themselves_without_their_password(house: House) -> None:
    """A token that was stolen does not become the account: what admins do, they do for others."""
    owner, person = as_person(house, "owner")
    path = f"/v1/people/{person}"
    for method, action in (("POST", "password-reset"), ("DELETE", "totp")):
        refused = owner.call(method, f"{path}/{action}")
        assert problem(refused) == (403, "own_person"), action


def test_a_tenant_keeps_an_owner(house: House) -> None:
    """The last active one stays, also where two owners disable each other at once."""
    one, first = as_person(house, "owner")
    assert problem(one.call("DELETE", f"/v1/people/{first}")) == (409, "last_owner")
    demoted = one.call("PATCH", f"/v1/people/{first}", {"roles": ["admin"]})
    assert problem(demoted) == (409, "last_owner")
    invited(house, email="later@example.com", roles=["owner"])  # cannot sign in yet
    assert problem(one.call("DELETE", f"/v1/people/{first}")) == (409, "last_owner")
    for round_ in range(3):
        second = house.person("owner", email=f"second{round_}@example.com")
        admin = house.admin()
        with ThreadPoolExecutor(2) as threads:
            paths = [f"/v1/people/{person}" for person in (first, second)]
            tries = [threads.submit(admin.call, "DELETE", path) for path in paths]
            assert sorted(each.result().status_code for each in tries) == [200, 409]
        query = "SELECT person_id FROM people WHERE status = 'active' AND 'owner' = ANY (roles)"
        first = house.run(query).scalar_one()


def test_the_second_factor(house: House) -> None:
    """Asked for once it is confirmed; a code works once, a recovery code likewise."""
    person = house.person("operator", email="ada@example.com")
    here = house.caller(house.sign_in("ada@example.com")["access_token"])
    wrong = here.post("/v1/people/me/totp", {"password": "not the one at all"})
    assert problem(wrong) == (401, "sign_in_refused")
    made: Any = here.post("/v1/people/me/totp", {"password": GOOD}).json
    assert pyotp.parse_uri(made["uri"]).name == f"{house.name}/ada@example.com"
    secret = made["secret"]
    house.sign_in("ada@example.com")  # it does not count yet
    confirm = "/v1/people/me/totp/confirm"
    assert problem(here.post(confirm, {"code": "x"})) == (422, "code_wrong")
    used = code_of(secret, -1)
    codes: Any = here.post(confirm, {"code": used}).json["codes"]  # type: ignore[index]
    assert len(set(codes)) == totp.RECOVERY_CODES
    assert problem(house.try_in("ada@example.com")) == (401, "sign_in_refused")
    assert house.try_in("ada@example.com", code=used).status_code == 401
    now = code_of(secret)
    house.sign_in("ada@example.com", code=now)
    assert house.try_in("ada@example.com", code=now).status_code == 401
    house.sign_in("ada@example.com", code=codes[0].upper())
    assert house.try_in("ada@example.com", code=codes[0]).status_code == 401
    assert problem(here.post("/v1/people/me/totp", {"password": GOOD})) == (409, "second_factor_on")
    off = here.call("DELETE", "/v1/people/me/totp", {"password": GOOD})
    assert off.status_code == 200, off.text
    house.sign_in("ada@example.com")
    assert [len(house.told(f"person.second_factor_{x}")) for x in ("on", "off")] == [1, 1]
    for row in house.run("SELECT t::text FROM people t WHERE person_id = :p", p=person).scalars():
        assert base64.b32decode(secret).hex() not in row


def test_one_code_lets_one_in(house: House) -> None:
    """Of parallel tries with the right code one succeeds."""
    house.person("operator", email="ada@example.com")
    here = house.caller(house.sign_in("ada@example.com")["access_token"])
    made: Any = here.post("/v1/people/me/totp", {"password": GOOD}).json
    secret = made["secret"]
    here.post("/v1/people/me/totp/confirm", {"code": code_of(secret, -1)})
    code = code_of(secret)
    with ThreadPoolExecutor(4) as threads:
        tries = [threads.submit(house.try_in, "ada@example.com", code=code) for _ in range(4)]
        assert sorted(one.result().status_code for one in tries) == [201, 401, 401, 401]


def test_an_admin_takes_a_second_factor_away(house: House) -> None:
    """For whoever lost everything."""
    person = house.person("operator", email="ada@example.com")
    path = f"/v1/people/{person}/totp"
    assert problem(house.admin().call("DELETE", path)) == (409, "second_factor_off")
    here = house.caller(house.sign_in("ada@example.com")["access_token"])
    made: Any = here.post("/v1/people/me/totp", {"password": GOOD}).json
    secret = made["secret"]
    code = code_of(secret)
    here.post("/v1/people/me/totp/confirm", {"code": code})
    assert house.try_in("ada@example.com").status_code == 401
    assert house.admin().call("DELETE", path).status_code == 200
    house.sign_in("ada@example.com")


def test_people_are_listed(house: House) -> None:
    """By their ids, a page at a time, and none of another tenant."""
    ids = sorted(house.person("reader") for _ in range(3))
    admin = house.admin("auditor")
    first: Any = admin.get("/v1/people?limit=2").json
    rest: Any = admin.get(f"/v1/people?limit=2&after={first['next']}").json
    assert [one["id"] for one in first["data"] + rest["data"]] == ids
    assert rest["next"] is None
    stranger = house.caller(token(("owner",), 1))
    assert problem(stranger.get(f"/v1/people/{ids[0]}")) == (404, "unknown_person")
    renamed = invited(house)["id"]
    assert (admin.get(f"/v1/people/{renamed}").json or {})["name"] == "Grace Hopper"


def test_whoever_is_erased_is_still_listed(house: House) -> None:
    """Without what was sealed under the key that was destroyed."""
    person = house.person("reader")
    with tenant_writing(house.tenant_id) as connection:
        assert destroy(connection, house.tenant_id, f"person:{person}")
    shown: Any = house.admin().get(f"/v1/people/{person}").json
    assert (shown["email"], shown["name"]) == (None, None)


def test_people_name_themselves(house: House) -> None:
    """And a token that is of no person has no self."""
    here, _ = as_person(house, "reader")
    assert (here.call("PATCH", "/v1/people/me", {"name": "Ada"}).json or {})["name"] == "Ada"
    assert (here.get("/v1/people/me").json or {})["name"] == "Ada"
    assert problem(house.admin().get("/v1/people/me")) == (404, "unknown_person")


def test_events_of_people_are_sealed(house: House, asleep: Bellman) -> None:
    """They pass the stages as any do, and hold nothing personal."""
    house.person("owner", email="canary@example.com")
    house.sign_in("canary@example.com")
    house.seal()
    listed: Any = house.admin().get("/v1/events").json
    assert all(one["sealed"] for one in listed["data"])
    assert "canary" not in str(listed)
