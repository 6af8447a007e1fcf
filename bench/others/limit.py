"""The limit: the same rows as Trident writes, by the leanest set-based SQL that we know.

No Python for any operation, no Celery, no API. But the same role under the same row-level security,
the same guards and triggers, durable commits, and every row that Trident would leave: operations
and keys, five runs, accounts, postings with versions and balances, audit blocks, the word to those
who wait. `trident verify` finds nothing wrong with such a ledger. What is left out is what makes
Trident more than a loop of statements: submissions stand in a table beforehand, nothing is looked
up, refused or retried, and a row that breaks a rule ends it.

Three connections work side by side, each behind the one before, in runs of RUN operations: accept;
validate, authorize and post; audit and notify. More would have no core to run on, and fewer were
slower.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Queue

from bench.measure import PRINCIPAL, owner_connection
from models.db import app_engine, raw_connection
from models.ledger import LedgerRef
from pipeline.arrays import texts
from pipeline.notify import CHANNEL
from pipeline.receipt import Submission
from pipeline.stage import LOCKS

RUN = 10_000
# Rows of one INSERT into the staging table, which is not measured.
STAGE_ROWS = 20_000

STAGING = """
CREATE SCHEMA IF NOT EXISTS bench;
GRANT USAGE ON SCHEMA bench TO trident_app;
CREATE TABLE IF NOT EXISTS bench.submissions (
    ledger_id integer NOT NULL,
    position  bigint NOT NULL,
    key       text NOT NULL,
    body      json NOT NULL,
    principal json NOT NULL,
    PRIMARY KEY (ledger_id, position)
);
GRANT SELECT, INSERT, DELETE ON bench.submissions TO trident_app;

-- RFC 6962 as pipeline/merkle.py has it: a node without a neighbour moves up as it is.
CREATE OR REPLACE FUNCTION bench.merkle_root(leaves bytea[]) RETURNS bytea
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    level bytea[] := leaves;
BEGIN
    WHILE cardinality(level) > 1 LOOP
        level := (
            SELECT array_agg(CASE WHEN beside IS NULL THEN node
                                  ELSE sha256('\\x01'::bytea || node || beside) END ORDER BY n)
              FROM (SELECT n, node, lead(node) OVER (ORDER BY n) AS beside
                      FROM unnest(level) WITH ORDINALITY u (node, n)) pairs
             WHERE n % 2 = 1);
    END LOOP;
    RETURN level[1];
END $$;
"""

STAGE = """
INSERT INTO bench.submissions
SELECT %(ledger)s, %(first)s + n - 1, key, body::json, %(principal)s::json
  FROM unnest(%(keys)s::text[], %(bodies)s::text[]) WITH ORDINALITY AS new (key, body, n)
"""

# Statistics do not know this ledger yet, and a nested loop over what "has one row" goes quadratic:
# 13 s instead of 1 s for 50,000. Look-ups by LATERAL are nested loops all the same.
BEGIN = """
BEGIN;
SELECT set_config('trident.tenant', %(tenant)s::text, true),
       set_config('enable_nestloop', 'off', true);
"""

# The id is that of models/operation.py: ledger, version 8, position, variant, random bits.
ACCEPT = """
WITH new AS MATERIALIZED (
    SELECT position, key, body, principal FROM bench.submissions
     WHERE ledger_id = %(ledger)s AND position BETWEEN %(first)s AND %(last)s
), logged AS (
    INSERT INTO operations (position, accepted_at, tenant_id, ledger_id, id, kind,
                            idempotency_key, body, principal)
    SELECT position, (SELECT clock_timestamp()), %(tenant)s, %(ledger)s,
           (lpad(to_hex(%(ledger)s), 8, '0') || lpad(to_hex(position >> 24), 4, '0')
            || '8' || lpad(to_hex((position >> 12) & 4095), 3, '0')
            || to_hex(32768 | ((position & 4095) << 2) | floor(random() * 4)::int)
            || right(gen_random_uuid()::text, 12))::uuid,
           'transfer', key, body, principal
      FROM new ORDER BY position
)
INSERT INTO idempotency_keys (position, tenant_id, ledger_id, key_hash)
SELECT position, %(tenant)s, %(ledger)s, key_hash
  FROM (SELECT position, encode(substr(sha256(convert_to(key, 'UTF8')), 1, 16), 'hex')::uuid
               AS key_hash FROM new) hashed
 ORDER BY key_hash;
