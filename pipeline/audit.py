"""audit: seal each run of operations, with their outcomes and postings, into a chain of blocks.

A leaf is SHA-256(0x00 || every stored field of the operation, its rejection, its postings and
its decisions), each field of variable length behind its length. Postgres computes it from the rows
themselves.

Each position must have exactly one of: a rejection; two or more postings; a decision, of itself or
of another operation, with or without postings; a kind that has none. Anything else stops the ledger
here and raises the alarm: absence never passes for success.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline import arrays
from pipeline.merkle import GENESIS, block_hash, root
from pipeline.outcome import fault_of
from pipeline.stage import Claim, Span, alert, commit, mogrify, scope


class AuditStopError(Exception):
    """An operation has no outcome, or two. The ledger's audit stops until a person has looked."""


class Head(NamedTuple):
    """The newest block of a ledger: what is kept outside the database."""

    height: int
    last: int
    hash: bytes


# A group has postings where its members have, so it is judged by its body.
# OFFSET 0 keeps the planner from joining the whole log where one index range per span is meant.
# timestamptz_send is microseconds since 2000-01-01 UTC, 8 bytes; the integers are big-endian.
LEAVES = """
SELECT o.ledger_id, o.position, o.kind,
       CASE o.kind WHEN 'group' THEN o.body::text END,
       r.position IS NOT NULL, legs.count,
       decided.bytes IS NOT NULL,
       sha256('\\x00'::bytea || int4send(o.tenant_id) || int4send(o.ledger_id)
           || int8send(o.position) || uuid_send(o.id) || timestamptz_send(o.accepted_at)
           || int4send(octet_length(o.kind)) || convert_to(o.kind, 'UTF8')
           || int4send(octet_length(o.idempotency_key)) || convert_to(o.idempotency_key, 'UTF8')
           || int4send(octet_length(o.body::text)) || convert_to(o.body::text, 'UTF8')
           || int4send(octet_length(o.principal::text)) || convert_to(o.principal::text, 'UTF8')
           || CASE WHEN r.position IS NULL THEN ''::bytea ELSE
                '\\x01'::bytea
                || int4send(octet_length(r.stage)) || convert_to(r.stage, 'UTF8')
                || int4send(octet_length(r.code)) || convert_to(r.code, 'UTF8')
                || int4send(octet_length(r.detail::text)) || convert_to(r.detail::text, 'UTF8')
              END
           || int4send(legs.count::integer) || coalesce(legs.bytes, ''::bytea)
           || coalesce(decided.bytes, ''::bytea))
  FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[])
       AS s (ledger, first, last)
 CROSS JOIN LATERAL (
       SELECT * FROM operations o
        WHERE o.tenant_id = %(tenant)s AND o.ledger_id = s.ledger
          AND o.position BETWEEN s.first AND s.last OFFSET 0) o
  LEFT JOIN LATERAL (
       SELECT * FROM rejections r
        WHERE r.tenant_id = %(tenant)s AND r.ledger_id = o.ledger_id
          AND r.position = o.position LIMIT 1) r ON true
 CROSS JOIN LATERAL (
       SELECT count(*) AS count, string_agg(
                  int2send(leg) || int4send(account) || int8send(version)
                  || boolsend(pending)
                  || int8send(amount) || int8send(balance_after) || convert_to(currency, 'UTF8'),
                  ''::bytea ORDER BY leg) AS bytes
         FROM postings p
        WHERE p.tenant_id = %(tenant)s AND p.ledger_id = o.ledger_id
          AND p.position = o.position) legs
 CROSS JOIN LATERAL (
       SELECT CASE WHEN (o.ledger_id, o.position) IN (
                  SELECT s.ledger, d.position
                    FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[])
                         AS s (ledger, first, last)
                   CROSS JOIN LATERAL (
                         SELECT position FROM decisions
                          WHERE tenant_id = %(tenant)s AND ledger_id = s.ledger
                            AND position BETWEEN s.first AND s.last OFFSET 0) d)
              THEN (
       SELECT '\\x02'::bytea || int4send(count(*)::integer) || string_agg(
                  int8send(target) || int4send(number)
                  || int4send(octet_length(effect)) || convert_to(effect, 'UTF8')
                  || int8send(coalesce(amount, -1)) || int8send(coalesce(remaining, -1))
                  || boolsend(terminal)
                  || int4send(octet_length(actor)) || convert_to(actor, 'UTF8'),
                  ''::bytea ORDER BY target, number)
         FROM decisions d
        WHERE d.tenant_id = %(tenant)s AND d.ledger_id = o.ledger_id
          AND d.position = o.position) END AS bytes) decided
 ORDER BY o.ledger_id, o.position
"""

