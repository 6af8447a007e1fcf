"""The sweeper: ring for ledgers that lag and that nobody rings for.

Bells get lost: a broker is flushed, a worker dies between taking a message and working it. Once a
second the sweeper compares how far each ledger's log and stages have come with what it saw the last
time. Who moved is being worked on. Who lags and did not move is rung for, at growing intervals; the
third time in vain the bell says *careful*, so that a run which kills its process leaves a trace
(pipeline/poison.py).

What it saw last time lives in the broker. Flushed away, it is seen anew a second later.
"""

import json
import time
from typing import Any, NamedTuple

import structlog
from sqlalchemy import text

from models.db import sweeper_engine
from models.ledger import LedgerRef
from tasks.app import app
from tasks.chain import VALIDATE
from tasks.ring import BELLS_ENOUGH, broker, publish

# Its task and its queue.
SWEEP = "trident.sweep"
# With so many bells waiting the workers are behind, not idle: more bells would not help them.
QUEUE_MAX = 100
CAREFUL_AFTER = 3
# Behind busy workers a ledger stands still without any fault of its own: half a minute of rings.
CAREFUL_AFTER_BUSY = 6
BACKOFF_MAX_S = 30.0
MEMORY_KEY = "trident:sweep"

log = structlog.get_logger("trident.sweep")

# Two look-ups find who lags at all; only for those the other four are made.
LAGGING = text("""
    SELECT l.tenant_id, l.ledger_id, l.name, l.accepted,
           last_position(l.tenant_id, l.ledger_id, 'validate'),
           last_position(l.tenant_id, l.ledger_id, 'authorize'),
           last_position(l.tenant_id, l.ledger_id, 'post'),
           last_position(l.tenant_id, l.ledger_id, 'audit'),
           l.notified
      FROM (SELECT tenant_id, ledger_id, name,
                   last_position(tenant_id, ledger_id, 'accept') AS accepted,
                   last_position(tenant_id, ledger_id, 'notify') AS notified
              FROM ledgers) l
     WHERE l.accepted > l.notified
     ORDER BY l.ledger_id
""")


class Memory(NamedTuple):
    """What the sweeper remembers of a lagging ledger. `next_s`: when it may be rung again."""

    positions: list[int]
    rings: int
    next_s: float

    def stands_still(self, positions: list[int]) -> bool:
        """Whether a stage that lags behind the one before it has not moved since.

        The log and the stages before may move all the while: a run of `post` that kills its process
        must be noticed on a busy ledger too.
        """
        return any(
            now == then and now < before
            for before, now, then in zip(positions, positions[1:], self.positions[1:], strict=False)
        )

    def may_be_rung(self, now_s: float) -> bool:
        """Its time has come, or is further away than any pause: then a clock was set back."""
        return not 0 < self.next_s - now_s <= BACKOFF_MAX_S


# Without events: a look every second would push the chains out of what Flower shows.
@app.task(name=SWEEP, send_events=False)
def sweep_task() -> None:
    """Beat's errand. Those that wait behind it, after an outage thousands, want the same look."""
    broker().delete(SWEEP)
    sweep()


def sweep(*, at_once: bool = False) -> dict[LedgerRef, int]:
    """Ring for the ledgers that lag and stand still (`at_once`: for all that lag); which they are.

    Raises the errors of the database and of the broker: the next sweep is a second away.
    """
    lagging = read_lagging()
    memories = read_memories()
    queued = broker().llen(VALIDATE)
    if queued > QUEUE_MAX:
        log.info("sweep_held_back", lagging=len(lagging))
        return {}
    careful_after = CAREFUL_AFTER if queued < BELLS_ENOUGH else CAREFUL_AFTER_BUSY
    now = time.time()
    kept: dict[LedgerRef, Memory] = {}
    rung: dict[bool, dict[LedgerRef, int]] = {False: {}, True: {}}
    for ledger, positions in lagging.items():
        memory = memories.get(ledger.ledger_id)
        still = memory is not None and memory.stands_still(positions)
        rings, next_s = (memory.rings, memory.next_s) if memory and still else (0, now)
        if at_once or (memory is not None and still and memory.may_be_rung(now)):
            rung[rings + 1 >= careful_after][ledger] = positions[0]
            rings, next_s = rings + 1, now + min(2.0**rings, BACKOFF_MAX_S)
        kept[ledger] = Memory(positions, rings, next_s)
    write_memories(kept)
    for careful, due_ledgers in rung.items():
        publish(due_ledgers, careful=careful)
    if rung[True]:
        log.warning("ledgers_stand_still", ledgers=[ledger.ledger_id for ledger in rung[True]])
    return {**rung[False], **rung[True]}


def read_lagging() -> dict[LedgerRef, list[int]]:
    """Each ledger that lags, with the last position of its log and of each stage."""
    with sweeper_engine().connect() as connection:
        rows = connection.execute(LAGGING).all()
    return {LedgerRef(row[0], row[1], row[2]): list(row[3:]) for row in rows}


def read_memories() -> dict[int, Memory]:
    """What was seen last time, by ledger."""
    kept: Any = broker().hgetall(MEMORY_KEY)
    return {int(ledger_id): Memory(*json.loads(value)) for ledger_id, value in kept.items()}


def write_memories(kept: dict[LedgerRef, Memory]) -> None:
    """Replace them; a ledger that lags no more is forgotten."""
    pipe = broker().pipeline()
    pipe.delete(MEMORY_KEY)
    if kept:
        pipe.hset(
            MEMORY_KEY,
            mapping={ledger.ledger_id: json.dumps(memory) for ledger, memory in kept.items()},
        )
    pipe.execute()
