"""People as subjects of privacy: restricted, let in again, erased."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from api.identity import sessions as routes
from models.db import tenant_writing
from pipeline.identity.people import subject_of
from pipeline.privacy import subjects, submitted
from tasks.erase import erase_due
from tests.api.caller import Caller, new_key, problem, transfer
from tests.api.conftest import Bellman
from tests.identity.conftest import GOOD, OTHER, House


def do(caller: Caller, act: str, person: str) -> Any:
    """POST /v1/subjects/person:…/{act}."""
    return caller.post(f"/v1/subjects/{subject_of(person)}/{act}")


def test_nobody_signs_in_as_who_was_erased(house: House) -> None:
    """Their sessions end, the password is of no use, and the address may be invited anew."""
    person = house.person("operator", email="gone@example.com")
    tokens = house.sign_in("gone@example.com")
    with tenant_writing(house.tenant_id) as connection:
        assert subjects.erase(connection, house.tenant_id, subject_of(person), "cli:test")
    assert house.try_in("gone@example.com").status_code == 401
    assert house.refresh(tokens["refresh_token"]).status_code == 401
    listed: Any = house.admin().get(f"/v1/people/{person}").json
    assert [listed[name] for name in ("status", "email", "name")] == ["erased", None, None]
    house.person("auditor", email="gone@example.com", password=GOOD)
    assert house.sign_in("gone@example.com")
    with tenant_writing(house.tenant_id) as connection:
        kept = text("SELECT email_hash, password_hash FROM people WHERE person_id = :person")
        assert connection.execute(kept, {"person": person}).all() == [(None, None)]


def test_who_is_restricted_is_out_until_that_is_lifted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither password, session nor ticket lets them in; admins still take from them."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    owner = house.admin()
    person = house.person("operator", email="ada@example.com")
    tokens = house.sign_in("ada@example.com")
    reset = owner.post(f"/v1/people/{person}/password-reset").json["token"]  # type: ignore[index]
    here = house.caller(tokens["access_token"])
    assert here.get("/v1/people/me").status_code == 200
    assert do(owner, "restrict", person).json["status"] == "restricted"
    assert here.get("/v1/people/me").status_code == 401
    assert problem(house.refresh(tokens["refresh_token"])) == (401, "session_ended")
    assert problem(house.try_in("ada@example.com")) == (401, "sign_in_refused")
    brought = {"reset_token": reset, "password": OTHER}
    accept = "/v1/password-resets/accept"
    assert problem(house.caller().post(accept, brought)) == (401, "ticket_invalid")
    again = owner.post(f"/v1/people/{person}/password-reset")
    assert problem(again) == (409, "not_active")
    path = f"/v1/people/{person}"
    shown: Any = owner.call("PATCH", path, {"roles": ["reader"]}).json
    assert (shown["status"], shown["restricted"], shown["roles"]) == ("active", True, ["reader"])
    assert do(owner, "unrestrict", person).json["status"] == "open"
    assert problem(house.refresh(tokens["refresh_token"])) == (401, "session_ended")
    assert (owner.get(path).json or {})["restricted"] is False
    house.sign_in("ada@example.com")


def test_an_invitation_waits_while_it_is_restricted(house: House) -> None:
    """And an erasure that waits for retention restricts as well."""
    owner = house.admin()
    owner.call("PATCH", "/v1/tenant", {"retention_days": 30})
    made: Any = owner.post("/v1/people", {"email": "ivy@example.com", "roles": []}).json
    house.run(
        "INSERT INTO subject_mentions (tenant_id, subject, ledger_id, key_hash)"
        " VALUES (:t, :s, 1, gen_random_uuid())",
        t=house.tenant_id,
        s=subject_of(made["id"]),
    )
    assert do(owner, "erase", made["id"]).status_code == 202
    brought = {"invitation_token": made["invitation_token"], "password": GOOD}
    accept = "/v1/invitations/accept"
    assert problem(house.caller().post(accept, brought)) == (401, "ticket_invalid")
    do(owner, "unrestrict", made["id"])
    assert house.caller().post(accept, brought).status_code == 200


def test_only_owners_restrict_owners(house: House) -> None:
    """Else an admin would shut them out; nobody lifts it in their place."""
    house.person("owner")
    other = house.person("owner")
    admin = house.admin("admin")
    assert problem(do(admin, "restrict", other)) == (403, "owners_only")
    assert do(house.admin(), "restrict", other).status_code == 200
    assert problem(do(admin, "unrestrict", other)) == (403, "owners_only")


def test_the_last_owner_is_neither_restricted_nor_erased(house: House) -> None:
    """Whatever two of them do to each other at once; who is restricted does not count."""
    owner = house.admin()
    first, second = house.person("owner"), house.person("owner")
    for acts in (("restrict", "restrict"), ("erase", "restrict")):
        with ThreadPoolExecutor(2) as threads:
            pairs = zip(acts, (first, second), strict=True)
            tries = [threads.submit(do, owner, *pair) for pair in pairs]
            assert sorted(each.result().status_code for each in tries) == [200, 409]
        left = house.run(
            "SELECT person_id FROM people WHERE status = 'active' AND NOT restricted"
        ).scalar_one()
        for act in ("restrict", "erase"):
            assert problem(do(owner, act, left)) == (409, "last_owner")
        assert problem(owner.call("DELETE", f"/v1/people/{left}")) == (409, "last_owner")
        first, second = left, house.person("owner")


def test_an_erasure_of_the_last_owner_is_postponed(house: House) -> None:
    """One that is due is told of and tried again a day later, and what is behind it goes on."""
    person, other = house.person("owner"), house.person("reader")
    for subject in (subject_of(person), subject_of(other)):
        house.run(
            "INSERT INTO subjects (tenant_id, subject, restricted_at, erase_due_at, erase_asked_by)"
            " VALUES (:t, :s, now(), now() - interval '1 hour', 'cli:test')",
            t=house.tenant_id,
            s=subject,
        )
    with capture_logs() as logs:
        assert erase_due() == 1
        assert erase_due() == 0
    (told,) = [one for one in logs if one["event"] == "erasure_postponed"]
    assert told["why"] == "last_owner"
    due = "SELECT erase_due_at > now() + interval '23 hours' FROM subjects WHERE subject = :s"
    assert house.run(due, s=subject_of(person)).scalar_one()
    assert (house.admin().get(f"/v1/people/{other}").json or {})["status"] == "erased"


def test_a_person_is_kept_for_as_long_as_what_they_did(house: House) -> None:
    """From when they could act last; who never came is erased at once."""
    owner = house.admin()
    assert owner.call("PATCH", "/v1/tenant", {"retention_days": 365}).status_code == 200
    person, invited = house.person("operator"), {"email": "new@example.com", "roles": ["reader"]}
    planned = [do(owner, "erase", person) for _ in range(2)]
    assert [one.status_code for one in planned] == [202, 202]
    assert planned[0].json["status"] == "erasure_due"
    assert planned[0].json == planned[1].json
    assert len(house.told("subject.erasure_planned")) == 1
    erase_due()
    assert owner.get(f"/v1/people/{person}").json["status"] == "active"  # type: ignore[index]
    before = "SET restricted_at = restricted_at - interval '366 days'"
    house.run(f"UPDATE subjects {before}, erase_due_at = erase_due_at - interval '366 days'")
    erase_due()
    assert owner.get(f"/v1/people/{person}").json["status"] == "erased"  # type: ignore[index]
    never: Any = owner.post("/v1/people", invited).json
    assert do(owner, "erase", never["id"]).status_code == 200


def test_what_a_person_submitted_and_decided_is_exported(
    house: House, bellman: Bellman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From every ledger and each slice of its log, and nothing that was somebody else's."""
    monkeypatch.setattr(submitted, "SLICE", 2)
    owner, people = house.admin(), {}
    for name, role in (("ann", "submitter"), ("ben", "approver")):
        person = house.person(role, email=f"{name}@example.com")
        people[name] = person, house.caller(house.sign_in(f"{name}@example.com")["access_token"])
    owner.open_two()
    rule = {"name": "large", "currency": "EUR", "above": 1_000, "expires_after_s": 3_600}
    owner.posted({"kind": "set_approval", "people": 1, **rule})
    assert owner.post("/v1/ledgers", {"name": "second"}).status_code == 201
    (ann, anns), (ben, bens) = people["ann"], people["ben"]
    held: Any = anns.submit(transfer(1_001, kind="hold"), wait=10).json
    approved = bens.post(f"approvals/{held['id']}/approve", key=new_key())
    assert (approved.json or {})["status"] == "pending", approved.text
    Caller(house.app, "second", anns.bearer).submit(transfer(), wait=10)
    found: dict[str, Any] = {
        one: (do(owner, "export", one).json or {})["submitted"] for one in (ann, ben)
    }
    assert [(one["ledger"], one["kind"]) for one in found[ann]] == [
        ("main", "hold"),
        ("second", "transfer"),
    ]
    assert [one["principal"]["roles"] for one in found[ann]] == [["submitter"]] * 2
    assert found[ann][0]["id"] == held["id"]
    assert found[ann][0]["decided"] == [
        {"effect": "wait", "operation": held["id"]},
        {"effect": "hold", "operation": held["id"]},
    ]
    (approval,) = found[ben]
    assert approval["kind"] == "approve"
    decided = [{"effect": "approve", "operation": held["id"]}]
    assert approval["decided"] == decided
