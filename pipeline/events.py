"""Events: what people and programs do beside the books, told by a log that cannot be changed.

Each tenant has a ledger of them (models/ledger.py), whose operations are of the kind `event`. They
pass the stages as any others do, so audit seals who did what in the same kind of chain as what
became of it in the books, and `trident verify` proves both.

An event is recorded within the transaction of what it tells of: both are there, or neither. What
was refused has nothing to be recorded with, and is an event of a transaction of its own.
"""

import datetime as dt
import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import Connection

from models.key_ring import KeyRing
from models.ledger import LedgerRef, event_ledger
from pipeline import came_from
from pipeline.accept import ANY_LAG, append
from pipeline.came_from import CameFrom
from pipeline.halving import position_at
from pipeline.idempotency import EVENT
from pipeline.kinds import KINDS
from pipeline.principal import RECORDER
from pipeline.privacy.data_keys import DataKey, keys_of
from pipeline.receipt import Accepted, Announcement, Submission
from pipeline.search.wanted import Range
from pipeline.strict_json import canonical

# What is told of, with the sentence that the docs have for it.
ACTIONS = {
    "tenant.created": "The tenant was created.",
    "tenant.deleted": "The tenant was deleted: nobody may ask in its name any more.",
    "tenant.restored": "The tenant was taken back.",
    "tenant.settings_changed": "Settings of the tenant were changed; `detail` has both.",
    "tenant.allowed_changed": "What the installation allows it was changed; `detail` has both.",
    "ledger.created": "A ledger was made.",
    "operation.asked": "An operation was submitted that changes what may move, or decides about"
    " another one; the operation says what came of it. `detail` has its ledger and its kind.",
    "person.invited": "Somebody was invited, or invited again.",
    "person.accepted": "An invitation was accepted, and a password chosen.",
    "person.signed_in": "Somebody signed in, or was refused; `detail` has the reason.",
    "person.signed_out": "Somebody ended the session that they were in.",
    "person.changed": "Somebody was given other roles, disabled or enabled; `detail` has both.",
    "person.password_changed": "Somebody changed their password; their other sessions ended.",
    "person.reset_offered": "Somebody was given a way to choose a new password.",
    "person.reset_asked": "Somebody forgot their password; refused: `detail` has the reason.",
    "person.password_reset": "A new password was chosen that way; all sessions ended.",
    "person.second_factor_on": "A second factor is asked for from now on.",
    "person.second_factor_off": "The second factor was taken away.",
    "mail.given_up": "An invitation or reset could not be sent; `detail` has the reason.",
    "session.revoked": "A session was ended by somebody.",
    "session.reused": "A used refresh token was brought again, which ended the session.",
    "api_key.created": "An API key was made.",
    "api_key.changed": "What an API key may do, or how long, was changed; `detail` has both.",
    "api_key.rotated": "An API key got a new secret; the one before counts `grace_s` longer.",
    "api_key.revoked": "An API key was revoked.",
    "token.created": "A token of the command line was made; `detail` has for whom, until when.",
    "token.revoked": "A token was ended before its time.",
    "key.rotated": "Another key signs tokens; the one before verifies for 7 days more.",
    "key.revoked": "A key that signed tokens was revoked: what it signed is refused.",
    "subject.exported": "All that is held of a subject was exported.",
    "subject.restricted": "The use of a subject's data was restricted.",
    "subject.unrestricted": "That was taken back.",
    "subject.erasure_planned": "A subject is to be erased when retention ends; `detail` has when.",
    "subject.erased": "A subject was erased: its key was destroyed.",
    "retention.carried_out": "What was kept for long enough was erased; `detail` counts it.",
}
KEY_BYTES = 16
# A page looks at so many events, about 0.1 s; one whose filters fit few of them is short, or empty.
LOOK_MAX = 20_000


class Event(NamedTuple):
    """What is to be recorded. `detail` is small, and holds nothing personal."""

    action: str
    actor: str
    outcome: str = "done"
    target: str | None = None
    detail: dict[str, Any] | None = None


class Recorded(NamedTuple):
    """Where it will stand once the transaction is committed: ring for it then."""

    ledger: LedgerRef
    position: int


def record(connection: Connection, tenant_id: int, event: Event) -> Recorded:
    """Tell of what this transaction does, as the last thing in it.

    The transaction is the tenant's (set_tenant). From here to its end nobody else records an event
    of the tenant.
    """
    (told,) = announcements(connection, tenant_id, event.actor, [event])
    submission = Submission(told.key, "event", canonical(told.members), told.principal)
    cursor: Any = connection.connection.cursor()
    with cursor:
        (receipt,) = append(cursor, told.ledger, [submission], ANY_LAG)
    assert isinstance(receipt, Accepted), receipt
    return Recorded(told.ledger, receipt.position)


