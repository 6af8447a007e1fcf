"""accept: give operations their place in the log, durably and once for each idempotency key.

In one transaction, under the ledger's accept lock: look the keys up, give new operations the next
positions, insert them with their keys, commit. Whoever calls rings the bell afterwards.

    accepted ──┬── new: committed at the next position
               └── replayed: the operation that this key and content made before
    reused ─────── the key belongs to an operation of other content; nothing is stored
    behind ─────── new, but the ledger lags too far behind its log; nothing is stored

`append` does the same within a transaction that does more, and commits nothing.

An operation that is announced (announced.py) gets into the log together with its event, which comes
second: whoever waits for a ledger of events holds a ledger of books, never the other way round.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from models.ledger import LedgerRef
from models.operation import draw, make_id
from pipeline import arrays
from pipeline.crash import crash_point
from pipeline.prepared import Prepared
from pipeline.receipt import Accepted, Behind, Receipt, Stored, Submission, replay

# However far the ledger of events lags, what is done is told: the end of any log.
ANY_LAG = 2**40
# Advisory locks come in pairs of integers: (what for, ledger).
ACCEPT_LOCK = 0
# What the database answers for the log of a deleted tenant (migration 0013).
TENANT_DELETED = "TRD01"


class CommitUnknownError(psycopg2.OperationalError):
    """The connection broke around COMMIT: what was new in `receipts` is stored, or nothing is.

    `accept` again with the same submissions finds out: what is stored by then comes back as
    replayed, under the id that it has here.
    """

    def __init__(self, receipts: list[Receipt]) -> None:
        super().__init__("The connection broke around COMMIT.")
        self.receipts = receipts


BEGIN = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true),
       pg_advisory_xact_lock(%(lock)s, %(ledger)s);
"""

LOCK = "SELECT pg_advisory_xact_lock(%(lock)s, %(ledger)s);\n"

# LATERAL ... LIMIT 1 is an index look-up per row whatever the planner believes about a table that
# autovacuum has not analyzed yet; a plain join went quadratic on a fresh database.
LOOK_UP = Prepared(
    "accept_look_up",
    """
SELECT o.position, o.id, o.accepted_at, o.idempotency_key, o.kind, o.body::text,
       last_position(%(tenant)s, %(ledger)s, 'accept'),
       last_position(%(tenant)s, %(ledger)s, 'post'),
       greatest(clock_timestamp(), (
           SELECT accepted_at FROM operations
            WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
            ORDER BY position DESC LIMIT 1))
  FROM (SELECT) one
  LEFT JOIN (
       unnest(%(hashes)s) hash
       CROSS JOIN LATERAL (
           SELECT k.position FROM idempotency_keys k
            WHERE k.tenant_id = %(tenant)s AND k.ledger_id = %(ledger)s AND k.key_hash = hash
            LIMIT 1) k
       CROSS JOIN LATERAL (
           SELECT * FROM operations o
            WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s
              AND o.position = k.position LIMIT 1) o
  ) ON true
""",
    tenant="integer",
    ledger="integer",
    hashes="uuid[]",
)

INSERT = Prepared(
    "accept_insert",
    """
WITH new AS (
    SELECT * FROM unnest(
        %(positions)s, %(ids)s, %(hashes)s, %(keys)s, %(kinds)s, %(bodies)s, %(principals)s
    ) AS new (position, id, key_hash, idempotency_key, kind, body, principal)
), logged AS (
    INSERT INTO operations (position, accepted_at, tenant_id, ledger_id, id, kind,
                            idempotency_key, body, principal)
    SELECT position, %(at)s, %(tenant)s, %(ledger)s, id, kind, idempotency_key,
           body::json, principal::json
      FROM new ORDER BY position
)
INSERT INTO idempotency_keys (position, tenant_id, ledger_id, key_hash)
SELECT position, %(tenant)s, %(ledger)s, key_hash FROM new ORDER BY key_hash
""",
    tenant="integer",
    ledger="integer",
    at="timestamptz",
    positions="bigint[]",
    ids="uuid[]",
    hashes="uuid[]",
    keys="text[]",
    kinds="text[]",
    bodies="text[]",
    principals="text[]",
)


def accept(
    connection: Any, ledger: LedgerRef, submissions: Sequence[Submission], max_lag: int
) -> list[Receipt]:
    """Take the submissions in, in their order; one receipt for each, in the same order.

    `connection` is in autocommit mode (models.db.raw_connection). `max_lag` bounds how many
    operations may wait to be posted before new ones are refused; known keys are answered all the
    same. Raises psycopg2 errors with the transaction rolled back: nothing is stored, unless it is
    CommitUnknownError.
    """
    try:
        with connection.cursor() as cursor:
            receipts = _accept(cursor, ledger, submissions, max_lag)
    except BaseException:
        rollback(connection)
        raise
    crash_point("accept.after_commit")
    return receipts


def append(
    cursor: Any, ledger: LedgerRef, submissions: Sequence[Submission], max_lag: int
) -> list[Receipt]:
    """As accept, within a READ COMMITTED transaction of the tenant that is open already.

    Nobody else writes to the ledger's log until it ends, so this comes last in it. Raises psycopg2
    errors, after which the transaction can only be rolled back.
    """
    receipts, row = _place(cursor, LOCK + LOOK_UP.on(cursor), ledger, submissions, max_lag)
    if row is not None:
        cursor.execute(INSERT.on(cursor), row)
    return receipts


