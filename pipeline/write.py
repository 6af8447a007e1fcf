"""What a run of post writes: one statement for each table, column by column."""

from typing import NamedTuple

import orjson

from pipeline import arrays
from pipeline.ledger import Account, Books, Posting
from pipeline.stage import Claim, mogrify

INSERT_ACCOUNTS = """
INSERT INTO accounts (tenant_id, ledger_id, number, code, type, currency, overdraft, name, metadata)
SELECT %(tenant)s, ledger, number, code, type, currency, overdraft, name, metadata::json
  FROM unnest(%(ledgers)s::integer[], %(numbers)s::integer[], %(codes)s::text[],
              %(types)s::text[], %(currencies)s::text[], %(overdrafts)s::bigint[],
              %(names)s::text[], %(metadata)s::text[])
       AS new (ledger, number, code, type, currency, overdraft, name, metadata);
"""

# The rows are found by index and updated by ctid (nobody else changes accounts): linear, whatever
# the planner believes about a table that has not been analyzed yet.
UPDATE_TOTALS = """
UPDATE accounts a
   SET debits_posted = new.debits, credits_posted = new.credits, version = new.version
  FROM unnest(%(ledgers)s::integer[], %(numbers)s::integer[], %(debits)s::bigint[],
              %(credits)s::bigint[], %(versions)s::bigint[])
       AS new (ledger, number, debits, credits, version)
 CROSS JOIN LATERAL (
       SELECT x.ctid FROM accounts x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = new.ledger AND x.number = new.number
        LIMIT 1) found
 WHERE a.ctid = found.ctid;
"""

UPDATE_ALL = """
UPDATE accounts a
   SET overdraft = new.overdraft, status = new.status, name = new.name,
       metadata = new.metadata::json,
       debits_posted = new.debits, credits_posted = new.credits, version = new.version,
       debits_pending = new.debits_pending, credits_pending = new.credits_pending,
       pending_version = new.pending_version
  FROM unnest(%(ledgers)s::integer[], %(numbers)s::integer[], %(debits)s::bigint[],
              %(credits)s::bigint[], %(versions)s::bigint[], %(overdrafts)s::bigint[],
              %(statuses)s::text[], %(names)s::text[], %(metadata)s::text[],
              %(debits_pending)s::bigint[], %(credits_pending)s::bigint[],
              %(pending_versions)s::bigint[])
       AS new (ledger, number, debits, credits, version, overdraft, status, name, metadata,
               debits_pending, credits_pending, pending_version)
 CROSS JOIN LATERAL (
       SELECT x.ctid FROM accounts x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = new.ledger AND x.number = new.number
        LIMIT 1) found
 WHERE a.ctid = found.ctid;
"""

INSERT_POSTINGS = """
INSERT INTO postings (position, leg, account, version, pending, amount, balance_after, currency,
                      tenant_id, ledger_id)
SELECT position, leg, account, version, pending, amount, balance_after, currency,
       %(tenant)s, ledger
  FROM unnest(%(ledgers)s::integer[], %(positions)s::bigint[], %(legs)s::smallint[],
              %(accounts)s::integer[], %(versions)s::bigint[], %(pending)s::boolean[],
              %(amounts)s::bigint[], %(balances)s::bigint[], %(currencies)s::text[])
       AS new (ledger, position, leg, account, version, pending, amount, balance_after, currency);
"""

INSERT_DECISIONS = """
INSERT INTO decisions (tenant_id, ledger_id, target, number, position, effect, amount, remaining,
                       terminal, actor)
SELECT %(tenant)s, ledger, target, number, position, effect, amount, remaining, terminal, actor
  FROM unnest(%(ledgers)s::integer[], %(targets)s::bigint[], %(numbers)s::integer[],
              %(positions)s::bigint[], %(effects)s::text[], %(amounts)s::bigint[],
              %(remainings)s::bigint[], %(terminals)s::boolean[], %(actors)s::text[])
       AS new (ledger, target, number, position, effect, amount, remaining, terminal, actor)
 ORDER BY ledger, target, number;
"""

KEEP_PENDING = """
INSERT INTO pending_operations (tenant_id, ledger_id, target, effect, due_at, number)
SELECT %(tenant)s, ledger, target, effect, due_at, number
  FROM unnest(%(ledgers)s::integer[], %(targets)s::bigint[], %(effects)s::text[],
              %(dues)s::timestamptz[], %(numbers)s::integer[])
       AS new (ledger, target, effect, due_at, number)
    ON CONFLICT (tenant_id, ledger_id, target)
    DO UPDATE SET effect = excluded.effect, due_at = excluded.due_at, number = excluded.number;
"""

END_PENDING = """
DELETE FROM pending_operations p
 USING unnest(%(ledgers)s::integer[], %(targets)s::bigint[]) AS ended (ledger, target)
 WHERE p.tenant_id = %(tenant)s AND p.ledger_id = ended.ledger AND p.target = ended.target;
"""


class Moved(NamedTuple):
    """An account of a ledger that a run opened, altered or moved."""

    ledger_id: int
    account: Account


