"""What the scenarios share: a ledger to load, progress to watch, and figures to show."""

import itertools
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson
from sqlalchemy import text

from models.db import app_engine, raw_connection, tenant_reading, tenant_writing
from models.ledger import LedgerRef
from pipeline.accept import Accepted, Submission, accept
from pipeline.strict_json import canonical
from tasks.ring import ringer

TENANT = 1
PRINCIPAL = orjson.dumps({"roles": ["admin"], "sub": "bench"})
# The chunks in which an importer feeds the log (docs/architecture.md): single requests of the
# same ledger wait for one of them at most.
CHUNK = 1_000
NO_LAG_BOUND = 2**40
POLL_S = 0.001
WAIT_S = 300.0
_keys = itertools.count(1)


@dataclass
class Figures:
    """One scenario's outcome: the figures by name, each with its unit in the name."""

    scenario: str
    figures: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the results file."""
        return asdict(self)


def new_ledger(name: str) -> LedgerRef:
    """An empty ledger of the first tenant."""
    statement = "INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, :name) RETURNING ledger_id"
    with tenant_writing(TENANT) as connection:
        row = connection.execute(text(statement), {"tenant": TENANT, "name": name})
        return LedgerRef(TENANT, row.scalar_one(), name)


def submission(kind: str, body: dict[str, Any]) -> Submission:
    """A submission under a new key."""
    return Submission(f"bench-{next(_keys)}", kind, canonical(body), PRINCIPAL)


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
    with tenant_reading(TENANT) as connection:
        query = text("SELECT last_position(:tenant, :ledger, :stage)")
        scope = {"tenant": TENANT, "ledger": ledger.ledger_id, "stage": stage}
        return int(connection.execute(query, scope).scalar_one())


def wait_for(ledger: LedgerRef, stage: str, position: int, poll_s: float = POLL_S) -> None:
    """Until the stage has come so far; at most WAIT_S."""
    end = time.perf_counter() + WAIT_S
    while reached(ledger, stage) < position:
        assert time.perf_counter() < end, f"{stage} did not reach {position} within {WAIT_S} s"
        time.sleep(poll_s)


def open_accounts(ledger: LedgerRef, count: int) -> list[str]:
    """`world` (an asset without limit) and `count` customers, posted; the customers' codes."""
    codes = [f"customers:{number}" for number in range(1, count + 1)]
    world = {"code": "world", "type": "asset", "currency": "EUR", "overdraft": "unlimited"}
    customer = {"type": "liability", "currency": "EUR", "overdraft": "unlimited"}
    openings = [world, *({"code": code, **customer} for code in codes)]
    last = feed(ledger, [submission("open_account", opening) for opening in openings])
    wait_for(ledger, "notify", last)
    return codes


def transfers(codes: list[str], count: int) -> list[Submission]:
    """Transfers between customers chosen at random (seeded: the same in every run)."""
    choose = random.Random(1)  # noqa: S311 - a load, not a secret
    made = []
    for number in range(count):
        source, destination = choose.sample(codes, 2)
        body = {
            "source": source,
            "destination": destination,
            "amount": choose.randrange(1, 100_000),
            "currency": "EUR",
            "effective_date": "2026-11-22",
            "description": f"Order {number}",
        }
        made.append(submission("transfer", body))
    return made


def percentile(values: list[float], share: float) -> float:
    """The value below which the share (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
