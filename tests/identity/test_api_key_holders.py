"""Who holds an API key bounds it: it never does more than whoever was last shown its secret."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.api.caller import Caller, problem
from tests.api.conftest import Bellman
from tests.identity.conftest import GOOD, House
from tests.identity.test_api_keys import KEYS, due, holder, made

READS = "/v1/api-keys?limit=1"  # for admins and auditors
BOOKS = "/v1/ledgers/main/operations?limit=1"  # for everybody
EMAIL = "maker@example.com"
OPENED = {"kind": "open_account", "type": "liability", "currency": "EUR"}


class Maker:
    """An admin of a house of their own, and a key that they made."""

    def __init__(self, house: House, **members: Any) -> None:
        self.house = house
        self.person = house.person("admin", email=EMAIL)
        self.caller = house.caller(house.sign_in(EMAIL)["access_token"])
        self.key = made(self.caller, **{"roles": ["admin", "reader"]} | members)
        self.program = holder(self.caller, self.key)

    def changed(self, **changes: Any) -> Any:
        """The person, when an owner has given them these roles or this status."""
        answer = self.house.admin().call("PATCH", f"/v1/people/{self.person}", changes)
        assert answer.status_code == 200, answer.text
        due(self.house.app)
        return answer.json

    def done(self, act: str) -> None:
        """Restricted, let in again or erased by an owner."""
        answer = self.house.admin().post(f"/v1/subjects/person:{self.person}/{act}")
        assert answer.status_code == 200, answer.text
        due(self.house.app)

    def rotated(self, by: Caller, grace_s: int = 0) -> Caller:
        """A program that has the key's new secret."""
        answer = by.post(f"{KEYS}/{self.key['id']}/rotate", {"grace_s": grace_s})
        assert answer.status_code == 200, answer.text
        due(self.house.app)
        return holder(by, answer.json)


@pytest.fixture
def maker(house: House) -> Maker:
    """An admin, and a key with the roles admin and reader."""
    return Maker(house)


def codes(program: Caller) -> list[int]:
    """What comes of a question for admins, and of one for everybody."""
    return [program.call("GET", path).status_code for path in (READS, BOOKS)]


def test_a_key_loses_what_its_holder_loses(maker: Maker) -> None:
    """A role that they could not give any more does not count, until they have it again."""
    assert codes(maker.program) == [200, 200]
    maker.changed(roles=["operator"])
    assert codes(maker.program) == [403, 200]
    maker.changed(roles=["owner"])
    assert codes(maker.program) == [200, 200]


def test_scopes_count_when_a_role_is_bounded(house: House) -> None:
    """A role narrowed to what the holder may do still counts, and the log keeps what counted."""
    maker = Maker(house, roles=["admin"], scopes=["operations.read", "ledgers.read"])
    maker.changed(roles=["auditor"])
    assert codes(maker.program) == [403, 200]


def test_a_key_of_somebody_disabled_does_not_count(maker: Maker) -> None:
    """The answer and the event name it; who enables the person lets it count again."""
    assert maker.changed(status="disabled")["api_keys"] == [maker.key["id"]]
    assert maker.house.told("person.changed")[0]["detail"]["api_keys"] == [maker.key["id"]]
    assert problem(maker.program.call("GET", BOOKS)) == (401, "token_invalid")
    maker.changed(status="active")
    assert codes(maker.program) == [200, 200]


OUT: dict[str, Callable[[Maker], Any]] = {
    "disabled": lambda maker: maker.changed(status="disabled"),
    "restricted": lambda maker: maker.done("restrict"),
    "erased": lambda maker: maker.done("erase"),
}


@pytest.mark.parametrize("out", OUT)
def test_who_may_not_act_acts_by_no_key(maker: Maker, out: str) -> None:
    """Nor by one that their key made, nor by the token of their session: out by every way."""
    second = holder(maker.caller, made(maker.program, roles=["reader"]))
    offered = maker.program.post("/v1/people", {"email": "x@example.com", "roles": ["reader"]})
    OUT[out](maker)
    for way in (maker.program, second, maker.caller):
        assert problem(way.call("GET", BOOKS)) == (401, "token_invalid")
    wanted: dict[str, Any] = {"name": "left behind", "roles": ["reader"]}
    assert problem(maker.program.post(KEYS, wanted)) == (401, "token_invalid")
    brought = {"invitation_token": (offered.json or {})["invitation_token"], "password": GOOD}
    accepted = maker.house.caller().post("/v1/invitations/accept", brought)
    assert problem(accepted) == (401, "ticket_invalid")
    if out == "restricted":
        maker.done("unrestrict")
        assert (codes(maker.program), codes(second)) == ([200, 200], [403, 200])


def test_what_was_accepted_goes_on(maker: Maker, asleep: Bellman) -> None:
    """The log is a promise: who is out asks for nothing more, and what they asked for is done."""
    made = [
        way.submit(OPENED | {"code": code})
        for code, way in (("a", maker.caller), ("b", maker.program))
    ]
    maker.done("restrict")
    maker.house.work("main")
    for one in made:
        shown = maker.house.admin().get(f"operations/{(one.json or {})['id']}").json
        assert (shown or {})["status"] == "posted"


def test_a_key_that_nobody_holds_does_not_count(maker: Maker) -> None:
    """Whose holder is no row of the tenant's people, or is not known at all."""
    for known_to in ("{person:pe_00000000000000000000}", "{key:ak_00000000000}"):
        maker.house.run("UPDATE api_keys SET known_to = :known_to", known_to=known_to)
        due(maker.house.app)
        assert problem(maker.program.call("GET", BOOKS)) == (401, "token_invalid")


def test_who_rotates_a_key_holds_it(maker: Maker) -> None:
    """The old secret counts for its time, bounded as the new one is; and nobody is named after."""
    boss = maker.house.admin()
    program = maker.rotated(boss, grace_s=600)
    assert maker.changed(status="disabled")["api_keys"] == [maker.key["id"]]
    assert codes(program) == codes(maker.program) == [200, 200]
    again = maker.rotated(boss)
    assert maker.changed(status="active")["api_keys"] == []
    assert codes(again) == [200, 200]
    assert codes(program) == [401, 401]


def test_nobody_is_given_more_by_a_change_of_their_key(maker: Maker) -> None:
    """An owner widens it, but its holder, who knows the secret, does not become one by it."""
    boss = maker.house.admin()
    wider = boss.call("PATCH", f"{KEYS}/{maker.key['id']}", {"roles": ["owner", "reader"]})
    assert wider.status_code == 200, wider.text
    due(maker.house.app)
    assert codes(maker.program) == [403, 200]
    assert codes(maker.rotated(boss)) == [200, 200]


def test_who_is_behind_a_key_is_behind_what_it_makes(maker: Maker) -> None:
    """They have seen that secret too: they hold it, and cannot approve what it submits."""
    second = made(maker.program, roles=["reader"])
    subjects = [f"person:{maker.person}", f"key:{maker.key['id']}"]
    assert second["known_to"] == subjects
    program = holder(maker.caller, second)
    assert program.call("GET", BOOKS).status_code == 200
    rotated: Any = maker.program.post(f"{KEYS}/{second['id']}/rotate", {"grace_s": 0}).json
    assert rotated["known_to"] == subjects
    maker.changed(status="disabled")
    assert problem(holder(maker.caller, rotated).call("GET", BOOKS)) == (401, "token_invalid")
