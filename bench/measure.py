"""What the scenarios share: ledgers to load, the load, and progress read back afterwards.

Nothing here asks often: a reader that looks every millisecond takes a core from what it measures.
When something was posted or notified is read from the runs, which Postgres stamps a fraction of a
millisecond before their commit, by the clock of the same machine.
"""

import datetime as dt
import itertools
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import psycopg2
from sqlalchemy import text

from models.db import app_engine, raw_connection, tenant_reading, tenant_writing
from models.ledger import LedgerRef
from models.settings import settings
from pipeline.accept import accept
from pipeline.receipt import Accepted, Submission
from pipeline.strict_json import canonical
from tasks.index import read_due
from tasks.ring import ringer

TENANT = 1
PRINCIPAL = orjson.dumps({"roles": ["admin"], "sub": "bench"})
# The chunks in which an importer feeds the log (docs/architecture.md): single requests of the
# same ledger wait for one of them at most.
CHUNK = 1_000
NO_LAG_BOUND = 2**40
# A look every 50 ms costs about 1 % of a core, and no figure depends on it.
LOOK_EVERY_S = 0.05
WAIT_S = 300.0
MS = 1_000.0
_names = itertools.count(1)
_orders = itertools.count(1)

RUN_AT = text(
    "SELECT extract(epoch FROM at)::float FROM runs WHERE tenant_id = :tenant"
    " AND ledger_id = :ledger AND stage = :stage AND from_position <= :position"
    " ORDER BY from_position DESC LIMIT 1"
)


class Pace(NamedTuple):
    """When a load began, and when its last operation was accepted, posted, notified (epoch s)."""

    operations: int
    began: float
    accepted: float
    posted: float
    notified: float

    @property
    def figures(self) -> dict[str, float]:
        """Operations a second, each counted from the first accept."""
        return {
            "accepted_per_s": self.operations / (self.accepted - self.began),
            "posted_per_s": self.operations / (self.posted - self.began),
            "notified_per_s": self.notified_per_s,
        }

    @property
    def notified_per_s(self) -> float:
        """From the first accept until the last operation is through all stages."""
        return self.operations / (self.notified - self.began)


@dataclass(frozen=True)
class Load:
    """Transfers of one ledger, made beforehand, so that making them is not measured."""

    ledger: LedgerRef
    submissions: list[Submission]

    def play(self) -> Pace:
        """Feed the log as fast as it takes it, then wait until all of it is notified."""
        began = time.time()
        last = feed(self.ledger, self.submissions)
        accepted = time.time()
        return pace(len(self.submissions), began, accepted, [(self.ledger, last)])


def pace(
    operations: int, began: float, accepted: float, lasts: Iterable[tuple[LedgerRef, int]]
) -> Pace:
    """Wait until these positions are notified; when the last of them was posted and notified."""
    lasts = list(lasts)
    for ledger, last in lasts:
        wait_for(ledger, "notify", last)
    posted, notified = (
        max(run_at(ledger, stage, last) for ledger, last in lasts) for stage in ("post", "notify")
    )
    return Pace(operations, began, accepted, posted, notified)


def await_indexed() -> None:
    """Until the loads before are in the index: what it costs belongs to them, not to the next."""
    deadline = time.monotonic() + WAIT_S
    while read_due():
        assert time.monotonic() < deadline, "the index does not follow: see worker.log"
        time.sleep(LOOK_EVERY_S)


@contextmanager
def owner_connection() -> Iterator[Any]:
    """The database's owner, for schemas of the bench's own; commits statement by statement."""
    url = settings().owner_database_url
    assert url is not None, "bench needs the owner's address: TRIDENT_OWNER_DATABASE_URL"
    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        yield connection
    finally:
        connection.close()


def new_ledger(scenario: str, tenant_id: int = TENANT) -> LedgerRef:
    """An empty ledger."""
    name = f"bench-{scenario}-{next(_names)}"
    statement = "INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, :name) RETURNING ledger_id"
    with tenant_writing(tenant_id) as connection:
        row = connection.execute(text(statement), {"tenant": tenant_id, "name": name})
        return LedgerRef(tenant_id, row.scalar_one(), name)


def submission(key: str, kind: str, body: dict[str, Any]) -> Submission:
    """A submission by somebody who may do everything."""
    return Submission(key, kind, canonical(body), PRINCIPAL)


def feed(ledger: LedgerRef, submissions: list[Submission]) -> int:
    """Accept them chunk by chunk, ringing after each; the last position."""
    last = 0
    with raw_connection(app_engine()) as connection:
        for start in range(0, len(submissions), CHUNK):
            chunk = submissions[start : start + CHUNK]
            receipt = accept(connection, ledger, chunk, NO_LAG_BOUND)[-1]
            assert isinstance(receipt, Accepted)
            last = receipt.position
            ringer().add(ledger, last)
    return last


def reached(ledger: LedgerRef, stage: str) -> int:
    """How far the stage has come."""
    with tenant_reading(ledger.tenant_id) as connection:
        query = text("SELECT last_position(:tenant, :ledger, :stage)")
        scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "stage": stage}
        return int(connection.execute(query, scope).scalar_one())


def wait_for(
    ledger: LedgerRef, stage: str, position: int, look_every_s: float = LOOK_EVERY_S
) -> None:
    """Until the stage has come so far; at most WAIT_S."""
    end = time.perf_counter() + WAIT_S
    while reached(ledger, stage) < position:
        assert time.perf_counter() < end, f"{stage} did not reach {position} within {WAIT_S} s"
        time.sleep(look_every_s)


def run_at(ledger: LedgerRef, stage: str, position: int) -> float:
    """When the stage's run over the position was written, in seconds since 1970."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
    with tenant_reading(ledger.tenant_id) as connection:
        row = connection.execute(RUN_AT, {**scope, "stage": stage, "position": position})
        return float(row.scalar_one())


def open_accounts(ledger: LedgerRef, count: int) -> list[str]:
    """`world` (an asset without limit) and `count` customers, posted; the customers' codes."""
    codes = [f"customers:{number}" for number in range(1, count + 1)]
    world = {"code": "world", "type": "asset", "currency": "EUR", "overdraft": "unlimited"}
    customer = {"type": "liability", "currency": "EUR", "overdraft": "unlimited"}
    openings = [world, *({"code": code, **customer} for code in codes)]
    last = feed(ledger, [submission(o["code"], "open_account", o) for o in openings])
    wait_for(ledger, "notify", last)
    return codes


Pair = tuple[str, str]  # source and destination


def uniform(codes: list[str], seed: int = 1) -> Iterator[Pair]:
    """Pairs of customers chosen at random, without end (seeded: the same in every run)."""
    choose = random.Random(seed)  # noqa: S311 - a load, not a secret
    while True:
        source, destination = choose.sample(codes, 2)
        yield source, destination


def transfers(pairs: Iterable[Pair], count: int) -> list[Submission]:
    """Transfers between the first `count` of the pairs."""
    choose = random.Random(1)  # noqa: S311 - a load, not a secret
    today = dt.datetime.now(dt.UTC).date().isoformat()
    made = []
    for source, destination in itertools.islice(pairs, count):
        number = next(_orders)
        body = {
            "source": source,
            "destination": destination,
            "amount": choose.randrange(1, 100_000),
            "currency": "EUR",
            "effective_date": today,
            "description": f"Order {number}",
        }
        made.append(submission(f"bench-{number}", "transfer", body))
    return made


def percentile(values: list[float], share: float) -> float:
    """The value below which the share (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