COMMIT
"""

RUN_OF = """
INSERT INTO runs (from_position, to_position, tenant_id, ledger_id, stage)
VALUES (%(first)s, %(last)s, %(tenant)s, %(ledger)s, '{stage}');
"""

POST = """
WITH numbers AS MATERIALIZED (
    SELECT code, number FROM accounts WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
), bodies AS MATERIALIZED (
    SELECT o.position, b.source, b.destination, b.amount, b.currency
      FROM operations o
     CROSS JOIN json_to_record(o.body)
           AS b (source text, destination text, amount bigint, currency text)
     WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s
       AND o.position BETWEEN %(first)s AND %(last)s
), transfers AS MATERIALIZED (
    SELECT b.position, b.amount, b.currency, s.number AS source, d.number AS destination
      FROM bodies b
      JOIN numbers s ON s.code = b.source
      JOIN numbers d ON d.code = b.destination
), legs AS MATERIALIZED (
    SELECT position, leg, account, amount, currency,
           row_number() OVER chain AS nth, (sum(amount) OVER chain)::bigint AS moved
      FROM (SELECT position, 0 AS leg, source AS account, -amount AS amount, currency
              FROM transfers
             UNION ALL
            SELECT position, 1, destination, amount, currency FROM transfers) both_legs
    WINDOW chain AS (PARTITION BY account ORDER BY position)
), totals AS (
    UPDATE accounts a
       SET debits_posted = a.debits_posted + t.debits,
           credits_posted = a.credits_posted + t.credits,
           version = a.version + t.legs
      FROM (SELECT account, count(*) AS legs,
                   coalesce(-sum(amount) FILTER (WHERE amount < 0), 0)::bigint AS debits,
                   coalesce(sum(amount) FILTER (WHERE amount > 0), 0)::bigint AS credits
              FROM legs GROUP BY account) t
     CROSS JOIN LATERAL (
           SELECT x.ctid FROM accounts x
            WHERE x.tenant_id = %(tenant)s AND x.ledger_id = %(ledger)s
              AND x.number = t.account LIMIT 1) found
     WHERE a.ctid = found.ctid
    RETURNING a.number, a.version - t.legs AS version,
              a.credits_posted - t.credits - a.debits_posted + t.debits AS balance
)
INSERT INTO postings (position, leg, account, version, pending, amount, balance_after, currency,
                      tenant_id, ledger_id)
SELECT l.position, l.leg, l.account, t.version + l.nth, false, l.amount, t.balance + l.moved,
       l.currency, %(tenant)s, %(ledger)s
  FROM legs l JOIN totals t ON t.number = l.account
 ORDER BY l.position, l.leg;
"""

# The leaf is that of pipeline/audit.py for an operation without rejection.
AUDIT = """
WITH legs AS MATERIALIZED (
    SELECT position, count(*) AS count, string_agg(
               int2send(leg) || int4send(account) || int8send(version) || boolsend(pending)
               || int8send(amount) || int8send(balance_after) || convert_to(currency, 'UTF8'),
               ''::bytea ORDER BY leg) AS bytes
      FROM postings
     WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
       AND position BETWEEN %(first)s AND %(last)s
     GROUP BY position
), sealed AS MATERIALIZED (
    SELECT bench.merkle_root(array_agg(
               sha256('\\x00'::bytea || int4send(o.tenant_id) || int4send(o.ledger_id)
                   || int8send(o.position) || uuid_send(o.id) || timestamptz_send(o.accepted_at)
                   || int4send(octet_length(o.kind)) || convert_to(o.kind, 'UTF8')
                   || int4send(octet_length(o.idempotency_key))
                   || convert_to(o.idempotency_key, 'UTF8')
                   || int4send(octet_length(o.body::text)) || convert_to(o.body::text, 'UTF8')
                   || int4send(octet_length(o.principal::text))
                   || convert_to(o.principal::text, 'UTF8')
                   || int4send(l.count::integer) || l.bytes) ORDER BY o.position)) AS root,
           count(*) AS leaves
      FROM operations o JOIN legs l USING (position)
     WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s
       AND o.position BETWEEN %(first)s AND %(last)s
), block AS (
    SELECT coalesce(b.height, 0) + 1 AS height, s.leaves, s.root,
           coalesce(b.hash, decode(repeat('00', 32), 'hex')) AS previous
      FROM sealed s
      LEFT JOIN LATERAL (
           SELECT height, hash FROM audit_blocks
            WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s
            ORDER BY height DESC LIMIT 1) b ON true
)
INSERT INTO audit_blocks (tenant_id, ledger_id, height, from_position, to_position, leaf_count,
                          previous_hash, root, hash)
