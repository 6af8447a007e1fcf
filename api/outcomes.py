"""What a request is told about the operations that it handed in."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from flask import Response, request
from sqlalchemy import Connection

from api import queries, shown
from api.answers import answer, leave_with
from api.errors import Problem
from api.intake import Read
from api.parcel import Answer, Unstored
from api.privacy import edge
from api.state import state
from api.waiting import Watch
from models.db import tenant_reading
from models.ledger import LedgerRef
from pipeline import announced
from pipeline.receipt import Accepted, Behind, Reused


class Outcome(NamedTuple):
    """An operation as it is now, and whether this request had been made before."""

    operation: dict[str, Any]
    replayed: bool

    def headers(self, waited_s: int) -> dict[str, str]:
        """What its answer carries beside the body."""
        found = {
            "Location": f"/v1/ledgers/{self.operation['ledger']}/operations/{self.operation['id']}"
        }
        if self.replayed:
            found["Idempotent-Replayed"] = "true"
        if waited_s and "HTTP_PREFER" in request.environ:
            found["Preference-Applied"] = f"wait={waited_s}"
        return found

    def response(self, waited_s: int) -> Response:
        """200 when it is final, 202 before."""
        status = 200 if shown.is_final(self.operation) else 202
        leave_with(self.headers(waited_s))
        return answer(self.operation, status)


def hand_in(ledger: LedgerRef, read: Read, wait_s: int) -> tuple[Outcome, int]:
    """Store the operation and wait for its end; how long was waited for at most. Raises Problem."""
    due = time.monotonic() + wait_s
    (read,) = with_events(ledger, [edge.seal(ledger, read)])
    with state().listener.watch(ledger, wait_s) as watch:
        accepted = receipt(state().writer.put(ledger, read.submission))
        granted = 0 if watch is None else wait_s
        if watch is None and not accepted.replayed:
            submission = read.submission
            operation = shown.new_operation(ledger, accepted, submission, read.body)
        else:
            operation = follow(ledger, accepted, watch, due)
    return Outcome(operation, accepted.replayed), granted


def with_events(ledger: LedgerRef, reads: Sequence[Read]) -> list[Read]:
    """Each with its event, if it is told of by one."""
    told = announced.with_events(state().engine, ledger, [one.submission for one in reads])
    return [one._replace(submission=made) for one, made in zip(reads, told, strict=True)]


def receipt(received: Answer) -> Accepted:
    """The receipt; raises Problem where there is none."""
    if isinstance(received, Accepted):
        return received
    raise problem(received)


def problem(received: Answer) -> Problem:
    """Why an operation was not stored."""
    if isinstance(received, Unstored):
        return Problem(received.code, received.detail)
    if isinstance(received, Behind):
        return Problem(
            "ledger_behind",
            f"Nothing was stored: {received.lag} operations of the ledger wait to be posted. Send"
            " it again, with the same idempotency key, in a second.",
        )
    assert isinstance(received, Reused)
    return Problem(
        "idempotency_key_reused",
        "The operation that was stored under this key differs in"
        f" {', '.join(received.differing)}. Send the first content again, or another key.",
        param="Idempotency-Key",
        differs=list(received.differing),
    )


def follow(
    ledger: LedgerRef, accepted: Accepted, watch: Watch | None, due: float
) -> dict[str, Any]:
    """The operation once it is final, or as it is when the time is up."""
    # What was accepted just now is not final yet, so its first look is spared: the wait is told.
    if watch is None or accepted.replayed:
        operation = look(ledger, accepted.position)
        if watch is None or shown.is_final(operation):
            return operation
    while True:
        woken = watch.wait(accepted.position, due)
        operation = look(ledger, accepted.position)
        if shown.is_final(operation) or not woken or time.monotonic() > due:
            return operation


def look(ledger: LedgerRef, position: int) -> dict[str, Any]:
    """The operation at a position of which we know that it was committed."""
    with tenant_reading(ledger.tenant_id, state().engine) as connection:
        (row,) = queries.operations(connection, ledger, [position])
        return with_postings(connection, ledger, row)


def with_postings(connection: Connection, ledger: LedgerRef, row: Any) -> dict[str, Any]:
    """A row of queries.OPERATIONS, its postings and its decisions as one operation."""
    operation = shown.stored_operation(ledger, row)
    decisions = [*queries.decisions(connection, ledger, row.position)]
    # What was approved was posted by its last approval, and is given back as that.
    approved = [one.position for one in decisions if one.effect == "approve"]
    posted_at = max(approved, default=row.position)
    if approved:
        decisions += queries.decisions(connection, ledger, posted_at)
    postings = queries.postings(connection, ledger, posted_at)
    return operation | {
        "postings": shown.postings(postings),
        "decisions": shown.decisions(decisions),
    }
