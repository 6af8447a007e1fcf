"""Operations, accounts and postings as clients see them."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import orjson

from api.queries import FACTS
from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.dry_run import Line
from pipeline.ledger import DEBIT_NORMAL, Account
from pipeline.principal import actor_of
from pipeline.privacy.personal import MARK, masked
from pipeline.receipt import Accepted, Submission
from pipeline.refusal import CODES
from pipeline.stage import STAGES

# Pending is what the stages make of an operation that waits for another one.
FINAL = frozenset({"posted", "rejected", "pending"})
FROZEN_SIDES = {"frozen": "both", "frozen_debits": "debits", "frozen_credits": "credits"}
# How an operation that waited for approvals has ended, as the code that clients see.
UNAPPROVED = {"refuse": "approval_refused", "lapse": "approval_expired"}
NEVER: dict[str, dt.datetime | None] = dict.fromkeys(FACTS.values())


def is_final(operation: dict[str, Any]) -> bool:
    """Whether nothing about the operation's outcome will change any more."""
    return operation["status"] in FINAL


def new_operation(
    ledger: LedgerRef, accepted: Accepted, submission: Submission, body: dict[str, Any]
) -> dict[str, Any]:
    """An operation that was accepted a moment ago, from memory."""
    return {
        "id": show_id(accepted.id),
        "object": "operation",
        "ledger": ledger.name,
        "position": accepted.position,
        "kind": submission.kind,
        "status": "accepted",
        **body,
        "idempotency_key": submission.key,
        "submitted_by": actor_of(submission.principal.decode()),
        "accepted_at": accepted.accepted_at,
        "timeline": {"accepted": accepted.accepted_at, **NEVER},
        "postings": [],
        "decisions": [],
        "rejection": None,
    }


def stored_operation(ledger: LedgerRef, row: Any) -> dict[str, Any]:
    """An operation from a row of queries.OPERATIONS, without its postings."""
    reached = {fact: getattr(row, fact) for fact in FACTS.values()}
    rejection = None
    if row.code is not None:
        rejection = shown_rejection(row.stage, row.code, orjson.loads(row.detail))
        # The runs of later stages cover a rejected operation too, but did nothing with it.
        for fact in list(FACTS.values())[STAGES.index(row.stage) : STAGES.index("post") + 1]:
            reached[fact] = None
    elif row.unapproved is not None:
        detail = {"by": row.refused_by} | ({"reason": row.reason} if row.reason else {})
        rejection = shown_rejection("post", UNAPPROVED[row.unapproved], detail)
        reached["posted"] = None
    return {
        "id": show_id(row.id),
        "object": "operation",
        "ledger": ledger.name,
        "position": row.position,
        "kind": row.kind,
        "status": "rejected" if rejection else "pending" if row.pending else _status(reached),
        **members(row.kind, row.body),
        "idempotency_key": row.idempotency_key,
        "submitted_by": actor_of(row.principal),
        "accepted_at": row.accepted_at,
        "timeline": {"accepted": row.accepted_at, **reached},
        "rejection": rejection,
    }


def members(kind: str, body: str) -> dict[str, Any]:
    """The members of a stored operation, without what is personal."""
    found: dict[str, Any] = orjson.loads(body)
    return masked(kind, found) if MARK in body else found


def shown_rejection(stage: str, code: str, detail: dict[str, Any]) -> dict[str, Any]:
    """Why an operation was refused, or would be."""
    return {"code": code, "stage": stage, "detail": detail, "message": CODES[code]}


def _status(reached: dict[str, Any]) -> str:
    for fact in ("posted", "authorized", "validated"):
        if reached[fact] is not None:
            return fact
    return "accepted"


def postings(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """The postings of one operation, from rows of queries.POSTINGS."""
    return [
        {"account": row.code, "pending": row.pending, **_movement(row, row.type)} for row in rows
    ]


def tried(line: Line) -> dict[str, Any]:
    """A posting as it would be."""
    return {
        "account": line.code,
        "pending": line.posting.pending,
        **_movement(line.posting, line.type),
    }


def decisions(rows: Sequence[Any]) -> list[dict[str, Any]]:
    """What was decided about one operation, from rows of queries.DECISIONS."""
    return [
        {
            "effect": row.effect,
            "amount": row.amount,
            "remaining": row.remaining,
            "last": row.terminal,
            "operation": show_id(row.id),
            "position": row.position,
            "by": row.actor,
            "at": row.accepted_at,
        }
        for row in rows
    ]


def account_posting(row: Any) -> dict[str, Any]:
    """One line of an account's statement, from a row of pipeline.search.lines.LINES."""
    body = orjson.loads(row.body)
    return {
        "operation": show_id(row.id),
        "position": row.position,
        "kind": row.kind,
        "accepted_at": row.accepted_at,
        "effective_date": body.get("effective_date"),
        "description": body.get("description"),
        **_movement(row, row.type),
    }


def ledger_posting(row: Any) -> dict[str, Any]:
    """The same with its account and leg, where all accounts stand together."""
    return {"account": row.code, "leg": row.leg, **account_posting(row)}


def _movement(row: Any, of_type: str) -> dict[str, Any]:
    """`balance_after` is on the account's normal side, as the account shows its balance."""
    return {
        "amount": abs(row.amount),
        "direction": "credit" if row.amount > 0 else "debit",
        "currency": row.currency,
        "balance_after": -row.balance_after if of_type in DEBIT_NORMAL else row.balance_after,
        "version": row.version,
    }


def account(ledger: LedgerRef, held: Account) -> dict[str, Any]:
    """An account with its balances."""
    return {
        "object": "account",
        "ledger": ledger.name,
        "code": held.code,
        "type": held.type,
        "currency": held.currency,
        "overdraft": "unlimited" if held.overdraft is None else held.overdraft,
        "status": "frozen" if held.status in FROZEN_SIDES else held.status,
        "frozen": FROZEN_SIDES.get(held.status),
        "name": held.name,
        "metadata": held.metadata,
        "balance": held.balance,
        "available": held.available,
        "debits_posted": held.debits_posted,
        "credits_posted": held.credits_posted,
        "debits_pending": held.debits_pending,
        "credits_pending": held.credits_pending,
        "version": held.version,
    }