SELECT %(tenant)s, %(ledger)s, height, %(first)s, %(last)s, leaves, previous, root,
       sha256(convert_to('trident-block-1', 'UTF8') || int8send(%(tenant)s)
              || int8send(%(ledger)s) || int8send(height) || int8send(%(first)s)
              || int8send(%(last)s) || int8send(leaves) || previous || root)
  FROM block;
"""

TELL = f"""
SELECT pg_notify('{CHANNEL}', %(tenant)s || ':' || %(ledger)s || ':' || %(last)s);
"""

LANES = (
    BEGIN + ACCEPT,
    BEGIN + RUN_OF.format(stage="validate") + RUN_OF.format(stage="authorize") + POST
    + RUN_OF.format(stage="post") + "COMMIT",
    BEGIN + AUDIT + RUN_OF.format(stage="audit") + TELL + RUN_OF.format(stage="notify")
    + "COMMIT",
)  # fmt: skip

Span = tuple[int, int]  # the first and the last position of a run


def prepare() -> None:
    """The staging table and the function that makes a Merkle root, in a schema of their own."""
    with owner_connection() as connection, connection.cursor() as cursor:
        cursor.execute(STAGING)


def stage(ledger: LedgerRef, first: int, submissions: Sequence[Submission]) -> None:
    """Lay transfers ready for the ledger's positions from `first` on."""
    with raw_connection(app_engine()) as connection, connection.cursor() as cursor:
        for start in range(0, len(submissions), STAGE_ROWS):
            part = submissions[start : start + STAGE_ROWS]
            columns = {
                "keys": texts(submission.key for submission in part),
                "bodies": texts(submission.body.decode() for submission in part),
                "principal": PRINCIPAL.decode(),
            }
            scope = {"ledger": ledger.ledger_id, "first": first + start}
            cursor.execute(STAGE, {**scope, **columns})


def clear(ledger: LedgerRef) -> None:
    """Forget what lay ready and has been written."""
    with raw_connection(app_engine()) as connection, connection.cursor() as cursor:
        cursor.execute("DELETE FROM bench.submissions WHERE ledger_id = %s", (ledger.ledger_id,))


def write(ledger: LedgerRef, first: int, last: int) -> tuple[float, ...]:
    """Take what lies ready through accept and the five stages, committed run by run.

    When the last run of each of the LANES was committed, in seconds since 1970.
    """
    spans = ((start, min(start + RUN - 1, last)) for start in range(first, last + 1, RUN))
    queues: list[Queue[Span | None]] = [Queue() for _ in LANES[1:]]
    with shut_to_workers(ledger), ThreadPoolExecutor(len(LANES)) as lanes:
        given = [spans, *(iter(queue.get, None) for queue in queues)]
        taken = [*queues, None]
        working = [
            lanes.submit(_work, ledger, *lane) for lane in zip(LANES, given, taken, strict=True)
        ]
    return tuple(lane.result() for lane in working)


def _work(
    ledger: LedgerRef, statements: str, given: Iterable[Span], taken: Queue[Span | None] | None
) -> float:
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    try:
        with raw_connection(app_engine()) as connection, connection.cursor() as cursor:
            for span in given:
                first, last = span
                cursor.execute(statements, {**scope, "first": first, "last": last})
                if taken is not None:
                    taken.put(span)
        return time.time()
    finally:
        if taken is not None:
            taken.put(None)


@contextmanager
def shut_to_workers(ledger: LedgerRef) -> Iterator[None]:
    """Hold the locks of all stages, so that Trident's sweeper finds nobody to do it for us."""
    with raw_connection(app_engine()) as connection, connection.cursor() as cursor:
        for lock in LOCKS.values():
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", (lock, ledger.ledger_id))
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock_all()")
