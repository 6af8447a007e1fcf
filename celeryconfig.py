"""Celery's settings. A message is an expendable bell: Postgres knows what is owed."""

import datetime as dt
import time

from celery.schedules import schedule

from models.settings import bells

broker_url = bells().broker_url
broker_transport_options = {
    # Bells are acknowledged before they are worked, so nothing waits for a redelivery; the
    # smallest value that outlives a bell's 30 s time limit keeps `unacked` short.
    "visibility_timeout": 60,
    "unacked_restore_interval": 5,  # seconds between looks at `unacked`: cheap at this size
    "unacked_restore_throttle": 1,
    "socket_timeout": 5,  # a dead broker is noticed within 5 s instead of never
    "socket_connect_timeout": 1,  # loopback or one rack: a second is a dead host
    "socket_keepalive": True,
    "health_check_interval": 10,
    "priority_steps": [0],  # one list per queue; the stages have queues of their own
    "queue_order_strategy": "priority",  # -Q order: finish what is begun before beginning more
}
# A ceiling: connections are made when needed, and the ringing thread needs one. Flower asks workers
# eight things at a time over two connections each; with fewer it waits for itself, and its page
# stays empty.
broker_pool_limit = 32
broker_pool_acquire_timeout = 0.5
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

result_backend = None
task_ignore_result = True
task_serializer = "json"
accept_content = ["json"]
task_repr_maxlevels = 1

task_acks_late = False
task_reject_on_worker_lost = False
task_time_limit = 30  # above Postgres' statement_timeout of 10 s: the database gives up first
task_soft_time_limit = None
task_publish_retry_policy = {
    "max_retries": 1,
    "interval_start": 0,
    "interval_step": 0.1,
    "interval_max": 0.2,
}

worker_prefetch_multiplier = 1
worker_max_memory_per_child = 400_000  # KiB; a child that outgrows it is replaced between bells
worker_send_task_events = True  # Flower lives on these
task_send_sent_event = False
worker_deduplicate_successful_tasks = False
worker_cancel_long_running_tasks_on_connection_loss = False
worker_hijack_root_logger = False
timezone = "UTC"


def steady() -> dt.datetime:
    """A clock that nobody sets: by the wall clock beat would sleep through an hour set back."""
    return dt.datetime.fromtimestamp(time.monotonic(), dt.UTC)


# Beat rings for nobody itself, and no due time waits in it: once a second it asks a worker to look,
# who lags (sweep) and what is due. It remembers nothing from one start to the next: the monotonic
# clock begins anew with the machine. No expiry: the clocks of two machines differ; a look takes
# those that wait behind it along.
beat_scheduler = "celery.beat:Scheduler"
beat_schedule = {
    "sweep": {
        "task": "trident.sweep",
        "schedule": schedule(1.0, nowfun=steady),
        "options": {"queue": "trident.sweep"},
    },
    "due": {
        "task": "trident.due",
        "schedule": schedule(1.0, nowfun=steady),
        "options": {"queue": "trident.due"},
    },
    # Searches look through what is not indexed yet: five seconds at the bulk rate are 100,000
    # operations, and a look costs the database 2 ms for a thousand ledgers.
    "index": {
        "task": "trident.index",
        "schedule": schedule(5.0, nowfun=steady),
        "options": {"queue": "trident.index"},
    },
    # A day is a promise to a person; ten minutes later is the same day. A look costs a look-up.
    "erase": {
        "task": "trident.erase",
        "schedule": schedule(600.0, nowfun=steady),
        "options": {"queue": "trident.erase"},
    },
    # Whoever writes a mail rings for it; this finds lost bells, and what is to be tried again after
    # a minute or more.
    "mail": {
        "task": "trident.mail",
        "schedule": schedule(10.0, nowfun=steady),
        "options": {"queue": "trident.mail"},
    },
}
