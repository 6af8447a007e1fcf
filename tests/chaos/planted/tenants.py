"""Bugs that let work go on under a wrong tenant, or show one what is another's.

Two layers guard: each is taken away alone first, and the other holds; then both go.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import psycopg2

import pipeline.accounts
import pipeline.judge
from models.db import app_engine, raw_connection, tenant_reading
from pipeline.accept import rollback
from pipeline.stage import (
    FETCH,
    RUN_BYTES,
    RUN_OPERATIONS,
    Claim,
    MissingOperationsError,
    Operation,
    claim,
    operations,
)
from tests.bank import Bank, new_ledger, transfer
from tests.chaos.planted.real_servers import expect, first_fault, owner, prepared, servers
from tests.chaos.planted.report import EscapedError

NO_POLICY = (
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
)
WRONG_TENANT = "SELECT set_config('trident.tenant', '999999', true)"
RIGHT_TENANT = "SELECT set_config('trident.tenant', %(tenant)s::text, true)"


def without_tenant_filter() -> Any:
    """The list of accounts forgets to say whose."""
    where = "tenant_id = %(tenant)s AND ledger_id = %(ledger)s"
    blind = pipeline.accounts.ACCOUNTS.replace(where, "true")
    assert blind != pipeline.accounts.ACCOUNTS
    return mock.patch.object(pipeline.accounts, "ACCOUNTS", blind)


def seen(bank: Bank) -> set[str]:
    """The codes of the accounts that the tenant is shown."""
    with tenant_reading(bank.ledger.tenant_id) as connection:
        return {account.code for account in pipeline.accounts.accounts(connection, bank.ledger)}


def tenant_filter_removed(template: Path | None) -> str:
    """Without the filter and without the policy a tenant is shown another's accounts."""
    with servers(template):
        (row,) = owner("INSERT INTO tenants (name) VALUES ('other') RETURNING tenant_id")
        ours, theirs = Bank(new_ledger()), Bank(new_ledger(row[0]))
        for bank, code in ((ours, "ours"), (theirs, "theirs")):
            bank.open(code)
            bank.work()
        expect(seen(ours) == {"ours"}, "a foreign account is shown without the bug")
        with without_tenant_filter():
            expect(seen(ours) == {"ours"}, "the policy alone does not hold")
        owner(*(statement.format(table="accounts") for statement in NO_POLICY))
        expect(seen(ours) == {"ours"}, "the filter alone does not hold")
        with without_tenant_filter():
            shown = seen(ours)
        expect("theirs" in shown, "the bug did no harm")
        return f"tenant 1 is shown {sorted(shown)}"


def unchecked(work: Claim) -> list[Operation]:
    """pipeline.stage.operations without its check."""
    work.cursor.execute(FETCH, {**work.scope, "bytes": RUN_BYTES})
    return [Operation._make(row) for row in work.cursor.fetchall()]


def under_wrong_tenant(
    read: Callable[[Claim], list[Operation]], *, back: bool = True
) -> Callable[[Claim], list[Operation]]:
    """The operations are read while the transaction says another tenant."""

    def operations_of(work: Claim) -> list[Operation]:
        work.cursor.execute(WRONG_TENANT)
        found = read(work)
        if back:
            work.cursor.execute(RIGHT_TENANT, work.scope)
        return found

    return operations_of


def validate_once(bank: Bank, read: Callable[[Claim], list[Operation]]) -> None:
    """One run of validate that reads its operations in this way."""
    with (
        mock.patch.object(pipeline.judge, "operations", read),
        raw_connection(app_engine()) as connection,
    ):
        work = claim(connection, "validate", [bank.ledger], RUN_OPERATIONS)
        assert work is not None
        try:
            pipeline.judge.validate_onwards(work)
        finally:
            rollback(connection)


def row_count_unchecked(template: Path | None) -> str:
    """A run that sees no rows refuses none: what validate should refuse is let through."""
    with servers(template):
        bank = prepared()
        bad = bank.submit("transfer", transfer("a", "b", 10, currency="ZZZ"))
        # The check alone, and the database's policy alone, where the tenant stays wrong.
        for read, refusal in (
            (under_wrong_tenant(operations), MissingOperationsError),
            (under_wrong_tenant(unchecked, back=False), psycopg2.errors.InsufficientPrivilege),
        ):
            try:
                validate_once(bank, read)
            except refusal:
                continue
            raise EscapedError(f"no {refusal.__name__} under a wrong tenant")
        expect(bank.status(bad) == "accepted", "a run under a wrong tenant was recorded")
        validate_once(bank, under_wrong_tenant(unchecked))
        bank.work()
        return first_fault(bank)
