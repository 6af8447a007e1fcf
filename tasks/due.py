"""The scheduler: once a second, what is due becomes operations (pipeline/due.py).

A ledger's due times are taken up a thousand at a time, and the next ones when those have been
posted: who is halted or far behind costs a look-up a second, and nobody else's time. Ledgers take
turns, within a tenant by who was served longest ago, and the tenants among themselves.

Where the scheduler is with each ledger lives in the broker. Flushed away, it is found out anew.
"""

import json
import time
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import structlog
from sqlalchemy import text

from models.db import sweeper_engine
from models.ledger import LedgerRef
from models.settings import settings
from pipeline.due import submit_due
from pipeline.poison import is_timeout
from pipeline.receipt import Accepted, Receipt
from tasks.app import app
from tasks.ring import broker, ring_now

# Its task and its queue.
DUE = "trident.due"
# What does not fit into a second waits for the next look; a submission takes about 0.1 s.
LOOK_ENDS_AFTER_S = 0.8
MEMORY_KEY = "trident:due"

log = structlog.get_logger("trident.due")

# One look-up of an index for each ledger. A deleted tenant's logs take nothing.
WITH_DUE = text("""
    SELECT l.tenant_id, l.ledger_id, l.name, due.oldest,
           last_position(l.tenant_id, l.ledger_id, 'accept') AS accepted,
           last_position(l.tenant_id, l.ledger_id, 'post') AS posted
      FROM ledgers l
      JOIN tenants t USING (tenant_id)
     CROSS JOIN LATERAL (
           SELECT due_at AS oldest FROM pending_operations p
            WHERE p.tenant_id = l.tenant_id AND p.ledger_id = l.ledger_id
              AND p.due_at <= now()
            ORDER BY p.due_at LIMIT 1) due
     WHERE t.deleted_at IS NULL
     ORDER BY due.oldest, l.ledger_id
""")


class Memory(NamedTuple):
    """Where the last submissions of a ledger stand in its log, and when its turn was."""

    upto: int
    at_s: float


# Without events: a look every second would push the chains out of what Flower shows.
@app.task(name=DUE, send_events=False)
def due_task() -> None:
    """Beat's errand. Those that wait behind it, after an outage thousands, want the same look."""
    broker().delete(DUE)
    submit_all()


def submit_all() -> dict[LedgerRef, int]:
    """Submit what is due, turn by turn, and ring; the ledgers with their newest positions.

    Raises the errors of the broker, and of the database where it cannot say what is due.
    """
    waiting = read_waiting()
    ends = time.monotonic() + LOOK_ENDS_AFTER_S
    rung: dict[LedgerRef, int] = {}
    for ledger in in_turns(waiting):
        if time.monotonic() > ends:
            log.info("due_left_for_the_next_look", ledgers=len(waiting))
            break
        upto = _submit(ledger)
        remember(ledger, Memory(upto, time.time()))
        if upto:
            rung[ledger] = upto
    if rung:
        ring_now(rung)
    return rung


def _submit(ledger: LedgerRef) -> int:
    """Submit what is due in one ledger; where the last of it stands, or 0."""
    try:
        return reached(submit_due(ledger, settings().max_lag))
    except Exception as error:
        # No ledger's fault may keep the others waiting; its turn comes again.
        whose = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id}
        if is_timeout(error):  # somebody else is adding to its log, an import perhaps
            log.warning("due_ledger_busy", **whose)
        else:
            log.exception("due_not_submitted", **whose)
        return 0


def reached(receipts: Iterable[Receipt]) -> int:
    """The newest position, or 0 where nothing was taken: the ledger is too far behind."""
    positions = (receipt.position for receipt in receipts if isinstance(receipt, Accepted))
    return max(positions, default=0)


def read_waiting() -> dict[LedgerRef, Memory]:
    """The ledgers with something due whose last submissions have been posted, oldest first.

    What is remembered from beyond the end of a log is of another: a backup was restored.
    """
    memories = read_memories()
    with sweeper_engine().connect() as connection:
        rows = connection.execute(WITH_DUE).all()
    forget(memories.keys() - {row.ledger_id for row in rows})
    nothing = Memory(0, 0.0)
    return {
        LedgerRef(row.tenant_id, row.ledger_id, row.name): memory
        for row in rows
        if not row.posted < (memory := memories.get(row.ledger_id, nothing)).upto <= row.accepted
    }


def in_turns(waiting: dict[LedgerRef, Memory]) -> list[LedgerRef]:
    """One ledger of each tenant, then a second of each: who was served longest ago comes first."""
    ranks: dict[int, int] = {}
    ranked = []
    for ledger in sorted(waiting, key=lambda ledger: waiting[ledger].at_s):
        rank = ranks[ledger.tenant_id] = ranks.get(ledger.tenant_id, 0) + 1
        ranked.append((rank, ledger))
    return [ledger for _, ledger in sorted(ranked, key=lambda ranked: ranked[0])]


def read_memories() -> dict[int, Memory]:
    """Where the scheduler was, by ledger."""
    kept: Any = broker().hgetall(MEMORY_KEY)
    return {int(ledger_id): Memory(*json.loads(value)) for ledger_id, value in kept.items()}


def remember(ledger: LedgerRef, memory: Memory) -> None:
    """Where the scheduler is with the ledger."""
    broker().hset(MEMORY_KEY, str(ledger.ledger_id), json.dumps(memory))


def forget(ledger_ids: Collection[int]) -> None:
    """Nothing is due in these ledgers any more."""
    if ledger_ids:
        broker().hdel(MEMORY_KEY, *map(str, ledger_ids))
