"""API keys over HTTP: made, used, narrowed, rotated and revoked, never more than their maker."""

import datetime as dt
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.exc import DBAPIError

from api.identity import key_look_up
from api.state import NAME
from models import api_key
from models.db import intake_engine, tenant_reading, tenant_writing
from models.ledger import LedgerRef
from pipeline.permissions import ROLES
from tests.api.caller import Caller, problem, token, transfer
from tests.api.conftest import Bellman
from tests.bank import Bank, new_ledger
from tests.identity.waiting import eventually

KEYS = "/v1/api-keys"
PLAIN = {"name": "web shop", "roles": ["submitter"]}


def made(maker: Caller, **members: Any) -> Any:
    """A new key."""
    answer = maker.post(KEYS, PLAIN | members)
    assert answer.status_code == 201, answer.text
    return answer.json


def holder(maker: Caller, key: Any) -> Caller:
    """A program that has the key."""
    return Caller(maker.app, maker.ledger, key["key"])


def due(app: Flask) -> None:
    """What passing time does: remembered tokens and keys are looked at anew."""
    for known in app.extensions[NAME].tokens._known.values():
        known.look_at = float("-inf")


def newest_events(caller: Caller, many: int) -> list[dict[str, Any]]:
    """The last events of the tenant, oldest of them first."""
    listed: Any = caller.get(f"/v1/events?limit={many}").json
    return list(reversed(listed["data"]))


def test_a_program_asks_with_a_key(api: Caller, ledger: LedgerRef) -> None:
    """It may do what its roles permit, and the log keeps who it was and who made it."""
    api.open_two()
    key = made(api)
    program = holder(api, key)
    assert program.posted(transfer())["status"] == "posted"
    assert problem(program.post("/v1/ledgers", {"name": "no"})) == (403, "forbidden")
    assert problem(program.get(KEYS)) == (403, "forbidden")
    stored = (
        "SELECT principal::text FROM operations WHERE ledger_id = :ledger AND kind = 'transfer'"
    )
    assert Bank(ledger).rows(stored) == [
        (f'{{"by":["tests"],"roles":["submitter"],"sub":"key:{key["id"]}"}}',)
    ]


def test_the_secret_is_shown_once(api: Caller) -> None:
    """Neither a list nor the key itself shows it again, and the database has only its hash."""
    key = made(api)
    assert key["key"].startswith("tr_live_")
    shown = api.get(f"{KEYS}/{key['id']}").json
    assert shown == {name: value for name, value in key.items() if name != "key"}
    assert key["key"] not in api.get(f"{KEYS}?limit=200").text
    with tenant_reading(1) as connection:
        rows = connection.execute(text("SELECT api_keys::text FROM api_keys")).scalars()
        everything = " ".join(rows)
    assert api_key.hash_of(key["key"]).hex() in everything
    assert key["key"][8:] not in everything


def test_each_act_is_an_event(api: Caller) -> None:
    """Made, changed, rotated, revoked: who did it, and to which key; nothing twice."""
    key = made(api)
    where = f"{KEYS}/{key['id']}"
    for _ in range(2):
        assert api.call("PATCH", where, {"scopes": ["operation.transfer"]}).status_code == 200
    assert api.post(f"{where}/rotate", {"grace_s": 60}).status_code == 200
    for _ in range(2):
        assert api.call("DELETE", where).json["revoked_at"] is not None  # type: ignore[index]
    told = newest_events(api, 4)
    acts = ["created", "changed", "rotated", "revoked"]
    assert [one["action"] for one in told] == [f"api_key.{act}" for act in acts]
    assert {one["target"] for one in told} == {f"api_key:{key['id']}"}
    assert {one["actor"] for one in told} == {"tests"}
    assert told[1]["detail"] == {
        "before": {"roles": ["submitter"]},
        "after": {"roles": ["submitter"], "scopes": ["operation.transfer"]},
    }
    assert told[2]["detail"] == {"grace_s": 60}
    assert "web shop" not in str(told)


