"""The books of a team that starts out: SQLAlchemy models, and the five stages on one operation.

The comparisons share these, so that they differ only in what carries an operation from stage to
stage. The effect is the same double entry as Trident's: balances, two postings with the balance
after each, a status, an audit entry, a notification. Each stage runs in a transaction of the
caller's and does nothing the second time, since every queue may deliver twice.
"""

import hashlib
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Text, UniqueConstraint, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    """All tables; the connection's search_path says in which schema."""

    type_annotation_map = {int: BigInteger, str: Text}  # noqa: RUF012 - SQLAlchemy reads it so


class Account(Base):
    """A customer's account; balance in minor units, overdraft without limit."""

    __tablename__ = "accounts"
    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(unique=True)
    balance: Mapped[int] = mapped_column(default=0)


class Operation(Base):
    """A transfer on its way."""

    __tablename__ = "operations"
    id: Mapped[int] = mapped_column(primary_key=True)
    idempotency_key: Mapped[str] = mapped_column(unique=True)
    source: Mapped[str]
    destination: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    role: Mapped[str]
    status: Mapped[str] = mapped_column(default="accepted")
    finished_at: Mapped[datetime | None]


class Posting(Base):
    """One line of the ledger."""

    __tablename__ = "postings"
    __table_args__ = (UniqueConstraint("operation_id", "account_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id"))
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    amount: Mapped[int]
    balance_after: Mapped[int]


class AuditEntry(Base):
    """What an operation did, under a hash."""

    __tablename__ = "audit_entries"
    operation_id: Mapped[int] = mapped_column(ForeignKey("operations.id"), primary_key=True)
    hash: Mapped[str]


def validate(session: Session, operation_id: int) -> None:
    """Does the operation make sense?"""
    operation = _claim(session, operation_id, "accepted")
    if operation is not None:
        sensible = operation.amount > 0 and operation.source != operation.destination
        operation.status = "validated" if sensible else "rejected"


def authorize(session: Session, operation_id: int) -> None:
    """May whoever sent it do this?"""
    operation = _claim(session, operation_id, "validated")
    if operation is not None:
        operation.status = "authorized" if operation.role == "admin" else "rejected"


def post(session: Session, operation_id: int) -> None:
    """Lock both accounts, always in the same order, and move the money."""
    operation = _claim(session, operation_id, "authorized")
    if operation is None:
        return
    codes = (operation.source, operation.destination)
    query = select(Account).where(Account.code.in_(codes)).order_by(Account.code).with_for_update()
    accounts = {account.code: account for account in session.scalars(query)}
    if len(accounts) < len(codes):
        operation.status = "rejected"
        return
    for code, amount in zip(codes, (-operation.amount, operation.amount), strict=True):
        account = accounts[code]
        account.balance += amount
        session.add(
            Posting(
                operation_id=operation_id,
                account_id=account.id,
                amount=amount,
                balance_after=account.balance,
            )
        )
    operation.status = "posted"


def audit(session: Session, operation_id: int) -> None:
    """Write down what came of it, under a hash."""
    operation = _claim(session, operation_id, "posted")
    if operation is None:
        return
    query = select(Posting).where(Posting.operation_id == operation_id).order_by(Posting.id)
    lines = [f"{p.account_id} {p.amount} {p.balance_after}" for p in session.scalars(query)]
    content = "\n".join([f"{operation_id} {operation.idempotency_key}", *lines])
    sealed = hashlib.sha256(content.encode()).hexdigest()
    session.add(AuditEntry(operation_id=operation_id, hash=sealed))
    operation.status = "audited"


def notify(session: Session, operation_id: int) -> None:
    """Tell those who wait."""
    operation = _claim(session, operation_id, "audited")
    if operation is not None:
        session.execute(text("SELECT pg_notify('final', :word)"), {"word": str(operation_id)})
        operation.status = "notified"
        operation.finished_at = func.clock_timestamp()


STAGES: tuple[Callable[[Session, int], None], ...] = (validate, authorize, post, audit, notify)


def _claim(session: Session, operation_id: int, status: str) -> Operation | None:
    """The operation, locked, if it is this stage's turn."""
    operation = session.get(Operation, operation_id, with_for_update=True)
    return operation if operation is not None and operation.status == status else None
