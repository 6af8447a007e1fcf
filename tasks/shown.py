"""What was done without its message appears in Flower all the same.

Flower knows tasks by the events that workers send. When the first task of a chain has done the work
of the whole chain, the rest of it need not be sent; its events are, under the ids that the messages
would have had, so that operators see every stage with its ledger and its positions.
"""

import time
from typing import Any

import structlog
from celery.events import EventDispatcher

from tasks.app import app

# All events of a chain leave in one message: three for each of four tasks.
EVENTS_MAX = 100
# A pool child publishes one thing at a time: it never waits for a connection of its own pool.
POOL_WAIT_S = 0.5

log = structlog.get_logger("trident.shown")


def drop_rest(request: Any, began_s: float) -> None:
    """Send no further message of the request's chain, and show its tasks as done since then."""
    rest, request.chain = list(reversed(request.chain or ())), None
    try:
        with app.pool.acquire(block=True, timeout=POOL_WAIT_S) as connection:
            show(connection, request, rest, time.time() - began_s)
    except Exception as error:  # noqa: BLE001 - what people see of the work must not undo it
        log.warning("not_shown", error=str(error))


def show(connection: Any, request: Any, rest: list[Any], runtime_s: float) -> None:
    """The events of tasks that were received, started and done, in one message."""
    grouped = {"buffer_group": frozenset({"task"}), "buffer_limit": EVENTS_MAX}
    with EventDispatcher(connection, hostname=request.hostname, app=app, **grouped) as events:
        for signature in rest:
            options = signature["options"]
            events.send(
                "task-received",
                uuid=options["task_id"],
                name=signature["task"],
                args=options["argsrepr"],
                kwargs=options["kwargsrepr"],
                root_id=request.root_id,
                parent_id=request.id,
                retries=0,
                eta=None,
                expires=None,
            )
            events.send("task-started", uuid=options["task_id"])
            events.send("task-succeeded", uuid=options["task_id"], result="None", runtime=runtime_s)
        events.flush()