def test_a_revoked_key_ends_within_two_seconds(app: Flask, api: Caller) -> None:
    """A remembered one too, once it is looked at; it never comes back."""
    key = made(api)
    program = holder(api, key)
    assert program.get("operations").status_code == 200
    revoked: Any = api.call("DELETE", f"{KEYS}/{key['id']}").json
    due(app)
    for _ in range(2):
        assert problem(program.get("operations")) == (401, "token_invalid")
    where = f"{KEYS}/{key['id']}"
    assert problem(api.call("PATCH", where, {"name": "x"})) == (409, "api_key_revoked")
    assert problem(api.post(f"{where}/rotate")) == (409, "api_key_revoked")
    shown: Any = api.get(where).json
    assert shown["revoked_at"] == revoked["revoked_at"] is not None
    undo = text("UPDATE api_keys SET revoked_at = NULL WHERE key_id = :key")
    with pytest.raises(DBAPIError, match="revoked"), tenant_writing(1) as connection:
        connection.execute(undo, {"key": api_key.parse_id(key["id"])})


def test_a_rotated_key_has_two_secrets_for_a_while(app: Flask, api: Caller) -> None:
    """The old one counts until its time; what was rotated out before ends at once."""
    key = made(api)
    where = f"{KEYS}/{key['id']}"
    second: Any = api.post(f"{where}/rotate").json
    assert second["key"] != key["key"]
    assert second["previous_until"] is not None
    for one in (key, second):
        assert holder(api, one).get("operations").status_code == 200
    third: Any = api.post(f"{where}/rotate", {"grace_s": 0}).json
    due(app)
    for one, status in ((key, 401), (second, 401), (third, 200)):
        assert holder(api, one).get("operations").status_code == status


def test_a_clock_set_back_lets_no_old_secret_in(app: Flask, api: Caller) -> None:
    """What was rotated out without grace is gone, whatever time the database thinks it is."""
    key = made(api)
    api.post(f"{KEYS}/{key['id']}/rotate", {"grace_s": 0})
    later = "previous_until = previous_until + interval '2 hours' WHERE key_id = :key"
    with tenant_writing(1) as connection:
        named = {"key": api_key.parse_id(key["id"])}
        connection.execute(text(f"UPDATE api_keys SET {later}"), named)
    due(app)
    assert holder(api, key).get("operations").status_code == 401


def test_a_changed_key_is_narrower_at_once(app: Flask, api: Caller) -> None:
    """What it may do is looked up anew, so a change holds for a key that is remembered."""
    key = made(api, roles=["operator"])
    program = holder(api, key)
    assert program.get("operations").status_code == 200
    changes = {"scopes": ["reports.*"], "ledgers": [new_ledger().name]}
    assert api.call("PATCH", f"{KEYS}/{key['id']}", changes).status_code == 200
    due(app)
    assert problem(program.get("operations")) == (403, "forbidden")
    assert problem(program.get("reports/trial-balance")) == (404, "unknown_ledger")


def test_a_key_expires(app: Flask, api: Caller) -> None:
    """From then on it is no key, also where it is remembered; a time that is over is refused."""
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=3)
    program = holder(api, made(api, expires_at=soon.isoformat()))
    assert program.get("operations").status_code == 200
    eventually(lambda: program.get("operations").status_code == 401, within_s=10)
    past = {"expires_at": "2020-01-01T00:00:00Z"}
    assert problem(api.post(KEYS, PLAIN | past)) == (422, "invalid_request")


@pytest.mark.parametrize(
    ("maker", "wanted", "member"),
    [
        ({"roles": ["admin"]}, {"roles": ["owner"]}, "roles"),
        ({"roles": ["admin"], "scopes": ["api_keys.*"]}, {"roles": ["reader"]}, "scopes"),
        ({"roles": ["admin"], "ledgers": ["main"]}, {"roles": ["reader"]}, "ledgers"),
        ({"roles": ["admin"], "ledgers": ["main"]}, {"ledgers": ["main", "else"]}, "ledgers"),
        ({"roles": ["admin"], "limits": {"EUR": 5}}, {"roles": ["reader"]}, "limits"),
        ({"roles": ["admin"], "limits": {"EUR": 5}}, {"limits": {"EUR": 6}}, "limits"),
        ({"roles": ["admin"], "limits": {"EUR": 5}}, {"limits": {"USD": 1}}, "limits"),
    ],
)
def test_a_key_never_does_more_than_its_maker(
    app: Flask, api: Caller, maker: dict[str, Any], wanted: dict[str, Any], member: str
) -> None:
    """Neither when it is made, nor by a change, nor by seeing the secret of one that does."""
    limited = Caller(app, api.ledger, token(**maker))
    refused: Any = limited.post(KEYS, PLAIN | wanted)
    assert problem(refused) == (422, "invalid_request")
    assert refused.json["param"] == member
    wide = made(api.with_roles(*ROLES), **wanted)
    where = f"{KEYS}/{wide['id']}"
    for answer in (
        limited.call("PATCH", where, {"name": "mine"}),
        limited.post(f"{where}/rotate"),
    ):
        assert problem(answer) == (422, "invalid_request")
    narrow = {"roles": ["admin"], "scopes": ["api_keys.*"], "ledgers": ["main"]}
    mine = made(limited, **narrow, limits={"EUR": 5})
    wider = {"scopes": None, "ledgers": None, "limits": None} | wanted
    widened = limited.call("PATCH", f"{KEYS}/{mine['id']}", wider)
    assert problem(widened) == (422, "invalid_request")


