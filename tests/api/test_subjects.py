"""Subjects over HTTP: restricted, exported, erased now or when retention ends, and certified."""

import threading
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from flask import Flask
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from models.db import owner_engine, set_tenant, tenant_reading, tenant_writing
from models.ledger import LedgerRef
from models.tenant import TenantState
from pipeline.privacy.certificate import BadCertificateError, check
from pipeline.verify.finding import first_fault
from pipeline.verify.verify import verify
from tasks.erase import erase_due
from tests.api.caller import Caller, problem, transfer
from tests.api.conftest import work
from tests.api.shop import book, certificate, do, events, name, shop, tenant, told
from tests.api.test_personal import CANARY, about

__all__ = ["book", "events", "shop", "tenant"]


def test_an_unknown_subject_is_not_found(shop: Caller, stranger: Caller) -> None:
    """For whatever is asked; a subject of another tenant is as unknown."""
    for act in ("restrict", "unrestrict", "erase", "export"):
        assert problem(do(shop, act)) == (404, "unknown_subject")
    name(shop)
    assert shop.get("/v1/subjects/customer-42").status_code == 200
    assert problem(stranger.get("/v1/subjects/customer-42")) == (404, "unknown_subject")


@pytest.mark.parametrize(
    "ref", ["%00", "a%00b", "..%2fa", "person:", "person:%00", "trident:people", "%ED%A0%80", "%27"]
)
def test_what_nobody_is_called_is_not_found(shop: Caller, ref: str) -> None:
    """Whatever stands in the address; what Trident calls its own keys is nobody's reference."""
    for act in ("restrict", "unrestrict", "erase", "export"):
        assert do(shop, act, ref).status_code == 404
    for path in (ref, f"{ref}/certificate"):
        assert shop.get(f"/v1/subjects/{path}").status_code == 404


def test_a_restricted_subject_takes_nothing_new_but_repetitions(shop: Caller) -> None:
    """409 until it is lifted; what was accepted is answered as before and still shown."""
    made = name(shop, key="before")
    assert do(shop, "restrict").json["status"] == "restricted"
    assert do(shop, "restrict").json["status"] == "restricted"
    body = transfer(personal=about("customer-42"))
    assert problem(shop.submit(body)) == (409, "subject_restricted")
    again = shop.submit(body, "before")
    assert (again.json or {})["id"] == made["id"]
    assert (shop.get(f"operations/{made['id']}").json or {})["personal"]["name"] == CANARY
    assert do(shop, "unrestrict").json["status"] == "open"
    assert shop.submit(body).status_code == 202
    assert told(shop) == [
        ("subject.restricted", "cli:ada", "subject:customer-42"),
        ("subject.unrestricted", "cli:ada", "subject:customer-42"),
    ]


def test_an_erasure_is_certified(
    app: Flask, shop: Caller, tenant: TenantState, book: LedgerRef, events: LedgerRef
) -> None:
    """Data is gone, books and audit stay; the certificate names event and block, and verifies."""
    made = name(shop)
    balances = shop.get("reports/trial-balance").json
    answer = do(shop, "erase")
    assert answer.status_code == 200, answer.text
    sealed = certificate(shop, events)
    assert sealed["subject"] == "customer-42"
    assert sealed["erased_by"] == "cli:ada"
    assert sealed["block"]["height"] >= 1
    assert sealed["event"] == answer.json["event"]
    with tenant_reading(tenant.tenant_id) as connection:
        for jws in (answer.json["jws"], sealed["jws"]):
            assert check(connection, tenant.tenant_id, {"jws": jws})["block"] == sealed["block"]
        head, _, signature = sealed["jws"].rpartition(".")
        other = ("A" if signature[5] != "A" else "B").join((signature[:5], signature[6:]))
        for forged in (f"{head}.{other}", shop.bearer, "no certificate", ""):
            with pytest.raises(BadCertificateError):
                check(connection, tenant.tenant_id, {"jws": forged})
    shown: Any = shop.get(f"operations/{made['id']}").json
    assert shown["personal"] == {"subject": "customer-42", "erased_at": sealed["erased_at"]}
    assert shop.get("reports/trial-balance").json == balances
    for ledger in (book, events):
        assert first_fault(verify(ledger)) is None
    assert do(shop, "erase").json["event"] == answer.json["event"]
    for act in ("restrict", "unrestrict", "export"):
        assert problem(do(shop, act)) == (409, "subject_erased")
    assert told(shop) == [("subject.erased", "cli:ada", "subject:customer-42")]
    # A certificate is no token.
    assert Caller(app, "main", sealed["jws"]).get("operations").status_code == 401
    assert jwt.get_unverified_header(sealed["jws"])["typ"] == "erasure+jwt"


