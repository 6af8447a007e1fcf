"""What `audit` sends and its chain is checked with: leaves, blocks, and turns at the heads."""

import hashlib
import marshal

from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.fake_store import Block
from tests.chaos.statements.arguments import integers, shown, spans, words

# The version of marshal in which equal values are equal bytes, whether they are one object or two.
PLAIN = 2


def leaves(session: Session, given: Parameters) -> Rows:
    """audit.LEAVES: a hash over every field of the operation and of what came of it."""
    session.step(f"audit: leaves {shown(given)}")
    rows: Rows = []
    for ledger, first, last in spans(given):
        tx, books = session.within(), session.see(given, ledger)
        rejections, postings = tx.rejections_of(books), tx.postings_of(books)
        moment, at = None, 0.0
        for position, id_, accepted_at, key, kind, body, principal in books.log[first - 1 : last]:
            rejected = rejections.get(position, ())[:1]
            legs = postings.get(position, ())
            decided = tx.decided_by(books, position)
            outcome = len(rejected), len(legs), len(decided)
            if accepted_at is not moment:  # what was accepted together has one time
                moment, at = accepted_at, accepted_at.timestamp()
            every = [position, id_.int, at, key, kind, body, principal, *outcome]
            for row in (*rejected, *legs, *decided):
                every += row
            leaf = hashlib.sha256(marshal.dumps(every, PLAIN)).digest()
            members = body if kind == "group" else None
            rows.append((ledger, position, kind, members, *outcome, leaf))
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
