"""post: apply the operations, in order, to the accounts that they touch, and write what came of it.

The books are loaded, the pure core (ledger.py, kinds/) applies, and one message writes new and
changed accounts, postings, rejections and the run, and commits. Accounts are changed by this stage
alone, under its lock, so there is nobody to fight with over them.
"""

from collections.abc import Iterable
from typing import NamedTuple

import orjson

from pipeline import arrays
from pipeline.kinds import kind_of
from pipeline.kinds.kind import Body, Kind
from pipeline.ledger import Account, Books, Posting
from pipeline.refusal import Refusal
from pipeline.stage import Claim, Operation, Refused, commit, mogrify, operations, reject

LOAD_ACCOUNTS = """
SELECT ledger, a.number, a.code, a.type, a.currency, a.overdraft, a.status, a.name, a.metadata,
       a.debits_posted, a.credits_posted, a.debits_pending, a.credits_pending, a.version
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
       debits_posted = new.debits, credits_posted = new.credits, version = new.version
  FROM unnest(%(ledgers)s::integer[], %(numbers)s::integer[], %(debits)s::bigint[],
              %(credits)s::bigint[], %(versions)s::bigint[], %(overdrafts)s::bigint[],
              %(statuses)s::text[], %(names)s::text[], %(metadata)s::text[])
       AS new (ledger, number, debits, credits, version, overdraft, status, name, metadata)
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


class Pending(NamedTuple):
    """An operation that nobody has refused so far."""

    ledger_id: int
    position: int
    kind: Kind
    body: Body


class Moved(NamedTuple):
    """An account of a ledger that a run opened, altered or moved."""

    ledger_id: int
    account: Account


def post(work: Claim) -> None:
    """Apply the operations that nobody refused; write the effect; record the runs."""
    commit(work, effect(work, operations(work)))


def effect(work: Claim, these: Iterable[Operation]) -> list[str]:
    """The statements that write what comes of the operations, in their order."""
    pending = [
        Pending(o.ledger_id, o.position, kind_of(o.kind), orjson.loads(o.body))
        for o in these
        if not o.rejected
    ]
    books = load(work, pending)
    postings: dict[int, list[Posting]] = {span.ledger_id: [] for span in work.spans}
    refusals: list[Refused] = []
    for ledger_id, position, kind, body in pending:
        entered = kind.apply(books[ledger_id], position, body)
        if isinstance(entered, Refusal):
            refusals.append((ledger_id, position, entered))
        else:
            postings[ledger_id] += entered
    return [*write_accounts(work, books), *write_postings(work, postings), reject(work, refusals)]


def load(work: Claim, pending: Iterable[Pending]) -> dict[int, Books]:
    """By ledger, the accounts that the operations name, as they are now."""
    books = {span.ledger_id: Books() for span in work.spans}
    wanted = dict.fromkeys((o.ledger_id, code) for o in pending for code in o.kind.accounts(o.body))
    ledgers = arrays.integers(ledger_id for ledger_id, _ in wanted)
    codes = arrays.texts(code for _, code in wanted)
    work.cursor.execute(LOAD_ACCOUNTS, {**work.scope, "ledgers": ledgers, "codes": codes})
    for ledger_id, *row in work.cursor.fetchall():
        account = Account(*row)
        books[ledger_id].accounts[account.code] = account
    if any(o.kind.opens for o in pending):
        work.cursor.execute(LAST_NUMBERS, work.scope)
        for ledger_id, number in work.cursor.fetchall():
            books[ledger_id].last_number = number
    return books


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
        statuses = arrays.words(account.status for _, account in altered)
        columns = {**totals(altered), **attributes(altered), "statuses": statuses}
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
