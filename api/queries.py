"""The SQL of everything that is read, each statement an index range or an index look-up per row.

LATERAL ... LIMIT 1 keeps it so whatever the planner believes about a fresh table. All of it runs in
transactions of models.db.tenant_reading, so row-level security adds the tenant a second time.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from api.errors import Problem
from models.ledger import LedgerRef
from pipeline import arrays
from pipeline.kinds.fields import CODE_PATTERN
from pipeline.ledger import Account
from pipeline.search.codes import SEGMENT
from pipeline.stage import STAGES

# A stage as the fact that it leaves behind.
FACTS = dict(zip(STAGES, ("validated", "authorized", "posted", "audited", "notified"), strict=True))

# When the run of a stage that covers the operation was committed.
_REACHED = """
       (SELECT CASE WHEN run.to_position >= o.position THEN run.at END
          FROM (SELECT to_position, at FROM runs
                 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND stage = '{stage}'
                   AND from_position <= o.position
                 ORDER BY from_position DESC LIMIT 1) run) AS {fact}"""

_OPERATIONS = """
SELECT o.position, o.id, o.kind, o.idempotency_key, o.accepted_at, o.body::text AS body,
       o.principal::text AS principal,
       r.stage, r.code, r.detail::text AS detail, pending.effect AS pending,
       unapproved.effect AS unapproved, unapproved.actor AS refused_by, unapproved.reason, {reached}
  FROM unnest(%(positions)s::bigint[]) WITH ORDINALITY AS wanted (position, place)
 CROSS JOIN LATERAL (
       SELECT * FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.position LIMIT 1) o
  LEFT JOIN LATERAL (
       SELECT * FROM rejections
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = wanted.position LIMIT 1) r ON true
  LEFT JOIN LATERAL (
       SELECT effect FROM pending_operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND target = wanted.position LIMIT 1) pending ON true
  LEFT JOIN LATERAL (
       SELECT d.effect, d.actor, by.body->>'reason' AS reason
         FROM (SELECT * FROM decisions
                WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                  AND target = wanted.position AND terminal AND effect IN ('refuse', 'lapse')
                LIMIT 1) d
        CROSS JOIN LATERAL (
              SELECT body FROM operations
               WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
                 AND position = d.position LIMIT 1) by) unapproved ON true
 ORDER BY wanted.place
"""
OPERATIONS = _OPERATIONS.format(
    reached=",".join(_REACHED.format(stage=stage, fact=fact) for stage, fact in FACTS.items())
)

POSTINGS = """
SELECT p.amount, p.currency, p.balance_after, p.version, p.pending, a.code, a.type
  FROM (SELECT * FROM postings
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = %(position)s
         ORDER BY leg) p
 CROSS JOIN LATERAL (
       SELECT code, type FROM accounts
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND number = p.account
        LIMIT 1) a
 ORDER BY p.leg
"""

# The fate of one operation: what others did to it, and what it said about itself.
DECISIONS = """
SELECT d.effect, d.amount, d.remaining, d.terminal, d.actor, d.position, o.id, o.accepted_at
  FROM (SELECT * FROM decisions
         WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND target = %(position)s
         ORDER BY number) d
 CROSS JOIN LATERAL (
       SELECT id, accepted_at FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND position = d.position
        LIMIT 1) o
 ORDER BY d.number
"""

ACCOUNT_COLUMNS = """
SELECT number, code, type, currency, overdraft, status, name, metadata,
       debits_posted, credits_posted, debits_pending, credits_pending, version,
       pending_version
  FROM accounts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
"""
ACCOUNTS_BY_CODE = ACCOUNT_COLUMNS + " AND code = ANY(%(codes)s::text[])"
ACCOUNTS_PAGE = ACCOUNT_COLUMNS + " AND code > %(after)s ORDER BY code LIMIT %(many)s"

LEDGERS_PAGE = """
SELECT name, created_at FROM ledgers
 WHERE tenant_id = %(tenant)s AND name > %(after)s AND NOT starts_with(name, 'trident-')
   AND (%(named)s::text[] IS NULL OR name = ANY (%(named)s::text[]))
 ORDER BY name LIMIT %(many)s
