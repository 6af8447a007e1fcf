"""The indexing errand: keep the index of every ledger's log behind its last stage.

Beat asks for it every few seconds, on a queue that workers look at last. One errand at a time looks
which ledgers have a whole segment waiting and works them by turns; what is left when its time is up
the next one finds. Nothing waits for it: searches look through what is not indexed yet.
"""

import time

import structlog
from sqlalchemy import text

from models.db import sweeper_engine
from models.ledger import LedgerRef
from pipeline.search.codes import SEGMENT
from pipeline.search.index import index_next
from pipeline.stage import FEW
from tasks.app import app
from tasks.ring import broker

# Its task and its queue.
INDEX = "trident.index"
# An errand leaves its worker to the stages soon: 2 s are some 200,000 operations.
ENDS_AFTER_S = 2.0

log = structlog.get_logger("trident.index")

# While a ledger's stages are behind, its operations need the cores more than the index does: a bulk
# load is indexed after its end, or when a search would have to look through so many segments.
SEGMENTS_WAITING_MAX = 100

DUE = text("""
    SELECT tenant_id, ledger_id, name
      FROM (SELECT l.tenant_id, l.ledger_id, l.name,
                   last_position(l.tenant_id, l.ledger_id, 'accept') AS accepted,
                   last_position(l.tenant_id, l.ledger_id, 'notify') AS notified,
                   coalesce((
                   SELECT p.segments FROM search_progress p
                    WHERE p.tenant_id = l.tenant_id AND p.ledger_id = l.ledger_id LIMIT 1), 0)
                       ::bigint * :segment AS indexed
              FROM ledgers l WHERE NOT starts_with(l.name, 'trident-')) l
     WHERE notified >= indexed + :segment
       AND (accepted - notified <= :few OR notified >= indexed + :segment * :most)
     ORDER BY ledger_id
""")


# Without events, as the sweep: it would push the chains out of what Flower shows.
@app.task(name=INDEX, send_events=False)
def index_task() -> None:
    """Beat's errand. Those that wait behind it want the same look."""
    broker().delete(INDEX)
    index_due()


def index_due() -> int:
    """Index the ledgers that have a whole segment waiting, until the time is up; how many runs."""
    due = read_due()
    ends = time.monotonic() + ENDS_AFTER_S
    runs = 0
    while due:
        left = []
        for ledger in due:
            if time.monotonic() > ends:
                return runs
            if index_one(ledger):
                left.append(ledger)
            runs += 1
        due = left
    return runs


def index_one(ledger: LedgerRef) -> bool:
    """One segment of the ledger; whether another waits.

    A fault stops no other ledger, and the next errand tries again.
    """
    try:
        done = index_next(ledger)
    except Exception:
        log.exception("index_failed", tenant=ledger.tenant_id, ledger=ledger.ledger_id)
        return False
    return done is not None and done.more


def read_due() -> list[LedgerRef]:
    """The ledgers that have a whole segment waiting and nothing better to do, of all tenants."""
    wanted = {"segment": SEGMENT, "few": FEW, "most": SEGMENTS_WAITING_MAX}
    with sweeper_engine().connect() as connection:
        return [LedgerRef(*row) for row in connection.execute(DUE, wanted)]
