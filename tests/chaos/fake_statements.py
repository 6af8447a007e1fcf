"""What each statement that Trident sends means, on the rows in memory, one function each.

`step` is called where the server could let another session go on: before each statement takes
effect. A statement reads everything at one moment, as with the snapshot that it has in Postgres.
"""

import datetime as dt
import hashlib
from typing import Any
from uuid import UUID

import orjson

from pipeline import accept, audit, heads, notify, poison, post, stage
from pipeline.ledger import Account, Posting
from pipeline.verify import chain, runs
from tasks import sweep
from tests.chaos.fake_database import Connection, Parameters, Rows, Statement
from tests.chaos.fake_store import Attempt, Block, Rejected, Row

SET_TENANT = "SELECT set_config('trident.tenant', :tenant, true)"
LOCK_HEADS = "SELECT pg_advisory_xact_lock(%(lock)s, %(ledger)s)"


def integers(literal: str) -> list[int]:
    """`{1,2}`."""
    return [int(part) for part in literal[1:-1].split(",")] if len(literal) > len("{}") else []


def words(literal: str) -> list[str]:
    """`{ab,cd}`."""
    return literal[1:-1].split(",") if len(literal) > len("{}") else []


def texts(literal: str) -> list[Any]:
    """`{"a","b",NULL}`: JSON but for the braces and NULL, which no text here contains."""
    found: list[Any] = orjson.loads(f"[{literal[1:-1].replace('NULL', 'null')}]")
    return found


def rollback(session: Connection, _: Parameters) -> None:
    """ROLLBACK."""
    session.end()


def commit(session: Connection, _: Parameters) -> None:
    """COMMIT."""
    session.commit()


def set_tenant(session: Connection, given: Parameters) -> None:
    """The transaction's tenant."""
    session.step("SET tenant")
    session.within().tenant = int(given["tenant"])


def lock(session: Connection, given: Parameters) -> None:
    """An advisory lock, waited for."""
    session.step("lock")
    session.lock((given["lock"], given["ledger"]))


def look_up(session: Connection, given: Parameters) -> Rows:
    """accept.LOOK_UP."""
    session.begin().tenant = given["tenant"]
    session.step("accept: lock")
    session.lock((given["lock"], given["ledger"]))
    session.step("accept: look keys up")
    books = session.see(given)
    now = session.database.now()
    if books.log:
        now = max(now, books.log[-1].accepted_at)
    ends = books.last_position("accept"), books.last_position("post"), now
    positions = [p for h in words(given["hashes"]) for p in books.keys.get(h, ())[:1]]
    found = [books.log[position - 1] for position in positions]
    if not found:
        return [(None, None, None, None, None, None, *ends)]
    return [(o.position, o.id, o.accepted_at, o.key, o.kind, o.body, *ends) for o in found]


def insert_log(session: Connection, given: Parameters) -> None:
    """accept.INSERT and COMMIT."""
    session.step(f"accept: insert {given['positions']}")
    tx, books = session.write(given, "log")
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
    rows = [Row(p, UUID(i), at, key, kind, b, who) for p, i, key, kind, b, who in columns]
    hashes = words(given["hashes"])
    session.database.guards.log(books, rows, hashes)
    tx.log += [(books, row, key_hash) for row, key_hash in zip(rows, hashes, strict=True)]
    session.commit()


def look_and_lock(session: Connection, given: Parameters) -> Rows:
    """stage.LOOK_AND_LOCK: the look and the try are one statement, the reading is the next."""
    name = given["stage"]
    tx = session.begin()
    tx.tenant = given["tenant"]
    session.step(f"{name}: look")
    books = session.see(given)
    if books.last_position(given["before"]) <= books.last_position(name):
        tx.claim = "idle"
    else:
        session.step(f"{name}: try lock")
        tx.claim = "true" if session.try_lock((given["lock"], given["ledger"])) else "false"
    session.step(f"{name}: read progress ({tx.claim})")
    books = session.see(given)
    return [(tx.claim, books.last_position(name), books.last_position(given["before"]))]


def fetch(session: Connection, given: Parameters) -> Rows:
    """stage.FETCH."""
    session.step(f"fetch {given['first']}-{given['last']}")
    books = session.see(given)
    rows: Rows = []
    size = 0
    for o in books.log[given["first"] - 1 : given["last"]]:
        size += len(o.body)
        if size > given["bytes"] and rows:
            break
        rejected = o.position in books.rejections
        rows.append((o.position, o.kind, o.body, o.accepted_at, o.principal, rejected))
    return rows


def insert_rejections(session: Connection, given: Parameters) -> None:
    """stage.INSERT_REJECTIONS."""
    positions = integers(given["positions"])
    session.step(f"{given['stage']}: reject {positions}")
    tx, books = session.within(), session.see(given)
    rows = [
        (position, Rejected(given["stage"], code, detail))
        for position, code, detail in zip(
            positions, words(given["codes"]), texts(given["details"]), strict=True
        )
    ]
    session.database.guards.rejections(tx, books, rows)
    tx.rejections += [(books, *row) for row in rows]


