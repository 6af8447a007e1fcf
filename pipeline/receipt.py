"""What is submitted, and what comes of it: in the log, under its key before, or too far behind."""

import datetime as dt
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from models.ledger import LedgerRef
from models.operation import show_id
from pipeline.strict_json import canonical


@dataclass(slots=True)
class Announcement:
    """The event of an operation (pipeline/announced.py), which gets into the log with it.

    `ledger` is the tenant's, of events; `members` are the event's, but for its target.
    """

    ledger: LedgerRef
    key: str
    members: dict[str, Any]
    principal: bytes
    position: int | None = None  # its place, once it has one

    def of(self, operation: UUID) -> "Submission":
        """The event, of this operation."""
        body = canonical({**self.members, "target": show_id(operation)})
        return Submission(self.key, "event", body, self.principal)


@dataclass(frozen=True, slots=True)
class Submission:
    """One operation on its way in. `body` is canonical JSON (strict_json.canonical)."""

    key: str
    kind: str
    body: bytes
    principal: bytes
    event: Announcement | None = None


class Accepted(NamedTuple):
    """It is in the log, committed. `body` is what the log holds."""

    position: int
    id: UUID
    accepted_at: dt.datetime
    replayed: bool


class Reused(NamedTuple):
    """422: the key belongs to other content; which members differ (never their old values)."""

    differing: tuple[str, ...]


class Behind(NamedTuple):
    """503: so many operations of the ledger wait to be posted that no more are taken."""

    lag: int


Receipt = Accepted | Reused | Behind


class Stored(NamedTuple):
    """What a key's first operation was."""

    key: str
    kind: str
    body: bytes
    accepted: Accepted


def replay(stored: Stored, submission: Submission) -> Receipt:
    """What a repeated submission gets: the operation that it made before, or that it differs."""
    if stored.body == submission.body and stored.kind == submission.kind:
        return stored.accepted
    return Reused(differing_members(stored, submission))


def differing_members(stored: Stored, submission: Submission) -> tuple[str, ...]:
    """The names of the members in which two contents differ."""
    before = {"kind": stored.kind, **orjson.loads(stored.body)}
    now = {"kind": submission.kind, **orjson.loads(submission.body)}
    absent = object()
    names = before.keys() | now.keys()
    return tuple(sorted(n for n in names if before.get(n, absent) != now.get(n, absent)))
