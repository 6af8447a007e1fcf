"""How the comparisons are run: tables in a schema of their own, workers, a load, a check.

Each of them gets the same transfers on the same server. The load is written a thousand rows at a
commit, as Trident's is, and handed over as the library's documentation has it for many at once.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import orjson
from sqlalchemy import Engine, create_engine, func, insert, make_url, select
from sqlalchemy.orm import Session

from bench.bulk import ACCOUNTS
from bench.measure import CHUNK, owner_connection, transfers, uniform
from bench.others.books import Account, AuditEntry, Base, Operation, Posting
from models.settings import settings

ROOT = Path(__file__).parents[2]
LOOK_EVERY_S = 0.25
WARM_WITHIN_S = 60.0
DONE_WITHIN_S = 300.0
STOP_WITHIN_S = 20.0

Enqueue = Callable[[Sequence[int]], None]


class Contest(NamedTuple):
    """Where a comparison keeps its tables: a schema of its own that its workers find by URL."""

    schema: str
    engine: Engine

    @property
    def url(self) -> str:
        """The address, password included, with the schema in it."""
        return self.engine.url.render_as_string(hide_password=False)


@contextmanager
def contest(name: str) -> Iterator[Contest]:
    """Fresh tables with ACCOUNTS accounts, dropped at the end."""
    schema = f"bench_{name}"
    owner = settings().owner_database_url
    assert owner is not None, "bench needs the owner's address: TRIDENT_OWNER_DATABASE_URL"
    url = make_url(owner).set(query={"options": f"-csearch_path={schema}"})
    engine = create_engine(url.set(drivername="postgresql+psycopg2"))
    with owner_connection() as connection, connection.cursor() as cursor:
        cursor.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
        cursor.execute(f"CREATE SCHEMA {schema}")
        Base.metadata.create_all(engine)
        with Session(engine) as session, session.begin():
            session.add_all(Account(code=code) for code in codes())
        try:
            yield Contest(schema, engine)
        finally:
            engine.dispose()
            cursor.execute(f"DROP SCHEMA {schema} CASCADE")


def codes() -> list[str]:
    """Of the accounts."""
    return [f"customers:{number}" for number in range(1, ACCOUNTS + 1)]


@contextmanager
def workers(commands: Sequence[Sequence[str]], log: Path) -> Iterator[None]:
    """Processes of this Python, ended at the end; what they say goes to the log."""
    with ExitStack() as stack:
        file = stack.enter_context(log.open("ab"))
        for command in commands:
            worker = subprocess.Popen(  # noqa: S603 - our own modules
                [sys.executable, "-m", *command],
                cwd=ROOT,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
            stack.callback(_stop, worker)
        yield


def _stop(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    try:
        worker.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def rate_of(arena: Contest, operations: int, enqueue: Enqueue) -> float:
    """Operations a second from the first accept until all are through, and rightly so."""
    load = [
        {"idempotency_key": one.key, "role": "admin", **_members(one.body)}
        for one in transfers(uniform(codes()), operations + 1)
    ]
    enqueue(accept(arena, load[:1]))  # the workers are up when it is through
    await_finished(arena, 1, WARM_WITHIN_S)
    began = time.time()
    for start in range(1, len(load), CHUNK):
        enqueue(accept(arena, load[start : start + CHUNK]))
    await_finished(arena, len(load), DONE_WITHIN_S)
    with Session(arena.engine) as session:
        ended = session.scalar(select(func.extract("epoch", func.max(Operation.finished_at))))
    check(arena, load)
    assert ended is not None
    return operations / (float(ended) - began)


def _members(body: bytes) -> dict[str, object]:
    members = orjson.loads(body)
    return {name: members[name] for name in ("source", "destination", "amount", "currency")}


def accept(arena: Contest, rows: list[dict[str, object]]) -> list[int]:
    """Store the operations, once for each key; their ids."""
    with Session(arena.engine) as session, session.begin():
        statement = insert(Operation).values(status="accepted").returning(Operation.id)
        return list(session.scalars(statement, rows))


def await_finished(arena: Contest, count: int, within_s: float) -> None:
    """Until so many are through all stages."""
    end = time.monotonic() + within_s
    finished = select(func.count()).select_from(Operation).where(Operation.status == "notified")
    while True:
        with Session(arena.engine) as session:
            found = session.scalar(finished)
        if found == count:
            return
        assert time.monotonic() < end, f"{found} of {count} were through after {within_s:.0f} s"
        time.sleep(LOOK_EVERY_S)


def check(arena: Contest, load: list[dict[str, object]]) -> None:
    """The balances are those that the load makes, with two postings and an entry for each."""
    wanted = dict.fromkeys(codes(), 0)
    for row in load:
        wanted[str(row["source"])] -= int(str(row["amount"]))
        wanted[str(row["destination"])] += int(str(row["amount"]))
    with Session(arena.engine) as session:
        found = {account.code: account.balance for account in session.scalars(select(Account))}
        postings = session.scalar(select(func.count()).select_from(Posting))
        entries = session.scalar(select(func.count()).select_from(AuditEntry))
    assert found == wanted, f"{arena.schema}: the balances are wrong"
    assert (postings, entries) == (2 * len(load), len(load)), f"{arena.schema}: rows are missing"
