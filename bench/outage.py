"""outage: the workers are gone while operations come in, and come back to the backlog."""

import os
import signal
import time

import psutil
from sqlalchemy import text

from bench.bulk import prepared
from bench.figures import Figures
from bench.measure import feed, pace, reached
from cli.stack.supervisor import Supervisor
from models.db import tenant_reading
from models.ledger import LedgerRef

FIRST_RUN = text(
    "SELECT extract(epoch FROM min(at))::float FROM runs WHERE tenant_id = :tenant"
    " AND ledger_id = :ledger AND stage = 'validate' AND from_position > :after"
)


def outage(supervisor: Supervisor, operations: int) -> Figures:
    """How long the backlog takes from the first run on, and the rate of it."""
    usual = prepared("outage", operations).play().notified_per_s
    load = prepared("outage", operations)
    after = reached(load.ledger, "accept")
    down(supervisor)
    began = time.time()
    last = feed(load.ledger, load.submissions)
    accepted = time.time()
    assert reached(load.ledger, "validate") == after, "somebody worked while the workers were down"
    back(supervisor)
    called = time.time()
    ended = pace(operations, began, accepted, [(load.ledger, last)])
    first = first_run(load.ledger, after)
    rate = operations / (ended.notified - first)
    figures = {
        "backlog": operations,
        "accepted_per_s": operations / (accepted - began),
        "workers_back_after_s": first - called,
        "posted_after_s": ended.posted - first,
        "notified_after_s": ended.notified - first,
        "drained_per_s": rate,
        "in_bulk_per_s": usual,
        "of_bulk_%": 100 * rate / usual,
    }
    notes = [
        "The worker's processes are killed and kept from starting while the backlog is accepted.",
        "Back after: from the order to start them to their first run. The rest counts from there.",
        "In bulk: as many, just before, accepted and worked at the same time.",
    ]
    return Figures("outage", "outage: a backlog without workers", {"outage": figures}, notes)


def down(supervisor: Supervisor) -> None:
    """End all that work: the pool's processes are killed, and their parent stopped for now.

    The supervisor would start a parent that is gone again at once; one that is stopped it leaves.
    """
    parent = psutil.Process(worker(supervisor))
    parent.send_signal(signal.SIGSTOP)
    for child in parent.children(recursive=True):
        child.kill()


def back(supervisor: Supervisor) -> None:
    """Let the supervisor find the worker dead and start a new one."""
    os.kill(worker(supervisor), signal.SIGKILL)


def worker(supervisor: Supervisor) -> int:
    """The pid of Celery's parent process."""
    pid = supervisor.pid("worker")
    assert pid is not None, "the worker is down: see worker.log"
    return pid


def first_run(ledger: LedgerRef, after: int) -> float:
    """When the first stage first worked on what came after a position."""
    scope = {"tenant": ledger.tenant_id, "ledger": ledger.ledger_id, "after": after}
    with tenant_reading(ledger.tenant_id) as connection:
        return float(connection.execute(FIRST_RUN, scope).scalar_one())
