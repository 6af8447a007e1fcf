"""DBOS: one durable workflow for each operation, with a transaction for each stage.

A datasource transaction commits the stage's effect together with DBOS's record of the step, so no
step happens twice. The accounts are locked, so READ COMMITTED is enough for them.
"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from dbos import (
    DBOS,
    DBOSClient,
    EnqueueOptions,
    SQLAlchemyDatasource,
    run_dbos_database_migrations,
)

from bench.others import books
from bench.others.contest import Enqueue

URL = os.environ["CONTEST_URL"]
SCHEMA = os.environ["CONTEST_SCHEMA"]
QUEUE = "operations"
# How often a worker looks for more. The default of a second lets it run `worker_concurrency`
# workflows a second and no more; 0.02 s cost more than it brought.
POLL_S = 0.1
VERSION = "1"

datasource = SQLAlchemyDatasource.create(URL, schema=SCHEMA)


@datasource.transaction(isolation_level="READ COMMITTED")
def validate(operation_id: int) -> None:
    """Does it make sense?"""
    books.validate(datasource.sql_session(), operation_id)


@datasource.transaction(isolation_level="READ COMMITTED")
def authorize(operation_id: int) -> None:
    """May they do this?"""
    books.authorize(datasource.sql_session(), operation_id)


@datasource.transaction(isolation_level="READ COMMITTED")
def post(operation_id: int) -> None:
    """Into the ledger."""
    books.post(datasource.sql_session(), operation_id)


@datasource.transaction(isolation_level="READ COMMITTED")
def audit(operation_id: int) -> None:
    """Seal it."""
    books.audit(datasource.sql_session(), operation_id)


@datasource.transaction(isolation_level="READ COMMITTED")
def notify(operation_id: int) -> None:
    """Tell those who wait."""
    books.notify(datasource.sql_session(), operation_id)


@DBOS.workflow(name="pay")
def pay(operation_id: int) -> None:
    """The five stages; a workflow that is recovered goes on after its last step."""
    for stage in (validate, authorize, post, audit, notify):
        stage(operation_id)


@contextmanager
def enqueuing() -> Iterator[Enqueue]:
    """DBOS's tables, and a client outside of the workers that enqueues one workflow for each.

    A workflow has the operation's own id: enqueued twice, it runs once.
    """
    run_dbos_database_migrations(URL, schema=SCHEMA)
    SQLAlchemyDatasource.migrate(URL, schema=SCHEMA)
    client = DBOSClient(system_database_url=URL, dbos_system_schema=SCHEMA)

    def enqueue(operation_ids: Sequence[int]) -> None:
        for number in operation_ids:
            options: EnqueueOptions = {
                "workflow_name": "pay",
                "queue_name": QUEUE,
                "workflow_id": f"op-{number}",
                "app_version": VERSION,
            }
            client.enqueue(options, number)

    try:
        yield enqueue
    finally:
        client.destroy()


def work(name: str, concurrency: int) -> None:
    """One worker process, until it is ended."""
    DBOS(
        config={
            "name": "bench",
            "system_database_url": URL,
            "dbos_system_schema": SCHEMA,
            "application_version": VERSION,
            "executor_id": name,
            "log_level": "WARNING",
        }
    )
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=concurrency, polling_interval_sec=POLL_S)
    threading.Event().wait()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
