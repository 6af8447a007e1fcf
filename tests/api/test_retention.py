"""The retention schedule: carried out once a night, whatever happens to whoever carries it out."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from models.db import tenant_reading, tenant_writing
from models.key_ring import key_ring
from models.tenant import TenantState, owner_writing
from models.tenant_settings import RETAINED
from pipeline import tenants
from pipeline.came_from import WHENCE
from pipeline.identity import tickets
from pipeline.privacy.data_keys import key_of
from pipeline.privacy.retention import MAILS_DAYS
from tasks import retain as errand
from tasks.retain import retain
from tests.api.caller import Caller, new_key, problem, token, transfer
from tests.api.retaining import (
    OLD_DAYS,
    ROOT,
    Rows,
    again,
    age,
    begin,
    erased,
    mailed,
    somebody,
    status,
    told,
)
from tests.api.shop import OWNER, do, name, shop, tenant
from tests.api.test_personal import about

__all__ = ["shop", "tenant"]

# The schedule of these tests: what is OLD_DAYS old goes.
DAYS = 30
SCHEDULE = dict.fromkeys(RETAINED, DAYS)


@pytest.fixture(autouse=True)
def _only_this_tenant(tenant: TenantState, monkeypatch: pytest.MonkeyPatch) -> None:
    """The errand looks at no other test's tenants."""
    only = f"{errand.TENANTS.text.replace('WHERE', f'WHERE t.tenant_id = {tenant.tenant_id} AND')}"
    monkeypatch.setattr(errand, "TENANTS", text(only))
    with owner_writing() as connection:
        tenants.change(connection, tenant.tenant_id, "settings", {"retention": SCHEDULE}, "cli:x")


@pytest.fixture
def rows(tenant: TenantState) -> Rows:
    """What a statement finds that has one column."""

    def found(statement: str) -> list[Any]:
        with tenant_reading(tenant.tenant_id) as connection:
            return list(connection.execute(text(statement)).scalars())

    return found


def test_subjects_that_nothing_names_any_more_are_erased(
    shop: Caller, tenant: TenantState, rows: Rows
) -> None:
    """By the schedule, which the event and the certificate say; whoever was named since stays."""
    name(shop, "gone")
    name(shop, "held")
    do(shop, "restrict", "held")
    name(shop, "named-again")
    age(tenant)
    name(shop, "named-again")
    name(shop, "new")
    assert not retain()
    assert erased(rows) == ["gone"]
    (event,) = told(shop, "subject.erased")
    assert (event["actor"], event["detail"]) == ("trident", {"asked_by": "retention"})
    certificate: Any = shop.get("/v1/subjects/gone/certificate").json
    assert certificate["erased_by"] == "retention"
    (summary,) = told(shop, "retention.carried_out")
    assert summary["detail"] | {"night": ""} == {
        "night": "",
        "subjects": 1,
        "sessions": 0,
        "tickets": 0,
        "mails": 0,
        "months": 0,
    }


def test_what_must_be_kept_is_kept_longer(shop: Caller, tenant: TenantState, rows: Rows) -> None:
    """What the tenant keeps at least comes first."""
    shop.call("PATCH", "/v1/tenant", {"retention_days": OLD_DAYS + 1})
    name(shop, "kept")
    age(tenant)
    retain()
    assert erased(rows) == []
    shop.call("PATCH", "/v1/tenant", {"retention_days": None})
    again(tenant)
    retain()
    assert erased(rows) == ["kept"]


def test_whoever_has_an_account_or_something_that_waits_is_kept(
    shop: Caller, tenant: TenantState, rows: Rows
) -> None:
    """Until the account is closed, and nothing waits any more; a refused one keeps nobody."""
    for ref in ("open", "closed", "refused"):
        code = "a" if ref == "refused" else ref
        opened = {"code": code, "type": "liability", "currency": "EUR", "personal": about(ref)}
        shop.post("accounts", opened, key=new_key())
    shop.submit({"kind": "close_account", "account": "closed"}, wait=5)
    hold = {**transfer(personal=about("waiting")), "kind": "hold", "expires_after_s": 3600}
    made: Any = shop.submit(hold, wait=5).json
    assert made["status"] == "pending", made
    age(tenant)
    retain()
    assert erased(rows) == ["closed", "refused"]
    released = shop.submit({"kind": "release", "target": made["id"]}, wait=5)
    assert released.status_code == 200, released.text
    again(tenant)
    retain()
    assert erased(rows) == ["closed", "refused", "waiting"]


def test_sessions_and_tickets_that_ended_are_deleted(
    shop: Caller, tenant: TenantState, rows: Rows
) -> None:
    """Those that live stay, and so do those of somebody whose data is restricted."""
    ada, bob = (somebody(tenant, ref) for ref in ("ada", "bob"))
    for person in (ada, bob):
        begin(tenant, person)
    shop.call("POST", f"/v1/subjects/person:{bob}/restrict")
    age(tenant)
    begin(tenant, ada)
    with tenant_writing(tenant.tenant_id) as connection:
        tickets.offer(connection, key_ring(), tenant.tenant_id, ROOT, ada)
    retain()
    assert rows("SELECT person_id FROM sessions ORDER BY 1") == sorted([ada, bob])
    assert rows("SELECT person_id FROM tickets ORDER BY 1") == sorted([ada, bob])
    (summary,) = told(shop, "retention.carried_out")
    assert (summary["detail"]["sessions"], summary["detail"]["tickets"]) == (1, 1)


