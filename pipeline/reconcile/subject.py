"""Whose reconciliation it is: one account of a ledger; and the one who works at it at a time."""

from typing import Any, NamedTuple

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from models.ledger import LedgerRef
from pipeline.ledger import Account
from pipeline.reconcile.errors import ReconcileError

# The stages lock by pairs of integers; one bigint is another space of advisory locks.
LOCK = "SELECT pg_advisory_xact_lock(%(key)s)"
LEDGER_BITS = 32
# How long one statement, or the matching between two, may take: ten million postings.
PATIENCE = "5min"


class Subject(NamedTuple):
    """One account of a ledger."""

    ledger: LedgerRef
    number: int
    code: str
    currency: str

    def scope(self, **more: Any) -> dict[str, Any]:
        """The parameters of a statement about it."""
        tenant, ledger, _ = self.ledger
        return {"tenant": tenant, "ledger": ledger, "account": self.number, **more}


def subject_of(ledger: LedgerRef, account: Account) -> Subject:
    """The account as a subject."""
    return Subject(ledger, account.number, account.code, account.currency)


def take_time(connection: Connection) -> None:
    """For this transaction: an account of millions of postings takes longer than a request may."""
    connection.exec_driver_sql(
        "SELECT set_config('statement_timeout', %(patience)s, true),"
        " set_config('idle_in_transaction_session_timeout', %(patience)s, true)",
        {"patience": PATIENCE},
    )


def lock(connection: Connection, subject: Subject) -> None:
    """Be the only one who writes here until the transaction ends; raises ReconcileError.

    The database would refuse what two do at once in any case; so nobody has to be refused.
    """
    key = subject.ledger.ledger_id << LEDGER_BITS | subject.number
    try:
        connection.exec_driver_sql(LOCK, {"key": key})
    except OperationalError as error:
        if not isinstance(error.orig, psycopg2.errors.LockNotAvailable):
            raise
        raise ReconcileError(
            "reconciliation_busy",
            "An import or a matching of this account is going on. Try again when it is over.",
        ) from None
