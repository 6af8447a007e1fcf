"""Poison: an operation that fails the run it is in, or kills the process, must not stop the rest.

Normal runs write nothing here. A ledger under suspicion (a run failed on its data, or the sweeper
saw no progress) is worked *carefully*: each attempt is recorded before it is made, so that even an
attempt that kills its process has left a trace. Ranges that failed are halved until the culprit
stands alone; after three lone attempts it is rejected as `internal_error`, with an alert.

An attempt that ends in a fault of the surroundings (connection, resources, time-outs, shutdown) is
taken back: deploys and outages never count.
"""

from typing import Any

import psycopg2
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from models.settings import SettingsError
from pipeline.kinds import UnknownKindError
from pipeline.refusal import refuse
from pipeline.stage import Claim, MissingOperationsError, alert, commit, reject

LONE_ATTEMPTS_MAX = 3
# So many internal_errors in a row are no poisoned operations but a broken Trident: stop instead.
CONSECUTIVE_MAX = 20
# The stages that may still reject: later an operation has its outcome.
REJECTING = ("validate", "authorize", "post")

# Connection, transaction, resources, operator; and 42, what the schema or a privilege lacks: the
# text of our statements is fixed, so no operation can cause that, but a half-made deploy can.
FAULT_CLASSES = ("08", "25", "40", "42", "53", "55", "57", "58")
# A statement, a lock, or a transaction that stood idle while its run computed.
TIMEOUTS = ("57014", "55P03", "25P03")


class HaltedError(Exception):
    """A stage of a ledger fails again and again; it waits for a person."""


# attempts are advice, not money: the record must survive the process, not the machine, so it is
# committed without waiting for the disk.
RECORD = """
BEGIN; SET LOCAL synchronous_commit = off;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
INSERT INTO attempts (tenant_id, ledger_id, stage, from_position, to_position)
VALUES (%(tenant)s, %(ledger)s, %(stage)s, %(first)s, %(last)s);
COMMIT
"""

FORGET = """
BEGIN; SET LOCAL synchronous_commit = off;
SELECT set_config('trident.tenant', %(tenant)s::text, true);
DELETE FROM attempts WHERE attempt_id = (
    SELECT max(attempt_id) FROM attempts
     WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND stage = %(stage)s
       AND from_position = %(first)s AND to_position = %(last)s);
COMMIT
"""

# An attempt from before the server's last start may have ended with the server: it does not count.
FAILED = """
SELECT to_position, count(*) FROM attempts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND stage = %(stage)s
   AND from_position = %(first)s AND at > pg_postmaster_start_time()
 GROUP BY to_position ORDER BY to_position LIMIT 1
"""

RECENT_REJECTIONS = """
SELECT count(*) FROM (
    SELECT code FROM rejections
     WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position < %(first)s
       AND position >= %(first)s - %(many)s) r
 WHERE code = 'internal_error'
"""

REJECTED = """
SELECT FROM rejections
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = %(first)s
"""

CLEAR = """
DELETE FROM attempts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND stage = %(stage)s
   AND from_position <= %(last)s;
"""


def _scope(work: Claim) -> dict[str, Any]:
    """The parameters of every statement here: suspicion falls on one ledger at a time."""
    span = work.alone
    return {
        "tenant": work.tenant_id,
        "ledger": span.ledger_id,
        "stage": work.stage,
        "first": span.first,
        "last": span.last,
    }


def is_fault(error: BaseException) -> bool:
    """Whether the surroundings failed, not the data: such an attempt does not count.

    A kind that this process does not know is one: in a deploy old workers meet new operations. So
    are rows that cannot be seen: who has not read an operation cannot say that it is bad.
    """
    if isinstance(error, UnknownKindError | MissingOperationsError):
        return True
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig  # SQLAlchemy wraps what fails while it sets up its first connection
    if isinstance(error, psycopg2.Error):
        code = error.pgcode
        return isinstance(error, psycopg2.InterfaceError) or (
            code[:2] in FAULT_CLASSES if code else isinstance(error, psycopg2.OperationalError)
        )
    surroundings = isinstance(error, OSError | MemoryError | PoolTimeoutError | SettingsError)
    return surroundings or not isinstance(error, Exception)


def is_timeout(error: BaseException) -> bool:
    """Whether it took too long, in the database or before the next word: fewer may fit."""
    return isinstance(error, psycopg2.Error) and error.pgcode in TIMEOUTS


def record(connection: Any, work: Claim) -> None:
    """Leave the trace of an attempt before it is made. `connection`: not the claim's own."""
    connection.cursor().execute(RECORD, _scope(work))


def forget(connection: Any, work: Claim) -> None:
    """Take the newest attempt back: the surroundings failed, not the operations."""
    connection.cursor().execute(FORGET, _scope(work))


def clear(work: Claim) -> None:
    """Within the claim's transaction: what is done now is under suspicion no longer."""
    work.cursor.execute(CLEAR, _scope(work))


def narrow(work: Claim) -> int:
    """Shorten the claim to half of what failed before; how often it failed standing alone."""
    work.cursor.execute(FAILED, _scope(work))
    row = work.cursor.fetchone()
    if row is None:
        return 0
    failed_to, count = row
    span = work.alone
    width = failed_to - span.first + 1
    half = span.first + max(width // 2, 1) - 1
    work.spans = [span._replace(last=min(span.last, half))]
    return int(count) if width == 1 else 0


def reject_alone(work: Claim) -> None:
    """Reject the one claimed operation as internal_error; record the run. Raises HaltedError."""
    span = work.alone
    work.spans = [span._replace(last=span.first)]
    scope = _scope(work)
    if work.stage not in REJECTING:
        alert.critical("stage_halted", **scope)
        raise HaltedError(f"{work.stage} cannot go past position {span.first}")
    work.cursor.execute(RECENT_REJECTIONS, {**scope, "many": CONSECUTIVE_MAX})
    if work.cursor.fetchone()[0] >= CONSECUTIVE_MAX:
        alert.critical("stage_halted", reason="too many internal errors in a row", **scope)
        raise HaltedError(f"{work.stage} rejected the last {CONSECUTIVE_MAX} operations as broken")
    alert.critical("operation_poisoned", **scope)
    clear(work)
    work.cursor.execute(REJECTED, scope)
    if work.cursor.fetchone() is not None:
        commit(work)  # an earlier stage has rejected it: this one only passes it
        return
    refusal = refuse("internal_error", stage=work.stage, attempts=LONE_ATTEMPTS_MAX)
    commit(work, [reject(work, [(span.ledger_id, span.first, refusal)])])
