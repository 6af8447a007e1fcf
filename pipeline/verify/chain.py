"""The chain of blocks: recomputed from the rows, and held against the head kept outside."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from models.ledger import LedgerRef
from pipeline.audit import LEAVES, Head
from pipeline.merkle import GENESIS, block_hash, root
from pipeline.progress import Progress
from pipeline.stage import Span, scope
from pipeline.verify.finding import FoundError

# Leaves computed in one query, by Postgres: about 100 ms. Small blocks share one.
CHUNK_LEAVES = 5_000

BLOCKS = """
SELECT height, from_position, to_position, leaf_count, previous_hash, root, hash
  FROM audit_blocks
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND height > %(after)s
 ORDER BY height LIMIT %(limit)s
"""

BLOCK = """
SELECT to_position, hash FROM audit_blocks
 WHERE tenant_id = %(tenant)s AND ledger_id = %(ledger)s AND height = %(height)s
"""


class Block(NamedTuple):
    """One row of the blocks."""

    height: int
    first: int
    last: int
    leaf_count: int
    previous: bytes
    root: bytes
    hash: bytes


class ChainCheck:
    """Each block follows the one before it, and is the hash of the rows that it seals."""

    def __init__(self, cursor: Any, ledger: LedgerRef, reached: Progress) -> None:
        self._cursor = cursor
        self._scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
        self._ledger = ledger
        self._audited = reached.audit
        self.head = Head(0, 0, GENESIS)  # of the blocks that are proved so far

    def check(self) -> None:
        """Walk the whole chain; raises FoundError."""
        for batch in self._batches():
            leaves = self._leaves(batch[0].first, batch[-1].last)
            for block in batch:
                self._check_block(block, leaves)
        if self.head.last != self._audited:
            raise FoundError(
                f"the blocks end at {self.head.last}, and audit has recorded {self._audited}",
                min(self.head.last, self._audited) + 1,
            )

    def _batches(self) -> Iterator[list[Block]]:
        """The blocks in order; those that are small together share one query for leaves."""
        batch: list[Block] = []
        previous = Head(0, 0, GENESIS)
        for block in self._blocks():
            fault = self._misplaced(block, previous)
            if batch and (fault or block.last - batch[0].first >= CHUNK_LEAVES):
                yield batch
                batch = []
            if fault:
                raise FoundError(*fault)
            batch.append(block)
            previous = Head(block.height, block.last, block.hash)
        if batch:
            yield batch

    def _misplaced(self, block: Block, previous: Head) -> tuple[str, int] | None:
        """Why the block does not follow `previous`. What does not is not even computed."""
        if block.height != previous.height + 1:
            return f"block {previous.height + 1} is missing", previous.last + 1
        where = f"block {block.height} is from {block.first} to {block.last}"
        if block.first != previous.last + 1 or block.last < block.first:
            return f"{where}, and the one before it ends at {previous.last}", block.first
        if block.last > self._audited:
            return f"{where}, and audit has recorded {self._audited}", block.first
        if block.previous != previous.hash:
            return f"block {block.height} does not name the hash before it", block.first
        return None

    def _blocks(self) -> Iterator[Block]:
        after = -1
        while True:
            self._cursor.execute(BLOCKS, {**self._scope, "after": after, "limit": CHUNK_LEAVES})
            rows = self._cursor.fetchall()
            if not rows:
                return
            for row in rows:
                yield Block(*row[:4], *map(bytes, row[4:]))
            after = rows[-1][0]

    def _leaves(self, first: int, last: int) -> dict[int, bytes]:
        span = Span(self._ledger.ledger_id, first, last)
        self._cursor.execute(LEAVES, scope(self._ledger.tenant_id, [span]))
        return {row[1]: bytes(row[-1]) for row in self._cursor.fetchall()}

    def _check_block(self, block: Block, leaves: dict[int, bytes]) -> None:
        where = f"block {block.height} (positions {block.first} to {block.last})"
        hashes = [leaves.get(position) for position in range(block.first, block.last + 1)]
        present = [leaf for leaf in hashes if leaf is not None]
        if len(present) != block.leaf_count:
            raise FoundError(
                f"{where} seals {block.leaf_count} operations, and the log has {len(present)}",
                block.first + (hashes.index(None) if None in hashes else 0),
            )
        if root(present) != block.root:
            raise FoundError(f"{where} does not seal the rows that are there", block.first)
        where_it_stands = (*self._ledger[:2], block.height, block.first, block.last)
        expected = block_hash(*where_it_stands, block.previous, block.root)
        if block.hash != expected:
            raise FoundError(f"{where} has a hash that is not its own", block.first)
        self.head = Head(block.height, block.last, block.hash)


def check_head(cursor: Any, ledger: LedgerRef, kept: Head) -> None:
    """The block at the kept head's height is that head; raises FoundError."""
    cursor.execute(
        BLOCK, {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "height": kept.height}
    )
    row = cursor.fetchone()
    if row is None:
        raise FoundError(
            f"the head kept outside is block {kept.height}, which sealed up to {kept.last}, and the"
            " ledger has no such block: its end was cut off",
            kept.last,
        )
    if (row[0], bytes(row[1])) != (kept.last, kept.hash):
        raise FoundError(
            f"block {kept.height} is not the one that was kept outside: the chain was rewritten",
            min(row[0], kept.last),
        )