def test_mails_that_ended_are_deleted_in_every_tenant(
    shop: Caller, tenant: TenantState, rows: Rows
) -> None:
    """After a month, with no schedule at all; not those of somebody whose data is restricted."""
    shop.call("PATCH", "/v1/tenant", {"retention": None})
    ada, bob = (somebody(tenant, ref) for ref in ("ada", "bob"))
    for person in (ada, bob):
        mailed(tenant, person)
    shop.call("POST", f"/v1/subjects/person:{bob}/restrict")
    age(tenant, MAILS_DAYS - 1)
    retain()
    assert len(rows("SELECT mail_id FROM mails")) == 2
    age(tenant, 2)
    mailed(tenant, ada)
    again(tenant)
    retain()
    assert sorted(rows("SELECT person_id FROM mails")) == sorted([ada, bob])
    (summary,) = told(shop, "retention.carried_out")
    assert summary["detail"]["mails"] == 1


def test_whence_unknown_people_asked_is_erased_by_the_month(
    shop: Caller, tenant: TenantState, rows: Rows
) -> None:
    """Once the whole month is so long ago; that of now stays."""
    now = dt.datetime.now(dt.UTC)
    months = [WHENCE.format(now - dt.timedelta(days=days)) for days in (DAYS + 62, 0)]
    with tenant_writing(tenant.tenant_id) as connection:
        for month in months:
            key_of(connection, key_ring(), tenant.tenant_id, month, make=True)
    retain()
    assert erased(rows) == months[:1]
    (summary,) = told(shop, "retention.carried_out")
    assert summary["detail"]["months"] == 1


def test_nobody_deletes_what_has_not_ended(shop: Caller, tenant: TenantState) -> None:
    """The database refuses it, to whoever writes there."""
    begin(tenant, somebody(tenant, "ada"))
    for table, message in (("sessions", "has not ended"), ("tickets", "still counts")):
        with (
            pytest.raises(DatabaseError, match=message),
            tenant_writing(tenant.tenant_id) as connection,
        ):
            connection.execute(text(f"DELETE FROM {table}"))


def test_people_who_left_or_never_came_are_erased(
    shop: Caller, tenant: TenantState, rows: Rows
) -> None:
    """Not those who are active; and no owner while the tenant has no active one."""
    gone, never = somebody(tenant, "gone"), somebody(tenant, "never")
    owner, stays = somebody(tenant, "owner", "owner"), somebody(tenant, "stays")
    status(tenant, gone, "disabled")
    status(tenant, stays, "active")
    age(tenant)
    invited = somebody(tenant, "invited")
    retain()
    assert erased(rows) == sorted(f"person:{one}" for one in (gone, never))
    status(tenant, stays, "active", "owner")
    again(tenant)
    retain()
    assert erased(rows) == sorted(f"person:{one}" for one in (gone, never, owner))
    assert sorted(rows("SELECT person_id FROM people WHERE status <> 'erased'")) == sorted(
        [stays, invited]
    )


def test_a_night_is_carried_out_once(
    shop: Caller, tenant: TenantState, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many do it at once, whoever is killed, and however small the parts are."""
    refs = [f"c-{number}" for number in range(7)]
    for ref in refs:
        name(shop, ref)
    begin(tenant, ada := somebody(tenant, "ada"))
    age(tenant)
    monkeypatch.setattr("pipeline.privacy.retention.PORTION", 3)
    assert retain(0)  # no time at all: nothing is done, and there is more
    assert erased(rows) == []
    with pytest.MonkeyPatch.context() as killed:
        calls = iter([None] * 3)
        killed.setattr(errand, "_ring", lambda _: next(calls))  # a stop in the middle
        with pytest.raises(StopIteration):
            retain()
    assert len(erased(rows)) == 4
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: retain(), range(3))) == [False] * 3
    assert not retain()
    assert sorted(erased(rows)) == sorted([*refs, f"person:{ada}"])
    assert len(told(shop, "subject.erased")) == len(refs) + 1
    (summary,) = told(shop, "retention.carried_out")
    assert summary["detail"]["subjects"] == len(refs) + 1
    assert summary["detail"]["sessions"] == 1


def test_a_schedule_is_settled_by_who_may_erase(shop: Caller, tenant: TenantState) -> None:
    """Else whoever may change settings would erase by that; so would a shorter time to keep."""
    roles = [role for role in OWNER if role != "owner"]
    admin = Caller(shop.app, "main", token(roles, tenant_id=tenant.tenant_id))
    for changes in ({"retention": {"people_days": 1}}, {"retention_days": None}):
        assert problem(admin.call("PATCH", "/v1/tenant", changes)) == (403, "forbidden")
        assert shop.call("PATCH", "/v1/tenant", changes).status_code == 200
    shop.call("PATCH", "/v1/tenant", {"retention": None})
    assert admin.call("PATCH", "/v1/tenant", {"retention_days": 9}).status_code == 200


def test_the_night_begins_at_two(shop: Caller) -> None:
    """By the database's clock: before that it is still the night before."""
    with tenant_reading(1) as connection:
        date = connection.execute(errand.NIGHT).scalar_one()
        now = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    assert date == (now.astimezone(dt.UTC) - dt.timedelta(hours=2)).date()
