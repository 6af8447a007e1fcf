"""What a run needs before it applies its operations: accounts, and operations that they name."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import orjson

from models.operation import parse_id
from pipeline import arrays
from pipeline.decide import is_waiting, position_of
from pipeline.kinds import kind_of
from pipeline.ledger import Account, Books, Decision, Entry, Pending, Target
from pipeline.rules import load_settings, load_usage
from pipeline.stage import Claim

LOAD_ACCOUNTS = """
SELECT ledger, a.number, a.code, a.type, a.currency, a.overdraft, a.status, a.name, a.metadata,
       a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending, a.version,
       a.pending_version
  FROM unnest(%(ledgers)s::integer[], %(codes)s::text[]) AS wanted (ledger, code)
 CROSS JOIN LATERAL (
       SELECT * FROM accounts x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = wanted.ledger AND x.code = wanted.code
        LIMIT 1) a
"""

LAST_NUMBERS = """
SELECT ledger, coalesce((SELECT max(number) FROM accounts
                          WHERE tenant_id = %(tenant)s AND ledger_id = ledger), 0)
  FROM unnest(%(ledgers)s::integer[]) ledger
"""

# A target as it was before the position `before`: what came of it since, the run itself will say.
TARGETS = """
SELECT wanted.ledger, o.id, o.position, o.kind, o.body::text, o.accepted_at, o.principal::text,
       r.position IS NOT NULL, p.effect, p.due_at, p.number,
       d.number, d.position, d.effect, d.amount, d.remaining, d.terminal, d.actor
  FROM unnest(%(ledgers)s::integer[], %(positions)s::bigint[], %(befores)s::bigint[])
       AS wanted (ledger, position, before)
 CROSS JOIN LATERAL (
       SELECT * FROM operations
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger
          AND position = wanted.position LIMIT 1) o
  LEFT JOIN LATERAL (
       SELECT position FROM rejections
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger
          AND position = wanted.position LIMIT 1) r ON true
  LEFT JOIN LATERAL (
       SELECT effect, due_at, number FROM pending_operations
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger
          AND target = wanted.position LIMIT 1) p ON true
  LEFT JOIN LATERAL (
       SELECT * FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger
          AND target = wanted.position AND position < wanted.before
        ORDER BY number DESC LIMIT 1) d ON true
"""

TARGET_LEGS = """
SELECT wanted.ledger, wanted.position, a.code, p.amount, p.currency
  FROM unnest(%(ledgers)s::integer[], %(positions)s::bigint[]) AS wanted (ledger, position)
 CROSS JOIN LATERAL (
       SELECT * FROM postings
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger
          AND position = wanted.position AND NOT pending OFFSET 0) p
 CROSS JOIN LATERAL (
       SELECT code FROM accounts
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger AND number = p.account
        LIMIT 1) a
 ORDER BY wanted.ledger, wanted.position, p.leg
"""


APPROVERS = """
SELECT wanted.ledger, wanted.position, d.actor
  FROM unnest(%(ledgers)s::integer[], %(positions)s::bigint[], %(befores)s::bigint[])
       AS wanted (ledger, position, before)
 CROSS JOIN LATERAL (
       SELECT number, actor FROM decisions
        WHERE tenant_id = %(tenant)s AND ledger_id = wanted.ledger
          AND target = wanted.position AND position < wanted.before
          AND effect = 'approve' OFFSET 0) d
 ORDER BY wanted.ledger, wanted.position, d.number