"""

LEDGER = """
SELECT created_at FROM ledgers WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
"""

# How far each stage is, and how long the first operation that waits for it has waited.
PROGRESS = """
SELECT p.stage, p.position, clock_timestamp() - o.accepted_at AS waited
  FROM (SELECT stage, last_position(%(tenant)s, %(ledger)s, stage) AS position
          FROM unnest(%(stages)s::text[]) AS stage) p
  LEFT JOIN LATERAL (
       SELECT accepted_at FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = p.position + 1 LIMIT 1) o ON true
"""


# The index takes whole segments: what waits for the rest of one is not late.
INDEX = """
SELECT i.position, o.waited
  FROM (SELECT coalesce((SELECT segments FROM search_progress
                          WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s), 0)::bigint
               * %(segment)s AS position) i
  LEFT JOIN LATERAL (
       SELECT clock_timestamp() - accepted_at AS waited FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
          AND position = i.position + %(segment)s LIMIT 1) o ON true
"""


class Lag(NamedTuple):
    """How many operations wait for a stage, and for how long the first of them has."""

    position: int
    seconds: float


def scope(ledger: LedgerRef, **more: Any) -> dict[str, Any]:
    """The parameters of a statement about one ledger."""
    return {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, **more}


def operations(
    connection: Connection, ledger: LedgerRef, positions: Iterable[int]
) -> Sequence[Any]:
    """The operations at these positions, in this order; those that do not exist are left out."""
    wanted = scope(ledger, positions=arrays.integers(positions))
    return connection.exec_driver_sql(OPERATIONS, wanted).all()


def postings(connection: Connection, ledger: LedgerRef, position: int) -> Sequence[Any]:
    """The postings of one operation, with the codes and types of their accounts."""
    return connection.exec_driver_sql(POSTINGS, scope(ledger, position=position)).all()


def decisions(connection: Connection, ledger: LedgerRef, position: int) -> Sequence[Any]:
    """What was decided about one operation, in the order of the log."""
    return connection.exec_driver_sql(DECISIONS, scope(ledger, position=position)).all()


def accounts(connection: Connection, ledger: LedgerRef, codes: Iterable[str]) -> dict[str, Account]:
    """The accounts with these codes, by code."""
    wanted = scope(ledger, codes=arrays.texts(codes))
    rows = connection.exec_driver_sql(ACCOUNTS_BY_CODE, wanted)
    return {row.code: Account(*row) for row in rows}


def account(connection: Connection, ledger: LedgerRef, code: str) -> Account:
    """The account with this code; raises Problem."""
    found = accounts(connection, ledger, [code]) if CODE_PATTERN.fullmatch(code) else {}
    if code not in found:
        raise unknown_account()
    return found[code]


def unknown_account() -> Problem:
    """There is no account with the code that was named."""
    return Problem(
        "unknown_account", "GET the ledger's /accounts to see which there are.", param="account"
    )


def accounts_page(
    connection: Connection, ledger: LedgerRef, after: str, many: int
) -> list[Account]:
    """The accounts behind a code, in the order of their codes."""
    wanted = scope(ledger, after=after, many=many)
    return [Account(*row) for row in connection.exec_driver_sql(ACCOUNTS_PAGE, wanted)]


def ledgers_page(
    connection: Connection, tenant_id: int, after: str, many: int, only: Iterable[str] | None = None
) -> Sequence[Any]:
    """The tenant's ledgers behind a name, in the order of their names; `only` these if given."""
    named = None if only is None else list(only)
    wanted = {"tenant": tenant_id, "after": after, "many": many, "named": named}
    return connection.exec_driver_sql(LEDGERS_PAGE, wanted).all()


def ledger_created_at(connection: Connection, ledger: LedgerRef) -> Any:
    """When the ledger was made."""
    return connection.exec_driver_sql(LEDGER, scope(ledger)).scalar()


def progress(connection: Connection, ledger: LedgerRef) -> dict[str, Lag]:
    """How far accept and each stage have come, and how long their next operation has waited."""
    wanted = scope(ledger, stages=arrays.words(("accept", *STAGES)))
    rows = connection.exec_driver_sql(PROGRESS, wanted)
    return {
        row.stage: Lag(row.position, row.waited.total_seconds() if row.waited else 0.0)
        for row in rows
    }


def index(connection: Connection, ledger: LedgerRef) -> Lag:
    """How far the index of the log has come, and how long its next segment has been there."""
    row = connection.exec_driver_sql(INDEX, scope(ledger, segment=SEGMENT)).one()
    return Lag(row.position, row.waited.total_seconds() if row.waited else 0.0)