def test_a_key_gets_nobody_out_of_the_limits_of_the_tenant(stranger: Caller) -> None:
    """They bind whoever has no limits, so limits of a key stay within them."""
    assert stranger.call("PATCH", "/v1/tenant", {"limits": {"EUR": 5}}).status_code == 200
    try:
        assert made(stranger)["limits"] is None
        assert made(stranger, limits={"EUR": 5})["limits"] == {"EUR": 5}
        for limits in ({"EUR": 6}, {"USD": 1}):
            refused = stranger.post(KEYS, PLAIN | {"limits": limits})
            assert problem(refused) == (422, "invalid_request")
    finally:
        stranger.call("PATCH", "/v1/tenant", {"limits": None})


def test_a_key_makes_no_wider_key(api: Caller) -> None:
    """A key with a key's permissions is bound as people are."""
    program = holder(api, made(api, roles=["admin"], scopes=["api_keys.*", "reports.*"]))
    narrow = {"roles": ["reader"], "scopes": ["reports.read"]}
    assert program.post(KEYS, PLAIN | narrow).status_code == 201
    assert problem(program.post(KEYS, PLAIN)) == (422, "invalid_request")


def test_a_key_makes_none_that_outlives_it(api: Caller) -> None:
    """Neither a new one, nor itself by a change, nor by taking over one that lasts."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    key = made(api, roles=["admin"], expires_at=ends.isoformat())
    lasting, program = made(api), holder(api, key)
    later = {"expires_at": (ends + dt.timedelta(seconds=1)).isoformat()}
    for refused in (
        program.post(KEYS, PLAIN),
        program.post(KEYS, PLAIN | later),
        program.call("PATCH", f"{KEYS}/{key['id']}", later),
        program.call("PATCH", f"{KEYS}/{key['id']}", {"expires_at": None}),
        program.post(f"{KEYS}/{lasting['id']}/rotate", {}),
    ):
        assert problem(refused) == (422, "invalid_request")
        assert "expires_at" in refused.text
    assert program.post(KEYS, PLAIN | {"expires_at": ends.isoformat()}).status_code == 201


def test_a_key_approves_nothing(api: Caller) -> None:
    """And who made it, or rotated it, does not approve what it submits: that is the same person."""
    api.open_two()
    api.posted({"kind": "set_approval", "name": "a", "currency": "EUR", "above": 0})
    ida, bob = (api.with_roles("admin", subject=f"cli:{name}") for name in ("ida", "bob"))
    boss = api.with_roles("admin", subject="cli:cleo")
    key = made(ida, roles=["admin"])
    program = holder(api, key)
    waiting: Any = program.submit(transfer()).json
    approval = {"kind": "approve", "target": waiting["id"]}
    assert problem(program.submit(approval)) == (403, "forbidden")
    group = {"kind": "group", "operations": [approval]}
    assert program.submit(group, wait=10).json["status"] != "posted"  # type: ignore[index]
    own: Any = ida.submit(approval, wait=10).json
    assert own["rejection"]["code"] == "own_approval", own
    rotated: Any = bob.post(f"{KEYS}/{key['id']}/rotate").json
    zoe = api.with_roles("admin", subject="cli:zoe")
    again: Any = zoe.post(f"{KEYS}/{key['id']}/rotate").json
    assert again["known_to"] == ["cli:ida", "cli:bob", "cli:zoe"]
    later: Any = holder(api, rotated).submit(transfer()).json
    for person in (ida, bob, zoe):
        again = person.submit({"kind": "approve", "target": later["id"]}, wait=10).json
        assert again["rejection"]["code"] == "own_approval", again
    listed: Any = bob.get("approvals").json
    assert [one["approval"]["awaits_you"] for one in listed["data"]] == [True, False]
    assert boss.posted({"kind": "approve", "target": later["id"]})["status"] == "posted"


def test_keys_of_another_tenant_are_not_there(api: Caller, stranger: Caller) -> None:
    """404 for each of them, no list has them, and a key asks in its own tenant's name."""
    key = made(api)
    where = f"{KEYS}/{key['id']}"
    for answer in (
        stranger.get(where),
        stranger.call("PATCH", where, {"name": "x"}),
        stranger.post(f"{where}/rotate"),
        stranger.call("DELETE", where),
    ):
        assert problem(answer) == (404, "unknown_api_key")
    assert key["id"] not in stranger.get(f"{KEYS}?limit=200").text
    theirs = made(stranger, roles=["reader"])
    assert problem(holder(api, theirs).get("")) == (404, "unknown_ledger")


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a\u202eb"},
        {"name": None},
        {"roles": []},
        {"roles": ["janitor"]},
        {"scopes": ["everything"]},
        {"scopes": []},
        {"ledgers": []},
        {"ledgers": ["Not A Ledger"]},
        {"limits": {"EUR": -1}},
        {"limits": {"EUR": True}},
        {"limits": {"eur": 1}},
        {"limits": {}},
        {"expires_at": "soon"},
        {"expires_at": "2099-01-01T00:00:00"},
        {"tenant_id": 2},
        {"created_by": "somebody"},
    ],
)
def test_what_is_no_key_is_refused(api: Caller, changes: dict[str, Any]) -> None:
    """422 that names the member, and nothing is made."""
    answer: Any = api.post(KEYS, PLAIN | changes)
    assert problem(answer) == (422, "invalid_request")
    assert next(iter(changes)) in answer.json["param"]


