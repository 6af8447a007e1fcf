"""The export of a subject: of one of the tenant's own people, of many operations, of the bank."""

from typing import Any

import pytest
from sqlalchemy import text

from models.db import app_engine, tenant_writing
from models.key_ring import key_ring
from models.signing_key import signing_keys
from models.tenant import TenantState
from pipeline.came_from import CameFrom
from pipeline.events import Event, record
from pipeline.identity import second_factor, sessions
from pipeline.identity.people import found, subject_of
from pipeline.identity.session_tokens import access_token
from pipeline.privacy import export
from tests.api.caller import Caller, new_key, transfer
from tests.api.shop import do, shop, tenant
from tests.api.test_personal import about
from tests.api.test_reconciliations import MAPPING
from tests.api.test_reconciliations import export as lines
from tests.api.test_retention import begin, somebody, status

__all__ = ["shop", "tenant"]


def signed_in(shop: Caller, tenant: TenantState) -> tuple[str, Caller]:
    """One of the tenant's people, as a subject, and what they ask with."""
    tenant_id, ring, person = tenant.tenant_id, key_ring(), somebody(tenant, "ada")
    status(tenant, person, "active")
    with tenant_writing(tenant_id) as connection:
        begun = sessions.begin(connection, ring, tenant_id, person, "192.0.2.1", "a browser")
        version = found(connection, ring, tenant_id, person).version
    granted = sessions.Granted(tenant_id, begun[0], person, 1, begun[1], ("operator",), version)
    bearer = access_token(granted, signing_keys(app_engine()), ring)
    return subject_of(person), Caller(shop.app, "main", bearer)


def test_everything_of_a_person_is_exported(
    shop: Caller, tenant: TenantState, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name and address, sessions, invitations, API keys, events and whence; and no secret."""
    ada, bob = somebody(tenant, "ada"), somebody(tenant, "bob")
    for person in (ada, bob):
        begin(tenant, person)
    with tenant_writing(tenant.tenant_id) as connection:
        second_factor.offer(connection, key_ring(), tenant.tenant_id, ada)
        actor, came_from = subject_of(ada), CameFrom("192.0.2.7", "a telephone")
        monkeypatch.setattr("pipeline.came_from._asked_from", lambda: came_from)
        event = Event("person.signed_in", actor, target="session:se_1")
        record(connection, tenant.tenant_id, event)
        monkeypatch.undo()
        told = Event("session.revoked", "cli:x", target="session:se_1", detail={"person": actor})
        record(connection, tenant.tenant_id, told)
        connection.execute(
            text(
                "INSERT INTO api_keys (tenant_id, key_id, name, hash, roles, created_by, known_to)"
                " VALUES (:tenant, 7, 'till', sha256('x'), '{reader}', :actor, ARRAY[:actor])"
            ),
            {"tenant": tenant.tenant_id, "actor": actor},
        )
    exported: Any = do(shop, "export", actor).json
    (person,) = exported["people"]
    assert (person["person_id"], person["email"]) == (ada, "ada@example.com")
    assert (person["roles"], person["second_factor"]) == (["operator"], False)
    (session,) = exported["sessions"]
    assert (session["address"], session["agent"]) == ("192.0.2.1", "a browser")
    assert [one["purpose"] for one in exported["invitations"]] == ["invitation"]
    assert [one["name"] for one in exported["api_keys"]] == ["till"]
    events = {one["action"]: one for one in exported["events"]}
    assert list(events) == ["session.revoked", "person.signed_in", "person.invited"]
    assert events["person.signed_in"]["from"] == came_from._asdict()
    shown = do(shop, "export", actor).text
    assert bob not in shown
    assert not [word for word in ("totp", "hash", "sealed") if word in shown]


def test_the_lines_of_the_bank_are_exported_with_what_they_are_matched_with(
    shop: Caller, tenant: TenantState
) -> None:
    """Not those of others, and not after the match was undone."""
    shop.open("bank", type="asset", overdraft="unlimited")
    shop.call("PUT", "csv-mappings/our-bank", MAPPING)
    paid = transfer(10_000, source="bank", personal=about("customer-42"))
    paid["effective_date"] = "2026-10-05"
    assert (shop.submit(paid, "order-8123", wait=10).json or {})["status"] == "posted"
    file = lines("2026-10-06,100.00,ORDER 8123,rent of Ada,a", "2026-10-08,25.00,,other,b")
    taken = shop.post("reconciliations/bank/statements?mapping=our-bank", file, mimetype="text/csv")
    assert taken.status_code == 201, taken.text
    made: Any = shop.post("reconciliations/bank/matches/automatic").json
    assert made["made"]["reference"] == 1, made
    (operation,) = do(shop, "export").json["operations"]
    assert [one["description"] for one in operation["statement_lines"]] == ["rent of Ada"]
    ada, clerk = signed_in(shop, tenant)
    undone = clerk.post("reconciliations/bank/matches/1/undo", {"reason": "wrong"})
    assert undone.status_code == 200, undone.text
    (did,) = do(shop, "export", ada).json["reconciled"]
    assert (did["what"], did["account"], did["how"]) == ("match", "bank", "undone")
    assert (did["ledger"], did["reason"]) == ("main", "wrong")
    (operation,) = do(shop, "export").json["operations"]
    assert operation["statement_lines"] == []


def test_an_export_of_many_pages_is_whole(shop: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each operation and account once, in their order."""
    monkeypatch.setattr(export, "PAGE", 2)
    for code in ("c1", "c2", "c3"):
        opened = {"code": code, "type": "liability", "currency": "EUR"}
        shop.post("accounts", opened | {"personal": about("customer-42")}, key=new_key())
    for amount in range(1, 6):
        shop.submit(transfer(amount, personal=about("customer-42")), wait=5)
    exported: Any = do(shop, "export").json
    assert [one["code"] for one in exported["accounts"]] == ["c1", "c2", "c3"]
    assert [one.get("amount") for one in exported["operations"][3:]] == list(range(1, 6))