def is_lost(connection: Any, error: psycopg2.Error) -> bool:
    """Whether the connection is gone: broken (class 08) or ended by the server (57P01-57P03)."""
    return bool(connection.closed) or (error.pgcode or "").startswith(("08", "57P"))


def rollback(connection: Any) -> None:
    """Leave the transaction, if the connection still works."""
    if not connection.closed and connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
        try:
            connection.cursor().execute("ROLLBACK")
        except psycopg2.Error:
            connection.close()


def key_hash(key: str) -> str:
    """The first 16 bytes of SHA-256 of the key, spelled as a uuid's hex."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _accept(
    cursor: Any, ledger: LedgerRef, submissions: Sequence[Submission], max_lag: int
) -> list[Receipt]:
    look_up, insert = LOOK_UP.on(cursor), INSERT.on(cursor)
    receipts, row = _place(cursor, BEGIN + look_up, ledger, submissions, max_lag)
    if row is None:
        cursor.execute("ROLLBACK")
        return receipts
    _announce(cursor, submissions, receipts)
    crash_point("accept.before_commit")
    try:
        cursor.execute(insert + "COMMIT", row)
    except psycopg2.Error as error:
        if is_lost(cursor.connection, error):
            raise CommitUnknownError(receipts) from error
        raise
    return receipts


def _announce(cursor: Any, submissions: Sequence[Submission], receipts: Sequence[Receipt]) -> None:
    """The events of what is new, at the end of the tenant's ledger of events."""
    new = [
        (submission.event, receipt.id)
        for submission, receipt in zip(submissions, receipts, strict=True)
        if submission.event and isinstance(receipt, Accepted) and not receipt.replayed
    ]
    if not new:
        return
    told = append(cursor, new[0][0].ledger, [event.of(id_) for event, id_ in new], ANY_LAG)
    for (event, _), receipt in zip(new, told, strict=True):
        assert isinstance(receipt, Accepted), receipt
        event.position = receipt.position


def _place(
    cursor: Any,
    look_up: str,
    ledger: LedgerRef,
    submissions: Sequence[Submission],
    max_lag: int,
) -> tuple[list[Receipt], dict[str, Any] | None]:
    """The receipts, and what INSERT takes; None if there is nothing new. `look_up` locks first."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "lock": ACCEPT_LOCK}
    hashes = {s.key: key_hash(s.key) for s in submissions}
    cursor.execute(look_up, {**scope, "hashes": arrays.words(hashes.values())})
    rows = cursor.fetchall()
    last, posted, now = rows[0][6:]
    log = _Log(ledger.ledger_id, last, posted, now, iter(draw(len(submissions))))
    known = {row[3]: _stored(row) for row in rows if row[0] is not None}
    receipts = [_receive(submission, known, log, max_lag) for submission in submissions]
    if not log.fresh:
        return receipts, None
    fresh = [submission for submission, _ in log.fresh.values()]
    accepted = [receipt for _, receipt in log.fresh.values()]
    columns = {
        "at": log.now,
        "positions": arrays.integers([receipt.position for receipt in accepted]),
        "ids": arrays.words([receipt.id.hex for receipt in accepted]),
        "hashes": arrays.words([hashes[key] for key in log.fresh]),
        "keys": arrays.texts(log.fresh),
        "kinds": arrays.words([s.kind for s in fresh]),
        "bodies": arrays.texts([s.body.decode() for s in fresh]),
        "principals": arrays.texts([s.principal.decode() for s in fresh]),
    }
    return receipts, {**scope, **columns}


@dataclass(slots=True)
class _Log:
    """Where the log ends, under its lock, and what this group adds to it, by key."""

    ledger_id: int
    last: int
    posted: int
    now: dt.datetime  # never before the last operation's accepted_at
    drawn: Iterator[int]  # the random bits of ids, enough for the group
    fresh: dict[str, tuple[Submission, Accepted]] = field(default_factory=dict)

    @property
    def lag(self) -> int:
        """How many operations wait to be posted, this group's among them."""
        return self.last + len(self.fresh) - self.posted

    def append(self, submission: Submission) -> Accepted:
        """The submission at the next position."""
        position = self.last + len(self.fresh) + 1
        id_ = make_id(self.ledger_id, position, next(self.drawn))
        accepted = Accepted(position, id_, self.now, replayed=False)
        self.fresh[submission.key] = submission, accepted
        return accepted


def _receive(submission: Submission, known: dict[str, Stored], log: _Log, max_lag: int) -> Receipt:
    key = submission.key
    if key in known:
        return replay(known[key], submission)
    if key in log.fresh:  # an equal key earlier in this group: as if it were stored
        first, accepted = log.fresh[key]
        stored = Stored(key, first.kind, first.body, accepted._replace(replayed=True))
        return replay(stored, submission)
    if log.lag >= max_lag:
        return Behind(log.lag)
    return log.append(submission)


def _stored(row: tuple[Any, ...]) -> Stored:
    position, id_, accepted_at, key, kind, body = row[:6]
    accepted = Accepted(position, id_, accepted_at, replayed=True)
    return Stored(key, kind, body.encode(), accepted)
