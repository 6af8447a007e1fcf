"""Tenants are deleted and restored: what is deleted takes nothing in, and nothing is lost."""

import threading
from typing import Any

import psycopg2
import pytest
from sqlalchemy import text

from models.db import tenant_writing
from models.tenant import TenantState, owner_writing
from pipeline import tenants
from pipeline.accept import TENANT_DELETED, append
from pipeline.due import submit_due
from pipeline.receipt import Submission
from tasks.due import read_waiting
from tests.pipeline.test_tenants import main_of, now, tenant, told

__all__ = ["tenant"]


def delete(tenant: TenantState) -> None:
    """As the owner."""
    with owner_writing() as connection:
        tenants.delete(connection, tenant.tenant_id, "cli:test")


def restore(tenant: TenantState) -> None:
    """As the owner."""
    with owner_writing() as connection:
        tenants.restore(connection, tenant.tenant_id, "cli:test")


def test_a_deleted_tenant_takes_nothing_in_until_it_is_restored(tenant: TenantState) -> None:
    """Its books stay and its backlog is worked off; what it did before is posted as it was."""
    bank = main_of(tenant)
    bank.fund("a", 100)
    waiting = bank.transfer("a", "world", 30)
    delete(tenant)
    assert now(tenant).deleted
    with pytest.raises(psycopg2.Error) as refused:
        bank.transfer("a", "world", 1)
    assert refused.value.pgcode == TENANT_DELETED
    bank.work()
    assert bank.status(waiting) == "posted"
    restore(tenant)
    bank.transfer("a", "world", 2)
    bank.work()
    assert bank.balance("a") == 68
    assert [event["action"] for event in told(tenant)] == [
        "tenant.created",
        "tenant.deleted",
        "tenant.restored",
    ]


def test_deleting_waits_for_who_had_begun(tenant: TenantState) -> None:
    """An operation whose transaction began before is in the log when it has been waited for."""
    bank = main_of(tenant)
    bank.open("a")
    ended, submission = threading.Event(), Submission("late", "freeze_account", b"{}", b"{}")

    def wait() -> None:
        with owner_writing() as connection:
            tenants.wait_out(connection, tenant.tenant_id)
        ended.set()

    with tenant_writing(tenant.tenant_id) as connection:
        cursor: Any = connection.connection.cursor()
        append(cursor, bank.ledger, [submission], 100)
        delete(tenant)
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not ended.wait(0.2)
    waiting.join()
    assert ended.is_set()
    with pytest.raises(psycopg2.Error, match="is deleted"):
        bank.open("b")


def test_what_is_deleted_is_not_deleted_again(tenant: TenantState) -> None:
    """Nor is restored what is there; neither leaves an event."""
    with pytest.raises(tenants.TenantError):
        restore(tenant)
    delete(tenant)
    with pytest.raises(tenants.TenantError):
        delete(tenant)
    assert len(told(tenant)) == 2


def test_the_scheduler_leaves_deleted_tenants_alone(tenant: TenantState) -> None:
    """What is due waits until the tenant is restored."""
    bank = main_of(tenant)
    bank.fund("a", 100)
    bank.open("b")
    hold = {"source": "a", "destination": "b", "amount": 5, "currency": "EUR"}
    bank.submit("hold", hold)
    bank.work()
    with tenant_writing(tenant.tenant_id) as connection:
        connection.execute(
            text("UPDATE pending_operations SET due_at = now() WHERE ledger_id = :ledger"),
            {"ledger": bank.ledger.ledger_id},
        )
    assert bank.ledger in read_waiting()
    delete(tenant)
    assert bank.ledger not in read_waiting()
    restore(tenant)
    assert bank.ledger in read_waiting()
    assert len(submit_due(bank.ledger, 100)) == 1
