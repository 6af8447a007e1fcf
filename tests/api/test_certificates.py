"""Certificates of erasures: each member is as the log says, and an erasure stays one."""

from typing import Any

import jwt
import pytest
from sqlalchemy import text

from models.db import app_engine, owner_engine, set_tenant, tenant_reading
from models.key_ring import key_ring
from models.ledger import LedgerRef
from models.signing_key import signing_keys
from models.tenant import TenantState
from pipeline.privacy.certificate import BadCertificateError, check
from pipeline.verify.finding import first_fault
from pipeline.verify.verify import verify
from tests.api.caller import Caller, problem
from tests.api.conftest import work
from tests.api.shop import certificate, do, events, name, shop, tenant

__all__ = ["events", "shop", "tenant"]


def test_a_certificate_is_of_its_own_event(
    shop: Caller, tenant: TenantState, events: LedgerRef
) -> None:
    """One that names another event or time, or somebody else, does not verify: our key or not."""
    name(shop)
    name(shop, "customer-43")
    first = do(shop, "erase").json
    work(events)
    other = do(shop, "erase", "customer-43").json
    kid, key = signing_keys(app_engine()).signing(key_ring())
    said = jwt.decode(first["jws"], options={"verify_signature": False})
    for changed in (
        {"event": other["event"]},
        {"event": first["event"] | {"position": 1}},
        {"event": first["event"] | {"at": "2020-01-01T00:00:00Z"}},
        {"erased_at": "2020-01-01T00:00:00Z"},
        {"erased_by": "person:eve"},
        {"subject": "customer-43"},
        {"subject": "customer-44"},
    ):
        forged = jwt.encode(
            said | changed | {"block": None},
            key,
            "EdDSA",
            headers={"kid": kid, "typ": "erasure+jwt"},
        )
        with (
            pytest.raises(BadCertificateError),
            tenant_reading(tenant.tenant_id) as connection,
        ):
            check(connection, tenant.tenant_id, {"jws": forged})


def test_an_erasure_that_was_undone_is_found(
    shop: Caller, tenant: TenantState, events: LedgerRef
) -> None:
    """Whoever put the key back from a backup, or lets another event tell of it, is found out."""
    name(shop)
    of = "WHERE subject = 'subject:customer-42'"
    with tenant_reading(tenant.tenant_id) as connection:
        kept = connection.execute(text(f"SELECT wrapped, kek FROM data_keys {of}")).one()._mapping
    do(shop, "erase")
    certified = certificate(shop, events)
    assert first_fault(verify(events)) is None
    back = "UPDATE subjects SET erased_position = 1 " + of
    unguarded(tenant, "subjects", back)
    assert "the log does not say so there" in str(first_fault(verify(events)))
    unguarded(
        tenant,
        "data_keys",
        f"UPDATE data_keys SET wrapped = :wrapped, kek = :kek, erased_at = NULL {of}",
        **kept,
    )
    found = first_fault(verify(events))
    assert found is not None
    says = f"at position {certified['event']['position']}: subject:customer-42 was erased"
    assert str(found.fault) == f"{says}, and has a key again"
    asked = shop.get("/v1/subjects/customer-42/certificate")
    assert problem(asked) == (500, "personal_tampered")
    with (
        pytest.raises(BadCertificateError, match="not erased here"),
        tenant_reading(tenant.tenant_id) as connection,
    ):
        check(connection, tenant.tenant_id, certified)


def unguarded(tenant: TenantState, table: str, statement: str, **values: Any) -> None:
    """Do it to the tenant's rows as the owner of the tables, who switches the guard off."""
    with owner_engine() as engine, engine.begin() as connection:
        set_tenant(connection, tenant.tenant_id)
        connection.execute(text(f"ALTER TABLE {table} DISABLE TRIGGER {table}_guard"))
        changed = connection.execute(
            text(f"{statement} AND tenant_id = {tenant.tenant_id}"), values
        )
        assert changed.rowcount == 1
        connection.execute(text(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_guard"))