def insert_run(session: Connection, given: Parameters) -> None:
    """stage.INSERT_RUN, its COMMIT included."""
    name, first, last = given["stage"], given["first"], given["last"]
    session.step(f"{name}: run {first}-{last}")
    tx, books = session.write(given, "runs", name)
    session.database.guards.run(books, name, first, last)
    tx.runs.append((books, name, first, last))
    session.commit()


def last_number(session: Connection, given: Parameters) -> Rows:
    """post.LAST_NUMBER."""
    session.step("post: last account number")
    books = session.see(given)
    log = books.log[given["first"] - 1 : given["last"]]
    session.database.hooks.on_post(o.body for o in log if o.position not in books.rejections)
    return [(max((a.number for a in session.see(given).accounts.values()), default=0),)]


def load_accounts(session: Connection, given: Parameters) -> Rows:
    """post.LOAD_ACCOUNTS."""
    session.step("post: load accounts")
    books = session.see(given)
    return [
        (
            a.number,
            a.code,
            a.type,
            a.currency,
            a.overdraft,
            a.status,
            a.name,
            a.metadata,
            a.debits_posted,
            a.credits_posted,
            a.debits_pending,
            a.credits_pending,
            a.version,
        )
        for code in sorted(texts(given["codes"]))
        if (a := books.accounts.get(code))
    ]


def insert_accounts(session: Connection, given: Parameters) -> None:
    """post.INSERT_ACCOUNTS."""
    session.step("post: open accounts")
    tx, books = session.write(given, "accounts")
    columns = zip(
        integers(given["numbers"]),
        texts(given["codes"]),
        words(given["types"]),
        words(given["currencies"]),
        texts(f"{{{given['overdrafts'][1:-1]}}}"),
        strict=True,
    )
    for number, code, type_, currency, overdraft in columns:
        account = Account(number, code, type_, currency, overdraft)
        session.database.guards.account(books, account, new=True)
        tx.accounts[id(books), code] = books, account


def update_accounts(session: Connection, given: Parameters) -> None:
    """post.UPDATE_TOTALS and post.UPDATE_ALL."""
    session.step("post: update accounts")
    tx, books = session.write(given, "accounts")
    by_number = {a.number: a for a in books.accounts.values()}
    by_number |= {a.number: a for other, a in tx.accounts.values() if other is books}
    numbers = integers(given["numbers"])
    debits, credits = integers(given["debits"]), integers(given["credits"])
    versions = integers(given["versions"])
    statuses = words(given["statuses"]) if "statuses" in given else None
    overdrafts = texts(given["overdrafts"]) if "overdrafts" in given else None
    for at, number in enumerate(numbers):
        a = by_number[number]
        changed = Account(
            number,
            a.code,
            a.type,
            a.currency,
            overdrafts[at] if overdrafts else a.overdraft,
            statuses[at] if statuses else a.status,
            a.name,
            a.metadata,
            debits[at],
            credits[at],
            0,
            0,
            versions[at],
        )
        session.database.guards.account(books, changed, new=False)
        tx.accounts[id(books), a.code] = books, changed


def insert_postings(session: Connection, given: Parameters) -> None:
    """post.INSERT_POSTINGS."""
    positions = integers(given["positions"])
    session.step(f"post: insert postings {positions[0]}-{positions[-1]}")
    tx, books = session.write(given, "postings")
    rows = [
        Posting(position, leg, account, version, pending == "t", amount, balance, currency)
        for position, leg, account, version, pending, amount, balance, currency in zip(
            positions,
            integers(given["legs"]),
            integers(given["accounts"]),
            integers(given["versions"]),
            words(given["pending"]),
            integers(given["amounts"]),
            integers(given["balances"]),
            words(given["currencies"]),
            strict=True,
        )
    ]
    session.database.guards.postings(tx, books, rows)
    tx.postings.append((books, rows))


def leaves(session: Connection, given: Parameters) -> Rows:
    """audit.LEAVES: a hash over every field of the operation, its rejection and its postings."""
    session.step(f"audit: leaves {given['first']}-{given['last']}")
    books = session.see(given)
    rows: Rows = []
    for o in books.log[given["first"] - 1 : given["last"]]:
        rejected = books.rejections.get(o.position, [])[:1]
        legs = books.postings.get(o.position, [])
        fields = [
            o.position,
            o.id.int,
            o.accepted_at.timestamp(),
            o.key,
            o.kind,
            o.body,
            o.principal,
        ]
        leaf = hashlib.sha256(repr([*fields, *map(tuple, rejected), *map(tuple, legs)]).encode())
        rows.append((o.position, o.kind, bool(rejected), len(legs), leaf.digest()))
    return rows


def head(session: Connection, given: Parameters) -> Rows:
    """audit.HEAD."""
    session.step("audit: head")
    return [(b.height, b.last, b.hash) for b in session.see(given).blocks[-1:]]


def insert_block(session: Connection, given: Parameters) -> None:
    """audit.INSERT_BLOCK."""
    session.step(f"audit: block {given['first']}-{given['last']}")
    tx, books = session.write(given, "blocks")
    block = Block(
        given["height"],
        given["first"],
        given["last"],
        given["leaves"],
        given["previous"],
        given["root"],
        given["hash"],
    )
    session.database.guards.block(books, block)
    tx.blocks.append((books, block))


