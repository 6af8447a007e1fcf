"""What intake sends: the look at the keys, and the rows of the log."""

import datetime as dt
from uuid import UUID

from pipeline import accept
from tests.chaos.fake_database import Parameters, Rows, Session
from tests.chaos.fake_store import Row
from tests.chaos.statements.arguments import integers, texts, words


def look_up(session: Session, given: Parameters) -> Rows:
    """accept.BEGIN and accept.LOOK_UP."""
    session.begin().tenant = given["tenant"]
    session.step("accept: lock")
    session.lock((given["lock"], given["ledger"]))
    session.step("accept: look keys up")
    session.check_prepared(accept.LOOK_UP.execute)
    books = session.see(given, given["ledger"])
    now = session.database.now()
    if books.log:
        now = max(now, books.log[-1].accepted_at)
    ends = books.last_position("accept"), books.last_position("post"), now
    positions = [p for h in words(given["hashes"]) for p in books.keys.get(h, ())[:1]]
    found = [books.log[position - 1] for position in positions]
    if not found:
        return [(None, None, None, None, None, None, *ends)]
    return [(o.position, o.id, o.accepted_at, o.key, o.kind, o.body, *ends) for o in found]


def insert_log(session: Session, given: Parameters) -> None:
    """accept.INSERT and COMMIT."""
    session.step(f"accept: insert {given['positions']}")
    session.check_prepared(accept.INSERT.execute)
    tx, books = session.write(given, given["ledger"], "log")
    at: dt.datetime = given["at"]
    columns = zip(
        integers(given["positions"]),
        words(given["ids"]),
        texts(given["keys"]),
        words(given["kinds"]),
        texts(given["bodies"]),
        texts(given["principals"]),
        strict=True,
    )
    rows = [
        Row(p, UUID(int=int(i, 16)), at, key, kind, b, who) for p, i, key, kind, b, who in columns
    ]
    hashes = words(given["hashes"])
    session.database.guards.log(books, rows, hashes)
    tx.log += [(books, row, key_hash) for row, key_hash in zip(rows, hashes, strict=True)]
    session.commit()
