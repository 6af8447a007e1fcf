"""What each statement that Trident sends means, on the rows in memory, one function each.

`step` is called where the server could let another session go on: before each statement takes
effect. A statement reads everything at one moment, as with the snapshot that it has in Postgres.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

import orjson

from pipeline import accept, audit, heads, notify, poison, post, stage, through
from pipeline.ledger import Account, Posting
from pipeline.prepared import Prepared
from pipeline.verify import chain, runs
from tasks import sweep
from tests.chaos.fake_database import Connection, Parameters, Rows, Statement, UnknownStatement
from tests.chaos.fake_store import Attempt, Block, Rejected, Row

# Switch points between the look at the first of many ledgers and the tries for its locks: there is
# time for another's whole run.
LOOKING = 6

SET_TENANT = "SELECT set_config('trident.tenant', :tenant, true)"


@lru_cache(maxsize=1_000)
def integers(literal: str) -> tuple[int, ...]:
    """`{1,2}`."""
    return tuple(map(int, literal[1:-1].split(","))) if len(literal) > len("{}") else ()


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


def prepare_it(statement: Prepared, session: Connection, _: Parameters) -> None:
    """PREPARE: the session knows the statement from now on."""
    session.step("PREPARE")
    session.prepared.add(statement.execute)


def known(session: Connection, statement: Prepared) -> None:
    """EXECUTE of a statement, which this very session must have prepared."""
    if statement.execute not in session.prepared:
        raise UnknownStatement("prepared statement does not exist")


def look_up(session: Connection, given: Parameters) -> Rows:
    """accept.BEGIN and accept.LOOK_UP."""
    session.begin().tenant = given["tenant"]
    session.step("accept: lock")
    session.lock((given["lock"], given["ledger"]))
    session.step("accept: look keys up")
    known(session, accept.LOOK_UP)
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


def insert_log(session: Connection, given: Parameters) -> None:
    """accept.INSERT and COMMIT."""
    session.step(f"accept: insert {given['positions']}")
    known(session, accept.INSERT)
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
    rows = [Row(p, UUID(i), at, key, kind, b, who) for p, i, key, kind, b, who in columns]
    hashes = words(given["hashes"])
    session.database.guards.log(books, rows, hashes)
    tx.log += [(books, row, key_hash) for row, key_hash in zip(rows, hashes, strict=True)]
    session.commit()


def look_and_lock(session: Connection, given: Parameters) -> Rows:
    """stage.LOOK_AND_LOCK: the look and the tries are one statement, the reading is the next."""
    name, before = given["stage"], given["before"]
    tx = session.begin()
    tx.tenant = given["tenant"]
    ledgers = integers(given["ledgers"])
    session.step(f"{name}: look at {given['ledgers']}")
    taken = []
    for ledger in waiting_for(session, given, ledgers):
        session.step(f"{name}: try to lock {ledger}")
        if session.try_lock((given["lock"], ledger)):
            taken.append(ledger)
    session.step(f"{name}: read progress of {taken}")
    seen = [(ledger, session.see(given, ledger)) for ledger in taken]
    return [(id_, books.last_position(name), books.last_position(before)) for id_, books in seen]


def waiting_for(session: Connection, given: Parameters, ledgers: Iterable[int]) -> list[int]:
    """The ledgers at which the stage before is ahead, all seen at one moment."""
    seen = [(ledger, session.see(given, ledger)) for ledger in ledgers]
    return [
        ledger
        for ledger, books in seen
        if books.last_position(given["before"]) > books.last_position(given["stage"])
    ]


def through_look(session: Connection, given: Parameters) -> Rows:
    """through.BEGIN, LOOK_AND_LOCK and READ: what is locked was seen before, and is read anew."""
    session.begin().tenant = given["tenant"]
    session.step(f"through: look at {given['ledgers']}")
    known(session, through.LOOK_AND_LOCK)
    looked = [(id_, lasts(session, given, id_)) for id_ in integers(given["ledgers"])]
    waiting, left = [], []
    for ledger, (accepted, validated, notified) in looked:
        if validated != notified or accepted - validated > given["few"]:
            left.append(ledger)
        elif accepted > validated:
            waiting.append(ledger)
    for _ in range(LOOKING if waiting else 0):
        session.step("through: still looking")
    taken: list[int] = []
    for ledger in waiting:
        if try_stage(session, ledger, stage.STAGES[0]):
            all_five = all(try_stage(session, ledger, name) for name in stage.STAGES[1:])
            (taken if all_five else left).append(ledger)
    session.step(f"through: read progress of {taken} and {left}")
    known(session, through.READ)
    tried = [(ledger, True) for ledger in taken] + [(ledger, False) for ledger in left]
    return [(id_, locked, *lasts(session, given, id_)) for id_, locked in tried]


def lasts(session: Connection, given: Parameters, ledger: int) -> list[int]:
    """through.LAST of one ledger."""
    books = session.see(given, ledger)
    return [books.last_position(name) for name in ("accept", "validate", "notify")]


def try_stage(session: Connection, ledger: int, name: str) -> bool:
    """One of the five tries."""
    session.step(f"through: try to lock {name} of {ledger}")
    return session.try_lock((stage.LOCKS[name], ledger))


def spans(given: Parameters) -> Iterator[tuple[int, int, int]]:
    """The spans of a claim: ledger, first and last position."""
    return zip(
        integers(given["ledgers"]), integers(given["firsts"]), integers(given["lasts"]), strict=True
    )


def shown(given: Parameters) -> str:
    """The spans, for the history."""
    return f"{given['ledgers']} from {given['firsts']} to {given['lasts']}"


def by_ledger(ledgers: str, rows: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Rows that come with a column of their ledgers, those of a ledger together."""
    pairs = zip(integers(ledgers), rows, strict=True)
    for ledger, group in groupby(pairs, itemgetter(0)):
        yield ledger, [row for _, row in group]


