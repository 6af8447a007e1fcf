"""What `audit` sends and its chain is checked with: leaves, blocks, and turns at the heads."""

import hashlib

from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.fake_store import Block
from tests.chaos.statements.arguments import integers, shown, spans, words


def leaves(session: Session, given: Parameters) -> Rows:
    """audit.LEAVES: a hash over every field of the operation and of what came of it."""
    session.step(f"audit: leaves {shown(given)}")
    rows: Rows = []
    for ledger, first, last in spans(given):
        tx, books = session.within(), session.see(given, ledger)
        rejections, postings = tx.rejections_of(books), tx.postings_of(books)
        for o in books.log[first - 1 : last]:
            rejected = rejections.get(o.position, [])[:1]
            legs = postings.get(o.position, [])
            at = o.accepted_at.timestamp()
            stored = o.position, o.id.int, at, o.key, o.kind, o.body, o.principal
            decided = tx.decided_by(books, o.position)
            every = [*stored, *map(tuple, rejected), *map(tuple, legs), *map(tuple, decided)]
            leaf = hashlib.sha256(repr(every).encode()).digest()
            outcome = bool(rejected), len(legs), bool(decided)
            body = o.body if o.kind == "group" else None
            rows.append((ledger, o.position, o.kind, body, *outcome, leaf))
    return rows


def read_heads(session: Session, given: Parameters) -> Rows:
    """audit.HEADS."""
    session.step(f"audit: heads of {given['ledgers']}")
    return [
        (ledger, b.height, b.last, b.hash)
        for ledger in integers(given["ledgers"])
        for b in session.see(given, ledger).blocks[-1:]
    ]


def insert_blocks(session: Session, given: Parameters) -> None:
    """audit.INSERT_BLOCKS."""
    session.step(f"audit: blocks {shown(given)}")
    columns = zip(
        spans(given),
        integers(given["heights"]),
        *(map(bytes.fromhex, words(given[name])) for name in ("previous", "roots", "hashes")),
        strict=True,
    )
    for (ledger, first, last), height, previous, root, hash_ in columns:
        tx, books = session.write(given, ledger, "blocks")
        block = Block(height, first, last, last - first + 1, previous, root, hash_)
        session.database.guards.block(books, block)
        tx.blocks.append((books, block))


def blocks(session: Session, given: Parameters) -> Rows:
    """verify.chain.BLOCKS."""
    blocks_of = session.see(given, given["ledger"]).blocks
    found = [b for b in blocks_of if b.height > given["after"]]
    return list(found[: given["limit"]])


def take_turns(session: Session, given: Parameters) -> Rows:
    """heads.TAKE_TURNS."""
    session.step(f"take turns at the heads of {given['ledgers']}")
    ledgers = integers(given["ledgers"])
    return [(ledger,) for ledger in ledgers if session.try_lock((given["lock"], ledger))]