def test_what_is_mistyped_asks_nobody(app: Flask, api: Caller) -> None:
    """A wrong letter is a 401 without a look into the database; an unknown key is one as well."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "api_keys" in statement:
            asked.append(statement)

    key = made(api)["key"]
    event.listen(intake_engine(), "before_cursor_execute", note)
    try:
        wrong = key[:-1] + ("0" if key[-1] != "0" else "1")
        assert problem(Caller(app, api.ledger, wrong).get("")) == (401, "token_invalid")
        assert asked == []
        unknown = api_key.new_key(1, api_key.new_id())
        assert problem(Caller(app, api.ledger, unknown).get("")) == (401, "token_invalid")
        nobodys = api_key.new_key(2**31 - 1, 5)
        assert problem(Caller(app, api.ledger, nobodys).get("")) == (401, "token_invalid")
        assert len(asked) == 2
        program = Caller(app, api.ledger, key)
        for _ in range(5):
            assert program.get("").status_code == 200
        assert len([one for one in asked if "SELECT" in one]) == 3
    finally:
        event.remove(intake_engine(), "before_cursor_execute", note)


def test_the_right_secret_of_another_key_is_no_key(app: Flask, api: Caller) -> None:
    """The hash is of the whole: the row of one key takes no other key's secret."""
    key = made(api)
    key_id = api_key.parse_id(key["id"])
    assert key_id is not None
    forged = api_key.new_key(1, key_id)
    assert problem(Caller(app, api.ledger, forged).get("")) == (401, "token_invalid")


def test_its_last_use_is_written_down(app: Flask, api: Caller) -> None:
    """Within moments after the request, and then at most once a minute."""
    key = made(api)
    where = f"{KEYS}/{key['id']}"
    program = holder(api, key)
    program.get("operations")

    def used() -> Any:
        return api.get(where).json["last_used_at"]  # type: ignore[index]

    eventually(lambda: used() is not None, within_s=5)
    first = used()
    for _ in range(3):
        due(app)
        program.get("operations")
    app.extensions[NAME].tokens._uses._noted.clear()
    due(app)
    program.get("operations")
    assert used() == first
    assert key_look_up.USED_EVERY_S == 60


def test_keys_come_in_pages(api: Caller, asleep: Bellman) -> None:
    """Each of them once."""
    mine = {made(api)["id"] for _ in range(3)}
    seen: list[str] = []
    after = ""
    while True:
        listed: Any = api.get(f"{KEYS}?limit=2{after}").json
        seen += [one["id"] for one in listed["data"]]
        if not listed["has_more"]:
            break
        after = f"&after={listed['next']}"
    assert mine <= set(seen)
    assert len(seen) == len(set(seen))
