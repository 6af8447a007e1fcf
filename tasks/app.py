"""The Celery app. Its messages are bells: they carry which ledgers have work, and nothing else."""

import gc
from typing import Any

import billiard.pool
from celery import Celery
from celery.signals import celeryd_init, setup_logging, task_postrun, worker_process_init

from models.db import dispose_engines
from models.key_ring import named_source
from models.logs import set_up_logs
from models.settings import bells, settings
from pipeline.crash import crash_point

# A pool child that stops waits until its parent has read all its results, 300 times 0.1 s at the
# most, while the parent already waits for the child: one stop in ten took 30 s. Our tasks have no
# results to lose, so a second is plenty.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10

app = Celery(
    "trident",
    include=[
        "tasks.stages",
        "tasks.sweep",
        "tasks.due",
        "tasks.index",
        "tasks.erase",
        "tasks.mail",
    ],
)
app.config_from_object("celeryconfig")


@setup_logging.connect
def _logs(**_: Any) -> None:
    set_up_logs(bells().log_level)


@celeryd_init.connect
def _fail_early(**_: Any) -> None:
    if settings().mail is not None:
        named_source()  # what is mailed is sealed; nothing else that a worker does opens a key


@worker_process_init.connect
def _own_connections(**_: Any) -> None:
    """A pool child makes connections of its own: one that crossed the fork serves two masters."""
    dispose_engines()


@worker_process_init.connect
def _leave_what_is_loaded(**_: Any) -> None:
    """The collector of cycles looks at what a pool child makes, not at the whole program again."""
    gc.freeze()


@task_postrun.connect
def _after_message(task: Any = None, **_: Any) -> None:
    """The next step of the chain is published by now; the worker has not gone on yet."""
    crash_point(f"{str(getattr(task, 'name', '')).removeprefix('trident.')}.after_message")