def announcements(
    connection: Connection, tenant_id: int, actor: str, events: Sequence[Event]
) -> list[Announcement]:
    """The actor's events as they get into the log, with whence they were asked for, sealed."""
    ledger = event_ledger(connection, tenant_id)
    assert ledger is not None, f"tenant {tenant_id} has no ledger of events"
    sealed = came_from.sealer(connection, ledger, actor)
    principal = canonical({"sub": actor, "roles": [RECORDER]})
    made = []
    for event in events:
        assert event.action in ACTIONS, f"{event.action} is none of the actions"
        assert event.actor == actor, f"{event.actor} is another actor"
        key = EVENT.format(secrets.token_hex(KEY_BYTES))
        members = {name: value for name, value in event._asdict().items() if value is not None}
        body = KINDS["event"].schema.load(members | sealed(key))
        made.append(Announcement(ledger, key, body, principal))
    return made


class Wanted(NamedTuple):
    """Which events, newest first; all that is given must fit. `before` is a position; `about` is
    who did it, or to whom it was done."""

    limit: int
    before: int | None = None
    action: str | None = None
    actor: str | None = None
    about: str | None = None
    since: dt.datetime | None = None
    until: dt.datetime | None = None


class Told(NamedTuple):
    """An event of the log. `sealed`: it stands in a block of the audit chain."""

    position: int
    id: UUID
    at: dt.datetime
    sealed: bool
    body: dict[str, Any]
    key: str


class Page(NamedTuple):
    """Events, and before which position the next ones are (None: there are no more)."""

    events: list[Told]
    following: int | None


REACHED = """
SELECT last_position(%(tenant)s, %(ledger)s, 'accept') AS accepted,
       last_position(%(tenant)s, %(ledger)s, 'audit') AS audited
"""
PAGE = """
SELECT position, id, accepted_at, position <= %(audited)s AS sealed, body::text,
       idempotency_key
  FROM (SELECT * FROM operations
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
           AND position BETWEEN %(low)s AND %(high)s OFFSET 0) o
 WHERE (body->>'action' = %(action)s OR %(action)s IS NULL)
   AND (body->>'actor' = %(actor)s OR %(actor)s IS NULL)
   AND (%(about)s IN (body->>'actor', body->>'target', body->'detail'->>'person')
        OR %(about)s IS NULL)
 ORDER BY position DESC LIMIT %(many)s
"""


def read_page(connection: Connection, tenant_id: int, wanted: Wanted) -> Page:
    """One page of the tenant's events; none of a tenant that does not exist."""
    ledger = event_ledger(connection, tenant_id)
    if ledger is None:
        return Page([], None)
    scope = {"tenant": tenant_id, "ledger": ledger.ledger_id}
    reached = connection.exec_driver_sql(REACHED, scope).one()
    low, high = _within(connection, ledger, wanted, reached.accepted)
    asked = {"action": wanted.action, "actor": wanted.actor, "about": wanted.about}
    filtered = any(one is not None for one in asked.values())
    looked_from = max(low, high - (LOOK_MAX if filtered else wanted.limit + 1) + 1)
    span = {"low": looked_from, "high": high, "audited": reached.audited, "many": wanted.limit + 1}
    rows = connection.exec_driver_sql(PAGE, {**scope, **asked, **span}).all()
    events = [_told(*row) for row in rows[: wanted.limit]]
    if len(rows) > wanted.limit:
        return Page(events, events[-1].position)
    return Page(events, looked_from if looked_from > low else None)


def _within(
    connection: Connection, ledger: LedgerRef, wanted: Wanted, accepted: int
) -> tuple[int, int]:
    """The first and the last position that may be shown."""
    low, high = 1, accepted
    if wanted.since is not None:
        low = position_at(connection, ledger, Range(1, accepted), wanted.since)
    if wanted.until is not None:
        high = position_at(connection, ledger, Range(1, accepted), wanted.until) - 1
    return low, high if wanted.before is None else min(high, wanted.before - 1)


def whence(
    connection: Connection, ring: KeyRing, tenant_id: int, events: Sequence[Told]
) -> dict[int, CameFrom]:
    """By position, whence these were asked for; of the erased, and of old months, nothing is left.

    Raises TamperedError, and the errors of the key ring.
    """
    kept = [told for told in events if "from" in told.body]
    ledger = event_ledger(connection, tenant_id)
    if not kept or ledger is None:
        return {}
    keys = keys_of(connection, ring, tenant_id, {came_from.sealed_for(told.body) for told in kept})
    found = {}
    for told in kept:
        key = keys.get(came_from.sealed_for(told.body))
        if isinstance(key, DataKey):
            found[told.position] = came_from.opened(ledger, told.key, told.body, key)
    return found


def _told(position: int, id_: Any, at: dt.datetime, sealed: bool, body: str, key: str) -> Told:
    id_ = id_ if isinstance(id_, UUID) else UUID(id_)
    return Told(position, id_, at, sealed, orjson.loads(body), key)