def fetch(session: Connection, given: Parameters) -> Rows:
    """stage.FETCH."""
    session.step(f"fetch {shown(given)}")
    rows: Rows = []
    for ledger, first, last in spans(given):
        books = session.see(given, ledger)
        size = 0
        for o in books.log[first - 1 : last]:
            size += len(o.body)
            if size > given["bytes"] and o.position > first:
                break
            rejected = o.position in books.rejections
            rows.append((ledger, o.position, o.kind, o.body, o.accepted_at, o.principal, rejected))
    session.within().bodies = [row[3] for row in rows if not row[-1]]
    return rows


def insert_rejections(session: Connection, given: Parameters) -> None:
    """stage.INSERT_REJECTIONS."""
    session.step(f"{given['stage']}: reject {given['positions']} of {given['ledgers']}")
    positions = integers(given["positions"])
    columns = zip(positions, words(given["codes"]), texts(given["details"]), strict=True)
    new = ((p, Rejected(given["stage"], code, detail)) for p, code, detail in columns)
    for ledger, rows in by_ledger(given["ledgers"], new):
        tx, books = session.within(), session.see(given, ledger)
        session.database.guards.rejections(tx, books, rows)
        tx.rejections += [(books, *row) for row in rows]


def insert_runs(session: Connection, given: Parameters) -> None:
    """stage.INSERT_RUNS."""
    name = given["stage"]
    session.step(f"{name}: runs {shown(given)}")
    for ledger, first, last in spans(given):
        tx, books = session.write(given, ledger, "runs", name)
        session.database.guards.run(tx, books, name, first, last)
        tx.runs.append((books, name, first, last))


def last_numbers(session: Connection, given: Parameters) -> Rows:
    """post.LAST_NUMBERS."""
    session.step("post: last account numbers")
    return [
        (ledger, max((a.number for a in session.see(given, ledger).accounts.values()), default=0))
        for ledger in integers(given["ledgers"])
    ]