def write_accounts(work: Claim, books: dict[int, Books]) -> list[str]:
    """The statements that bring the accounts to where the books are.

    An account whose attributes changed is written in one go with its totals: between an overdraft
    and the balance that needs it there is no order in which the limit would hold in two steps.
    """
    opened = [Moved(id_, account) for id_, b in books.items() for account in b.opened]
    altered = [Moved(id_, account) for id_, b in books.items() for account in b.altered.values()]
    moved = [
        Moved(id_, account)
        for id_, b in books.items()
        for code, account in b.moved.items()
        if code not in b.altered
    ]
    statements = []
    if opened:
        statements.append(insert_accounts(work, opened))
    if altered:
        columns = {**totals(altered), **attributes(altered), **reserved(altered)}
        statements.append(mogrify(work, UPDATE_ALL, **columns))
    if moved:
        statements.append(mogrify(work, UPDATE_TOTALS, **totals(moved)))
    return statements


def insert_accounts(work: Claim, opened: list[Moved]) -> str:
    """New accounts, with empty totals."""
    return mogrify(
        work,
        INSERT_ACCOUNTS,
        **numbers(opened),
        codes=arrays.texts(a.code for _, a in opened),
        types=arrays.words(a.type for _, a in opened),
        currencies=arrays.words(a.currency for _, a in opened),
        **attributes(opened),
    )


def numbers(accounts: list[Moved]) -> dict[str, str]:
    """The columns that name the accounts."""
    return {
        "ledgers": arrays.integers(ledger_id for ledger_id, _ in accounts),
        "numbers": arrays.integers(a.number for _, a in accounts),
    }


def totals(accounts: list[Moved]) -> dict[str, str]:
    """The columns that postings change."""
    return {
        **numbers(accounts),
        "debits": arrays.integers(a.debits_posted for _, a in accounts),
        "credits": arrays.integers(a.credits_posted for _, a in accounts),
        "versions": arrays.integers(a.version for _, a in accounts),
    }


def reserved(accounts: list[Moved]) -> dict[str, str]:
    """The columns that holds change, and the status."""
    return {
        "debits_pending": arrays.integers(a.debits_pending for _, a in accounts),
        "credits_pending": arrays.integers(a.credits_pending for _, a in accounts),
        "pending_versions": arrays.integers(a.pending_version for _, a in accounts),
        "statuses": arrays.words(a.status for _, a in accounts),
    }


def attributes(accounts: list[Moved]) -> dict[str, str]:
    """The columns that operations about the account itself change."""
    return {
        "overdrafts": arrays.integers(a.overdraft for _, a in accounts),
        "names": arrays.texts(a.name for _, a in accounts),
        "metadata": arrays.texts(
            None if a.metadata is None else orjson.dumps(a.metadata).decode() for _, a in accounts
        ),
    }


def write_postings(work: Claim, postings: dict[int, list[Posting]]) -> list[str]:
    """The statement that writes the postings, column by column."""
    every = [posting for of_ledger in postings.values() for posting in of_ledger]
    if not every:
        return []
    ledgers = [ledger_id for ledger_id, of_ledger in postings.items() for _ in of_ledger]
    positions, legs, accounts, versions, pending, amounts, balances, currencies = zip(
        *every, strict=True
    )
    statement = mogrify(
        work,
        INSERT_POSTINGS,
        ledgers=arrays.integers(ledgers),
        positions=arrays.integers(positions),
        legs=arrays.integers(legs),
        accounts=arrays.integers(accounts),
        versions=arrays.integers(versions),
        pending=arrays.booleans(pending),
        amounts=arrays.integers(amounts),
        balances=arrays.integers(balances),
        currencies=arrays.words(currencies),
    )
    return [statement]


def write_decisions(work: Claim, books: dict[int, Books]) -> list[str]:
    """The statements that write who decided what, and what is pending now."""
    decided = [(id_, decision) for id_, b in books.items() for decision in b.decisions]
    if not decided:
        return write_pending(work, books)
    statement = mogrify(
        work,
        INSERT_DECISIONS,
        ledgers=arrays.integers(ledger_id for ledger_id, _ in decided),
        targets=arrays.integers(d.target for _, d in decided),
        numbers=arrays.integers(d.number for _, d in decided),
        positions=arrays.integers(d.position for _, d in decided),
        effects=arrays.words(d.effect for _, d in decided),
        amounts=arrays.integers(d.amount for _, d in decided),
        remainings=arrays.integers(d.remaining for _, d in decided),
        terminals=arrays.booleans(d.terminal for _, d in decided),
        actors=arrays.texts(d.actor for _, d in decided),
    )
    return [statement, *write_pending(work, books)]


def write_pending(work: Claim, books: dict[int, Books]) -> list[str]:
    """The statements that keep what is pending, and end what is not any more."""
    kept = [(id_, at, p) for id_, b in books.items() for at, p in b.pending.items() if p]
    ended = [(id_, at) for id_, b in books.items() for at, p in b.pending.items() if p is None]
    statements = []
    if kept:
        dues = (None if p.due_at is None else p.due_at.isoformat() for _, _, p in kept)
        columns = {
            "ledgers": arrays.integers(ledger_id for ledger_id, _, _ in kept),
            "targets": arrays.integers(target for _, target, _ in kept),
            "effects": arrays.words(p.effect for _, _, p in kept),
            "dues": arrays.texts(dues),
            "numbers": arrays.integers(p.number for _, _, p in kept),
        }
        statements.append(mogrify(work, KEEP_PENDING, **columns))
    if ended:
        columns = {
            "ledgers": arrays.integers(ledger_id for ledger_id, _ in ended),
            "targets": arrays.integers(target for _, target in ended),
        }
        statements.append(mogrify(work, END_PENDING, **columns))
    return statements