def test_nobody_makes_a_new_key_for_the_erased(shop: Caller, tenant: TenantState) -> None:
    """Not the API, and not whoever writes to the tables as the application."""
    name(shop)
    do(shop, "erase")
    assert problem(shop.submit(transfer(personal=about("customer-42")))) == (409, "subject_erased")
    attempts = (
        "UPDATE data_keys SET wrapped = 'x', kek = 'x', erased_at = NULL",
        "UPDATE data_keys SET erased_at = clock_timestamp()",
        "DELETE FROM data_keys",
        "UPDATE subjects SET erased_position = NULL, erased_by = NULL",
        "DELETE FROM subjects",
        "DELETE FROM subject_mentions",
    )
    for statement in attempts:
        with (
            pytest.raises(DatabaseError, match=r"erased|permission denied"),
            tenant_writing(tenant.tenant_id) as connection,
        ):
            connection.execute(text(statement))
    guarded = ("DELETE FROM data_keys", "DELETE FROM subjects", "DELETE FROM subject_mentions")
    for statement in guarded:
        with pytest.raises(DatabaseError, match=r"record|changed so"):
            as_owner(tenant, statement)


def as_owner(tenant: TenantState, statement: str) -> None:
    """Do it to the tenant's rows as the owner of the tables."""
    with owner_engine() as engine, engine.begin() as connection:
        set_tenant(connection, tenant.tenant_id)
        connection.execute(text(f"{statement} WHERE tenant_id = {tenant.tenant_id}"))


def test_retention_comes_before_erasure(
    app: Flask, shop: Caller, tenant: TenantState, events: LedgerRef
) -> None:
    """Restricted until the day; then erased once, however often the errand runs."""
    shop.call("PATCH", "/v1/tenant", {"retention_days": 30})
    name(shop)
    answer = do(shop, "erase")
    assert answer.status_code == 202
    assert answer.json["status"] == "erasure_due"
    assert problem(shop.submit(transfer(personal=about("customer-42")))) == (
        409,
        "subject_restricted",
    )
    assert do(shop, "erase").status_code == 202
    assert problem(shop.get("/v1/subjects/customer-42/certificate")) == (409, "subject_not_erased")
    erase_due()
    assert (shop.get("/v1/subjects/customer-42").json or {})["status"] == "erasure_due"
    shop.call("PATCH", "/v1/tenant", {"retention_days": None})
    with tenant_writing(tenant.tenant_id) as connection:
        connection.execute(text("UPDATE subjects SET erase_due_at = now() - interval '1 second'"))
    assert _together(erase_due, 4) == 1
    sealed: Any = shop.get("/v1/subjects/customer-42/certificate").json
    assert sealed["erased_by"] == "cli:ada"
    assert told(shop) == [
        ("subject.erasure_planned", "cli:ada", "subject:customer-42"),
        ("subject.erased", "trident", "subject:customer-42"),
    ]


def test_nobody_puts_off_an_erasure_that_is_due(
    app: Flask, shop: Caller, tenant: TenantState
) -> None:
    """Neither by a repetition, nor by other content under the key of what was accepted."""
    shop.call("PATCH", "/v1/tenant", {"retention_days": 30})
    name(shop, key="before")
    planned = do(shop, "erase").json["erase_due_at"]
    named = (shop.get("/v1/subjects/customer-42").json or {})["named_at"]
    assert shop.submit(transfer(personal=about("customer-42")), "before").status_code < 300
    other = {"code": "c", "type": "liability", "currency": "EUR"}
    body = {**other, "personal": about("customer-42")}
    assert problem(shop.post("accounts", body, key="before")) == (422, "idempotency_key_reused")
    shown: Any = shop.get("/v1/subjects/customer-42").json
    assert (shown["named_at"], shown["erase_due_at"]) == (named, planned)


def test_an_operation_later_than_planned_moves_the_day(
    app: Flask, shop: Caller, tenant: TenantState
) -> None:
    """A longer retention that was settled since holds; lifting the restriction ends the plan."""
    shop.call("PATCH", "/v1/tenant", {"retention_days": 30})
    name(shop)
    before = do(shop, "erase").json["erase_due_at"]
    shop.call("PATCH", "/v1/tenant", {"retention_days": 60})
    with tenant_writing(tenant.tenant_id) as connection:
        connection.execute(text("UPDATE subjects SET erase_due_at = now() - interval '1 second'"))
    assert erase_due() == 0
    assert (shop.get("/v1/subjects/customer-42").json or {})["erase_due_at"] > before
    assert do(shop, "unrestrict").json["status"] == "open"
    assert (shop.get("/v1/subjects/customer-42").json or {})["erase_due_at"] is None


def test_an_erasure_and_submissions_in_flight(
    app: Flask, shop: Caller, tenant: TenantState, book: LedgerRef
) -> None:
    """Whoever comes second: nothing opens afterwards, no key is left, every answer is clear."""
    name(shop)
    start = threading.Barrier(9)
    found: list[int] = []

    def submit() -> None:
        start.wait()
        for _ in range(5):
            answer = shop.submit(transfer(personal=about("customer-42")))
            found.append(answer.status_code)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    start.wait()
    erased = do(shop, "erase")
    for thread in threads:
        thread.join()
    assert erased.status_code == 200, erased.text
    assert set(found) <= {202, 409}
    assert 409 in found
    work(book)
    with tenant_reading(tenant.tenant_id) as connection:
        query = text("SELECT wrapped FROM data_keys WHERE subject = 'subject:customer-42'")
        keys = connection.execute(query).scalars().all()
    assert keys == [None]
    assert CANARY not in shop.get("operations?limit=100").text
    assert first_fault(verify(book)) is None


def _together(act: Callable[[], int], many: int) -> int:
    """Do it at once in so many threads; the sum of what they return."""
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(act())) for _ in range(many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == many
    return sum(found)