def load_accounts(session: Connection, given: Parameters) -> Rows:
    """post.LOAD_ACCOUNTS."""
    session.step("post: load accounts")
    session.database.hooks.on_post(session.within().bodies)
    pairs = zip(integers(given["ledgers"]), texts(given["codes"]), strict=True)
    return [
        (
            ledger,
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
        for ledger, code in pairs
        if (a := session.see(given, ledger).accounts.get(code))
    ]


def insert_accounts(session: Connection, given: Parameters) -> None:
    """post.INSERT_ACCOUNTS."""
    session.step("post: open accounts")
    columns = zip(
        integers(given["ledgers"]),
        integers(given["numbers"]),
        texts(given["codes"]),
        words(given["types"]),
        words(given["currencies"]),
        texts(given["overdrafts"]),
        strict=True,
    )
    for ledger, number, code, type_, currency, overdraft in columns:
        tx, books = session.write(given, ledger, "accounts")
        account = Account(number, code, type_, currency, overdraft)
        session.database.guards.account(books, account, new=True)
        tx.accounts[id(books), code] = books, account


def update_accounts(session: Connection, given: Parameters) -> None:
    """post.UPDATE_TOTALS and post.UPDATE_ALL."""
    session.step("post: update accounts")
    debits, credits = integers(given["debits"]), integers(given["credits"])
    versions = integers(given["versions"])
    statuses = words(given["statuses"]) if "statuses" in given else None
    overdrafts = texts(given["overdrafts"]) if "overdrafts" in given else None
    for ledger, rows in by_ledger(given["ledgers"], enumerate(integers(given["numbers"]))):
        tx, books = session.write(given, ledger, "accounts")
        by_number = {a.number: a for a in books.accounts.values()}
        by_number |= {a.number: a for other, a in tx.accounts.values() if other is books}
        for at, number in rows:
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
    session.step(f"post: insert postings of {given['positions']}")
    columns = zip(
        integers(given["positions"]),
        integers(given["legs"]),
        integers(given["accounts"]),
        integers(given["versions"]),
        (pending == "t" for pending in words(given["pending"])),
        integers(given["amounts"]),
        integers(given["balances"]),
        words(given["currencies"]),
        strict=True,
    )
    for ledger, rows in by_ledger(given["ledgers"], map(Posting._make, columns)):
        tx, books = session.write(given, ledger, "postings")
        session.database.guards.postings(tx, books, rows)
        tx.postings.append((books, rows))


def leaves(session: Connection, given: Parameters) -> Rows:
    """audit.LEAVES: a hash over every field of the operation, its rejection and its postings."""
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
            every = [*stored, *map(tuple, rejected), *map(tuple, legs)]
            leaf = hashlib.sha256(repr(every).encode())
            rows.append((ledger, o.position, o.kind, bool(rejected), len(legs), leaf.digest()))
    return rows


def read_heads(session: Connection, given: Parameters) -> Rows:
    """audit.HEADS."""
    session.step(f"audit: heads of {given['ledgers']}")
    return [
        (ledger, b.height, b.last, b.hash)
        for ledger in integers(given["ledgers"])
        for b in session.see(given, ledger).blocks[-1:]
    ]


def insert_blocks(session: Connection, given: Parameters) -> None:
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


def take_turns(session: Connection, given: Parameters) -> Rows:
    """heads.TAKE_TURNS."""
    session.step(f"take turns at the heads of {given['ledgers']}")
    ledgers = integers(given["ledgers"])
    return [(ledger,) for ledger in ledgers if session.try_lock((given["lock"], ledger))]


def tell(session: Connection, given: Parameters) -> None:
    """notify.TELL: heard when the transaction commits."""
    session.step("notify: tell")
    told = session.database.told
    session.within().acts.append(lambda: told.extend(words(given["words"])))


def record(session: Connection, given: Parameters) -> None:
    """poison.RECORD: a transaction of its own."""
    session.begin().tenant = given["tenant"]
    session.step(f"{given['stage']}: record an attempt")
    attempts = session.see(given, given["ledger"]).attempts
    start = session.database.starts
    row = Attempt(given["stage"], given["first"], given["last"], start)
    session.within().acts.append(lambda: attempts.append(row))
    session.commit()


def forget(session: Connection, given: Parameters) -> None:
    """poison.FORGET: a transaction of its own."""
    session.begin().tenant = given["tenant"]
    session.step(f"{given['stage']}: forget an attempt")
    attempts = session.see(given, given["ledger"]).attempts
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
    attempts = session.see(given, given["ledger"]).attempts
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
    rows = session.see(given, given["ledger"]).attempts
    lasts = [row.last for row in rows if row[:2] == wanted and row.start == start]
    return [(min(lasts), lasts.count(min(lasts)))] if lasts else []


def recent_rejections(session: Connection, given: Parameters) -> Rows:
    """poison.RECENT_REJECTIONS."""
    session.step(f"{given['stage']}: recent rejections")
    rejections = session.see(given, given["ledger"]).rejections
    recent = range(given["first"] - given["many"], given["first"])
    return [(sum(r.code == "internal_error" for p in recent for r in rejections.get(p, ())),)]


def rejected(session: Connection, given: Parameters) -> Rows:
    """poison.REJECTED."""
    session.step(f"{given['stage']}: rejected?")
    return [()] * len(session.see(given, given["ledger"]).rejections.get(given["first"], ()))


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
    blocks_of = session.see(given, given["ledger"]).blocks
    found = [b for b in blocks_of if b.height > given["after"]]
    return list(found[: given["limit"]])


def runs_of(session: Connection, given: Parameters) -> Rows:
    """verify.runs.RUNS."""
    found = session.see(given, given["ledger"]).runs[given["stage"]]
    return [run for run in found if run[0] > given["after"]][: given["limit"]]


PREPARED = accept.LOOK_UP, accept.INSERT, through.LOOK_AND_LOCK, through.READ
STATEMENTS: dict[str, Statement] = {
    "ROLLBACK": rollback,
    "COMMIT": commit,
    SET_TENANT: set_tenant,
    **{one._prepare: partial(prepare_it, one) for one in PREPARED},
    accept.BEGIN + accept.LOOK_UP.execute: look_up,
    accept.INSERT.execute + "COMMIT": insert_log,
    stage.LOOK_AND_LOCK: look_and_lock,
    through.BEGIN + through.LOOK_AND_LOCK.execute + through.READ.execute: through_look,
    stage.FETCH: fetch,
    stage.INSERT_REJECTIONS: insert_rejections,
    stage.INSERT_RUNS: insert_runs,
    post.LAST_NUMBERS: last_numbers,
    post.LOAD_ACCOUNTS: load_accounts,
    post.INSERT_ACCOUNTS: insert_accounts,
    post.UPDATE_TOTALS: update_accounts,
    post.UPDATE_ALL: update_accounts,
    post.INSERT_POSTINGS: insert_postings,
    audit.LEAVES: leaves,
    audit.HEADS: read_heads,
    audit.INSERT_BLOCKS: insert_blocks,
    heads.TAKE_TURNS: take_turns,
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
