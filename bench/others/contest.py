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
def workers(commands: Sequence[Sequence[str]], log: Path) -> Iterator[list[int]]:
    """Processes of this Python, ended at the end; what they say goes to the log. Their pids."""
    pids: list[int] = []
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
            pids.append(worker.pid)
        yield pids


def _stop(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    try:
        worker.wait(STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def warm_up(arena: Contest, enqueue: Enqueue) -> None:
    """One operation: when it is through, the workers are up."""
    enqueue(accept(arena, rows(1)))
    await_finished(arena, 1, WARM_WITHIN_S)


def rate_of(arena: Contest, operations: int, enqueue: Enqueue) -> float:
    """Operations a second from the first accept until all are through, and rightly so."""
    load = rows(operations)
    began = time.time()
    for start in range(0, operations, CHUNK):
        enqueue(accept(arena, load[start : start + CHUNK]))
    await_finished(arena, 1 + operations, DONE_WITHIN_S)
    check(arena, 1 + operations)
    with Session(arena.engine) as session:
        ended = session.scalar(select(func.extract("epoch", func.max(Operation.finished_at))))
    assert ended is not None
    return operations / (float(ended) - began)


def rows(count: int) -> list[dict[str, object]]:
    """Transfers as the table of operations holds them."""
    made = []
    for one in transfers(uniform(codes()), count):
        body = orjson.loads(one.body)
        members = {name: body[name] for name in ("source", "destination", "amount", "currency")}
        made.append({"idempotency_key": one.key, "role": "admin", **members})
    return made


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


def check(arena: Contest, count: int) -> None:
    """The balances are those that the operations make, with two postings and an entry for each."""
    wanted = dict.fromkeys(codes(), 0)
    with Session(arena.engine) as session:
        for operation in session.scalars(select(Operation)):
            wanted[operation.source] -= operation.amount
            wanted[operation.destination] += operation.amount
        found = {account.code: account.balance for account in session.scalars(select(Account))}
        postings = session.scalar(select(func.count()).select_from(Posting))
        entries = session.scalar(select(func.count()).select_from(AuditEntry))
    assert found == wanted, f"{arena.schema}: the balances are wrong"
    assert (postings, entries) == (2 * count, count), f"{arena.schema}: rows are missing"