"""


def load(work: Claim, entries: Sequence[Entry]) -> dict[int, Books]:
    """By ledger, what the operations touch, as it is now."""
    books = {span.ledger_id: Books() for span in work.spans}
    firsts = {span.ledger_id: span.first for span in work.spans}
    load_settings(work.cursor, work.tenant_id, books)
    load_targets(work.cursor, work.tenant_id, books, entries, firsts)
    load_accounts(work.cursor, work.tenant_id, books, entries)
    may_open = any(of_ledger.settings.accounts for of_ledger in books.values())
    if may_open or any(kind_of(entry.kind).opens for entry in entries):
        work.cursor.execute(LAST_NUMBERS, work.scope)
        for ledger_id, number in work.cursor.fetchall():
            books[ledger_id].last_number = number
    load_usage(work, books, entries)
    return books


def load_accounts(
    cursor: Any, tenant_id: int, books: dict[int, Books], entries: Sequence[Entry]
) -> None:
    """The accounts that the operations and their targets name."""
    wanted = dict.fromkeys(
        (entry.ledger_id, code)
        for entry in entries
        for code in kind_of(entry.kind).accounts(entry.body)
    )
    for ledger_id, of_ledger in books.items():
        for target in of_ledger.targets.values():
            codes = kind_of(target.entry.kind).accounts(target.entry.body)
            for code in (*codes, *(leg[0] for leg in target.legs)):
                wanted[ledger_id, code] = None
    ledgers = arrays.integers(ledger_id for ledger_id, _ in wanted)
    codes = arrays.texts(code for _, code in wanted)
    cursor.execute(LOAD_ACCOUNTS, {"tenant": tenant_id, "ledgers": ledgers, "codes": codes})
    for ledger_id, *row in cursor.fetchall():
        account = Account(*row)
        books[ledger_id].accounts[account.code] = account


def load_targets(
    cursor: Any,
    tenant_id: int,
    books: dict[int, Books],
    entries: Iterable[Entry],
    firsts: dict[int, int],
) -> None:
    """The operations that these name, those that they name in turn, and so on.

    As they were before the first positions, by ledger. Of what was approved, what was posted too.
    What was rejected did nothing, so what it named is nobody's business: a chain of operations
    each of which names the one before ends at the first that was refused.
    """
    wanted = _unknown_targets(books, entries)
    while wanted:
        found = _read_targets(cursor, tenant_id, wanted, firsts)
        for ledger_id, target in found:
            books[ledger_id].targets[target.entry.position] = target
        wanted = _unknown_targets(books, [t.entry for _, t in found if not t.rejected])
        for ledger_id, target in found:
            last = target.last
            if last is not None and last.effect == "approve" and last.terminal:
                wanted.append((ledger_id, last.position))
        wanted = [(id_, at) for id_, at in dict.fromkeys(wanted) if at not in books[id_].targets]


def _unknown_targets(books: dict[int, Books], entries: Iterable[Entry]) -> list[tuple[int, int]]:
    """Ledger and position of each."""
    wanted: dict[tuple[int, int], None] = {}
    for entry in entries:
        for shown in kind_of(entry.kind).targets(entry.body):
            position = position_of(parse_id(shown), entry.ledger_id)
            if position is not None and position not in books[entry.ledger_id].targets:
                wanted[entry.ledger_id, position] = None
    return list(wanted)


def _read_targets(
    cursor: Any, tenant_id: int, wanted: list[tuple[int, int]], firsts: dict[int, int]
) -> list[tuple[int, Target]]:
    scope = {
        "tenant": tenant_id,
        "ledgers": arrays.integers(ledger_id for ledger_id, _ in wanted),
        "positions": arrays.integers(position for _, position in wanted),
        "befores": arrays.integers(firsts[ledger_id] for ledger_id, _ in wanted),
    }
    cursor.execute(TARGETS, scope)
    found = {(row[0], row[2]): _target(row) for row in cursor.fetchall()}
    cursor.execute(TARGET_LEGS, scope)
    for ledger_id, position, *leg in cursor.fetchall():
        found[ledger_id, position].legs.append((leg[0], leg[1], leg[2]))
    if any(is_waiting(target) for target in found.values()):
        cursor.execute(APPROVERS, scope)
        for ledger_id, position, actor in cursor.fetchall():
            target = found[ledger_id, position]
            target.approvers = (*target.approvers, actor)
    return [(ledger_id, target) for (ledger_id, _), target in found.items()]


def _target(row: tuple[Any, ...]) -> Target:
    ledger_id, id_, position, kind, body, accepted_at, principal, rejected, *rest = row
    entry = Entry(ledger_id, position, kind, orjson.loads(body), accepted_at, principal)
    pending = None if rest[0] is None else Pending(*rest[:3])
    last = None if rest[3] is None else Decision(position, *rest[3:])
    id_ = id_ if isinstance(id_, UUID) else UUID(id_)
    return Target(id_, entry, rejected, last, pending=pending)
