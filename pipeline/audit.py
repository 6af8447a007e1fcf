"""audit: seal each run of operations, with their outcomes and postings, into a chain of blocks.

A leaf is SHA-256(0x00 || every stored field of the operation, its rejection and its postings), each
field of variable length behind its length. Postgres computes it from the rows themselves.

Each position must have exactly one of: a rejection; two or more postings; a kind that has none.
Anything else stops the ledger here and raises the alarm: absence never passes for success.
"""

from typing import Any, NamedTuple

from pipeline.kinds import kind_of
from pipeline.merkle import GENESIS, block_hash, root
from pipeline.stage import Claim, alert, commit, mogrify


class AuditStopError(Exception):
    """An operation has no outcome, or two. The ledger's audit stops until a person has looked."""


class Head(NamedTuple):
    """The newest block of a ledger: what is kept outside the database."""

    height: int
    last: int
    hash: bytes


# timestamptz_send is microseconds since 2000-01-01 UTC, 8 bytes; the integers are big-endian.
LEAVES = """
SELECT o.position, o.kind, r.position IS NOT NULL, legs.count,
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
           || int4send(legs.count::integer) || coalesce(legs.bytes, ''::bytea))
  FROM operations o
  LEFT JOIN LATERAL (
       SELECT * FROM rejections r
        WHERE r.tenant_id = %(tenant)s AND r.ledger_id = %(ledger)s
          AND r.position = o.position LIMIT 1) r ON true
 CROSS JOIN LATERAL (
       SELECT count(*) AS count, string_agg(
                  int2send(leg) || int4send(account) || int8send(version)
                  || boolsend(pending)
                  || int8send(amount) || int8send(balance_after) || convert_to(currency, 'UTF8'),
                  ''::bytea ORDER BY leg) AS bytes
         FROM postings p
        WHERE p.tenant_id = %(tenant)s AND p.ledger_id = %(ledger)s
          AND p.position = o.position) legs
 WHERE o.tenant_id = %(tenant)s AND o.ledger_id = %(ledger)s
   AND o.position BETWEEN %(first)s AND %(last)s
 ORDER BY o.position
"""

HEAD = """
SELECT height, to_position, hash FROM audit_blocks
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s ORDER BY height DESC LIMIT 1
"""

INSERT_BLOCK = """
INSERT INTO audit_blocks (tenant_id, ledger_id, height, from_position, to_position, leaf_count,
                          previous_hash, root, hash)
VALUES (%(tenant)s, %(ledger)s, %(height)s, %(first)s, %(last)s, %(leaves)s,
        %(previous)s, %(root)s, %(hash)s);
"""


def audit(work: Claim) -> None:
    """Seal the claimed positions into the next block; record the run."""
    leaves = read_leaves(work.cursor, work.scope)
    previous = read_head(work.cursor, work.scope)
    height = previous.height + 1
    tree = root(leaves)
    sealed = block_hash(work.ledger, height, work.first, work.last, previous.hash, tree)
    block = mogrify(
        work,
        INSERT_BLOCK,
        height=height,
        leaves=len(leaves),
        previous=previous.hash,
        root=tree,
        hash=sealed,
    )
    commit(work, [block])


def read_head(cursor: Any, scope: dict[str, Any]) -> Head:
    """The newest block; height 0 with a hash of zeros before the first."""
    cursor.execute(HEAD, scope)
    row = cursor.fetchone()
    return Head(0, 0, GENESIS) if row is None else Head(row[0], row[1], bytes(row[2]))


def read_leaves(cursor: Any, scope: dict[str, Any]) -> list[bytes]:
    """The leaf hashes of the positions `first` to `last` of the scope; raises AuditStopError."""
    cursor.execute(LEAVES, scope)
    rows = cursor.fetchall()
    expected = scope["last"] - scope["first"] + 1
    if len(rows) != expected:
        stop(scope, f"{len(rows)} operations where the log should have {expected}")
    for position, kind, rejected, legs, _ in rows:
        wanted = "none" if rejected or not kind_of(kind).posts else "two or more"
        if legs != 0 if wanted == "none" else legs < 2:  # noqa: PLR2004 - the sentence says it
            stop(scope, f"position {position} has {legs} postings, where {wanted} belong")
    return [bytes(row[4]) for row in rows]


def stop(scope: dict[str, Any], reason: str) -> None:
    """Raise the alarm, and AuditStopError."""
    alert.critical("audit_stopped", reason=reason, **scope)
    raise AuditStopError(f"Ledger {scope['ledger']}: {reason}.")
