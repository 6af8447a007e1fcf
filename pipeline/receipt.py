"""What is submitted, and what comes of it: in the log, under its key before, or too far behind."""

import datetime as dt
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import orjson


@dataclass(frozen=True, slots=True)
class Submission:
    """One operation on its way in. `body` is canonical JSON (strict_json.canonical)."""

    key: str
    kind: str
    body: bytes
    principal: bytes


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