def tell(session: Connection, given: Parameters) -> None:
    """notify.TELL: heard when the transaction commits."""
    session.step("notify: tell")
    told = session.database.told
    session.within().acts.append(lambda: told.append(given["word"]))


def record(session: Connection, given: Parameters) -> None:
    """poison.RECORD: a transaction of its own."""
    session.begin().tenant = given["tenant"]
    session.step(f"{given['stage']}: record an attempt")
    attempts = session.see(given).attempts
    start = session.database.starts
    row = Attempt(given["stage"], given["first"], given["last"], start)
    session.within().acts.append(lambda: attempts.append(row))
    session.commit()


def forget(session: Connection, given: Parameters) -> None:
    """poison.FORGET: a transaction of its own."""
    session.begin().tenant = given["tenant"]
    session.step(f"{given['stage']}: forget an attempt")
    attempts = session.see(given).attempts
    wanted = given["stage"], given["first"], given["last"]
    newest = [row for row in attempts if row[:3] == wanted][-1:]
    for row in newest:
        session.lock(("attempt", id(row)))

    def act() -> None:
        attempts[:] = [row for row in attempts if row is not newest[0]]

    if newest:
        session.within().acts.append(act)
    session.commit()


def clear(session: Connection, given: Parameters) -> None:
    """poison.CLEAR."""
    session.step(f"{given['stage']}: clear attempts")
    attempts = session.see(given).attempts
    name, last = given["stage"], given["last"]
    gone = [row for row in attempts if row.stage == name and row.first <= last]
    for row in gone:
        session.lock(("attempt", id(row)))

    def act() -> None:
        attempts[:] = [row for row in attempts if not any(row is one for one in gone)]

    session.within().acts.append(act)


def failed(session: Connection, given: Parameters) -> Rows:
    """poison.FAILED."""
    session.step(f"{given['stage']}: failed attempts")
    wanted = given["stage"], given["first"]
    start = session.database.starts
    rows = session.see(given).attempts
    lasts = [row.last for row in rows if row[:2] == wanted and row.start == start]
    return [(min(lasts), lasts.count(min(lasts)))] if lasts else []


def recent_rejections(session: Connection, given: Parameters) -> Rows:
    """poison.RECENT_REJECTIONS."""
    session.step(f"{given['stage']}: recent rejections")
    rejections = session.see(given).rejections
    recent = range(given["first"] - given["many"], given["first"])
    return [(sum(r.code == "internal_error" for p in recent for r in rejections.get(p, ())),)]


def rejected(session: Connection, given: Parameters) -> Rows:
    """poison.REJECTED."""
    session.step(f"{given['stage']}: rejected?")
    return [()] * len(session.see(given).rejections.get(given["first"], ()))


def lagging(session: Connection, _: Parameters) -> Rows:
    """sweep.LAGGING, under the role that sees the progress of all tenants."""
    session.step("sweep: who lags")
    rows = []
    for scope, books in session.database.books.items():
        ends = [books.last_position(name) for name in ("accept", *stage.STAGES)]
        if ends[0] > ends[-1]:
            rows.append((*scope, session.database.names[scope], *ends))
    return rows


def blocks(session: Connection, given: Parameters) -> Rows:
    """verify.chain.BLOCKS."""
    found = [b for b in session.see(given).blocks if b.height > given["after"]]
    return list(found[: given["limit"]])


def runs_of(session: Connection, given: Parameters) -> Rows:
    """verify.runs.RUNS."""
    found = session.see(given).runs[given["stage"]]
    return [run for run in found if run[0] > given["after"]][: given["limit"]]


STATEMENTS: dict[str, Statement] = {
    "ROLLBACK": rollback,
    "COMMIT": commit,
    SET_TENANT: set_tenant,
    LOCK_HEADS: lock,
    accept.LOOK_UP: look_up,
    accept.INSERT + "COMMIT": insert_log,
    stage.LOOK_AND_LOCK: look_and_lock,
    stage.FETCH: fetch,
    stage.INSERT_REJECTIONS: insert_rejections,
    stage.INSERT_RUN: insert_run,
    post.LAST_NUMBER: last_number,
    post.LOAD_ACCOUNTS: load_accounts,
    post.INSERT_ACCOUNTS: insert_accounts,
    post.UPDATE_TOTALS: update_accounts,
    post.UPDATE_ALL: update_accounts,
    post.INSERT_POSTINGS: insert_postings,
    audit.LEAVES: leaves,
    audit.HEAD: head,
    audit.INSERT_BLOCK: insert_block,
    notify.TELL: tell,
    poison.RECORD: record,
    poison.FORGET: forget,
    poison.CLEAR: clear,
    poison.FAILED: failed,
    poison.RECENT_REJECTIONS: recent_rejections,
    poison.REJECTED: rejected,
    sweep.LAGGING.text: lagging,
    chain.BLOCKS: blocks,
    runs.RUNS: runs_of,
}
assert heads.HEADS_LOCK not in stage.LOCKS.values()