HEADS = """
SELECT b.ledger_id, b.height, b.to_position, b.hash
  FROM unnest(%(ledgers)s::integer[]) ledger
 CROSS JOIN LATERAL (
       SELECT * FROM audit_blocks
        WHERE tenant_id = %(tenant)s AND ledger_id = ledger ORDER BY height DESC LIMIT 1) b
"""

INSERT_BLOCKS = """
INSERT INTO audit_blocks (tenant_id, ledger_id, height, from_position, to_position, leaf_count,
                          previous_hash, root, hash)
SELECT %(tenant)s, ledger, height, first, last, last - first + 1,
       decode(previous, 'hex'), decode(root, 'hex'), decode(hash, 'hex')
  FROM unnest(%(ledgers)s::integer[], %(firsts)s::bigint[], %(lasts)s::bigint[],
              %(heights)s::integer[], %(previous)s::text[], %(roots)s::text[], %(hashes)s::text[])
       AS new (ledger, first, last, height, previous, root, hash);
"""


def audit(work: Claim) -> None:
    """Seal the claimed positions of each ledger; record the runs."""
    commit(work, [seal(work)])


def seal(work: Claim) -> str:
    """The statement that stores each ledger's next block."""
    leaves = read_leaves(work.cursor, work.tenant_id, work.spans)
    heads = read_heads(work.cursor, work.tenant_id, [span.ledger_id for span in work.spans])
    roots, hashes = [], []
    for ledger_id, first, last in work.spans:
        head, tree = heads[ledger_id], root(leaves[ledger_id])
        block = (work.tenant_id, ledger_id, head.height + 1, first, last, head.hash, tree)
        roots.append(tree)
        hashes.append(block_hash(*block))
    return mogrify(
        work,
        INSERT_BLOCKS,
        heights=arrays.integers(heads[span.ledger_id].height + 1 for span in work.spans),
        previous=arrays.words(heads[span.ledger_id].hash.hex() for span in work.spans),
        roots=arrays.words(tree.hex() for tree in roots),
        hashes=arrays.words(hash_.hex() for hash_ in hashes),
    )


def read_heads(cursor: Any, tenant_id: int, ledger_ids: Sequence[int]) -> dict[int, Head]:
    """By ledger, the newest block; height 0 with a hash of zeros before the first."""
    cursor.execute(HEADS, {"tenant": tenant_id, "ledgers": arrays.integers(ledger_ids)})
    heads = dict.fromkeys(ledger_ids, Head(0, 0, GENESIS))
    for ledger_id, height, last, hash_ in cursor.fetchall():
        heads[ledger_id] = Head(height, last, bytes(hash_))
    return heads


def read_leaves(cursor: Any, tenant_id: int, spans: Sequence[Span]) -> dict[int, list[bytes]]:
    """By ledger, the leaf hashes of the span's positions; raises AuditStopError."""
    cursor.execute(LEAVES, scope(tenant_id, spans))
    leaves: dict[int, list[bytes]] = {span.ledger_id: [] for span in spans}
    for ledger_id, position, kind, body, rejected, legs, decided, leaf in cursor.fetchall():
        fault = fault_of(kind, body, rejected=rejected, decided=decided, legs=legs)
        if fault is not None:
            stop(ledger_id, f"position {position}: {fault}")
        leaves[ledger_id].append(bytes(leaf))
    for ledger_id, first, last in spans:
        expected = last - first + 1
        if len(leaves[ledger_id]) != expected:
            found = len(leaves[ledger_id])
            stop(ledger_id, f"{found} operations from {first} on, where {expected} should be")
    return leaves


def stop(ledger_id: int, reason: str) -> None:
    """Raise the alarm, and AuditStopError."""
    alert.critical("audit_stopped", ledger=ledger_id, reason=reason)
    raise AuditStopError(f"Ledger {ledger_id}: {reason}.")
