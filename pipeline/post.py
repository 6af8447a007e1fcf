"""post: apply the operations, in order, to the accounts that they touch, and write what came of it.

The books are loaded, the pure core (ledger.py, kinds/) applies, and one message writes new and
changed accounts, postings, rejections and the run, and commits. Accounts are changed by this stage
alone, under its lock, so there is nobody to fight with over them.
"""

from collections.abc import Iterable

import orjson

from pipeline import arrays
from pipeline.kinds import kind_of
from pipeline.ledger import Account, Books, Posting
from pipeline.refusal import Refusal
from pipeline.stage import Claim, commit, mogrify, operations, reject

LOAD_ACCOUNTS = """
SELECT number, code, type, currency, overdraft, status, name, metadata,
       debits_posted, credits_posted, debits_pending, credits_pending, version
  FROM accounts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND code = ANY(%(codes)s::text[])
"""

LAST_NUMBER = """
SELECT coalesce(max(number), 0) FROM accounts
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
"""

INSERT_ACCOUNTS = """
INSERT INTO accounts (tenant_id, ledger_id, number, code, type, currency, overdraft, name, metadata)
SELECT %(tenant)s, %(ledger)s, number, code, type, currency, overdraft, name, metadata::json
  FROM unnest(%(numbers)s::integer[], %(codes)s::text[], %(types)s::text[],
              %(currencies)s::text[], %(overdrafts)s::bigint[], %(names)s::text[],
              %(metadata)s::text[])
       AS new (number, code, type, currency, overdraft, name, metadata);
"""

# The rows are found by index and updated by ctid (nobody else changes accounts): linear, whatever
# the planner believes about a table that has not been analyzed yet.
UPDATE_TOTALS = """
UPDATE accounts a
   SET debits_posted = new.debits, credits_posted = new.credits, version = new.version
  FROM unnest(%(numbers)s::integer[], %(debits)s::bigint[], %(credits)s::bigint[],
              %(versions)s::bigint[])
       AS new (number, debits, credits, version)
 CROSS JOIN LATERAL (
       SELECT x.ctid FROM accounts x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = %(ledger)s AND x.number = new.number
        LIMIT 1) found
 WHERE a.ctid = found.ctid;
"""

UPDATE_ALL = """
UPDATE accounts a
   SET overdraft = new.overdraft, status = new.status, name = new.name,
       metadata = new.metadata::json,
       debits_posted = new.debits, credits_posted = new.credits, version = new.version
  FROM unnest(%(numbers)s::integer[], %(debits)s::bigint[], %(credits)s::bigint[],
              %(versions)s::bigint[], %(overdrafts)s::bigint[], %(statuses)s::text[],
              %(names)s::text[], %(metadata)s::text[])
       AS new (number, debits, credits, version, overdraft, status, name, metadata)
 CROSS JOIN LATERAL (
       SELECT x.ctid FROM accounts x
        WHERE x.tenant_id = %(tenant)s AND x.ledger_id = %(ledger)s AND x.number = new.number
        LIMIT 1) found
 WHERE a.ctid = found.ctid;
"""

INSERT_POSTINGS = """
INSERT INTO postings (position, leg, account, version, pending, amount, balance_after, currency,
                      tenant_id, ledger_id)
SELECT position, leg, account, version, pending, amount, balance_after, currency,
       %(tenant)s, %(ledger)s
  FROM unnest(%(positions)s::bigint[], %(legs)s::smallint[], %(accounts)s::integer[],
              %(versions)s::bigint[], %(pending)s::boolean[], %(amounts)s::bigint[],
              %(balances)s::bigint[], %(currencies)s::text[])
       AS new (position, leg, account, version, pending, amount, balance_after, currency);
"""


def post(work: Claim) -> None:
    """Apply the operations that nobody refused; write the effect; record the run."""
    pending = [
        (operation.position, kind_of(operation.kind), orjson.loads(operation.body))
        for operation in operations(work)
        if not operation.rejected
    ]
    books = load(work, {code for _, kind, body in pending for code in kind.accounts(body)})
    postings: list[Posting] = []
    refusals: list[tuple[int, Refusal]] = []
    for position, kind, body in pending:
        effect = kind.apply(books, position, body)
        if isinstance(effect, Refusal):
            refusals.append((position, effect))
        else:
            postings += effect
    statements = [*write_accounts(work, books), *write_postings(work, postings)]
    commit(work, [*statements, reject(work, refusals)])


def load(work: Claim, codes: Iterable[str]) -> Books:
    """The accounts with these codes, as they are now."""
    books = Books()
    work.cursor.execute(LAST_NUMBER, work.scope)
    (books.last_number,) = work.cursor.fetchone()
    work.cursor.execute(LOAD_ACCOUNTS, {**work.scope, "codes": arrays.texts(codes)})
    for row in work.cursor.fetchall():
        account = Account(*row)
        books.accounts[account.code] = account
    return books


def write_accounts(work: Claim, books: Books) -> list[str]:
    """The statements that bring the accounts to where the books are.

    An account whose attributes changed is written in one go with its totals: between an overdraft
    and the balance that needs it there is no order in which the limit would hold in two steps.
    """
    statements = []
    if books.opened:
        statements.append(insert_accounts(work, books.opened))
    altered = list(books.altered.values())
    if altered:
        statuses = arrays.words(a.status for a in altered)
        columns = {**totals(altered), **attributes(altered), "statuses": statuses}
        statements.append(mogrify(work, UPDATE_ALL, **columns))
    moved = [a for code, a in books.moved.items() if code not in books.altered]
    if moved:
        statements.append(mogrify(work, UPDATE_TOTALS, **totals(moved)))
    return statements


def insert_accounts(work: Claim, opened: list[Account]) -> str:
    """New accounts, with empty totals."""
    return mogrify(
        work,
        INSERT_ACCOUNTS,
        numbers=arrays.integers(a.number for a in opened),
        codes=arrays.texts(a.code for a in opened),
        types=arrays.words(a.type for a in opened),
        currencies=arrays.words(a.currency for a in opened),
        **attributes(opened),
    )


def totals(accounts: list[Account]) -> dict[str, str]:
    """The columns that postings change."""
    return {
        "numbers": arrays.integers(a.number for a in accounts),
        "debits": arrays.integers(a.debits_posted for a in accounts),
        "credits": arrays.integers(a.credits_posted for a in accounts),
        "versions": arrays.integers(a.version for a in accounts),
    }


def attributes(accounts: list[Account]) -> dict[str, str]:
    """The columns that operations about the account itself change."""
    return {
        "overdrafts": arrays.integers(a.overdraft for a in accounts),
        "names": arrays.texts(a.name for a in accounts),
        "metadata": arrays.texts(
            None if a.metadata is None else orjson.dumps(a.metadata).decode() for a in accounts
        ),
    }


def write_postings(work: Claim, postings: list[Posting]) -> list[str]:
    """The statement that writes the postings, column by column."""
    if not postings:
        return []
    columns = zip(*postings, strict=True)
    positions, legs, accounts, versions, pending, amounts, balances, currencies = columns
    statement = mogrify(
        work,
        INSERT_POSTINGS,
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
