"""Procrastinate: one job for each operation, which takes it through the stages.

Synchronous tasks run in threads of the worker; `concurrency` is how many at a time.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONValue
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from bench.others import books
from bench.others.contest import Enqueue

URL = os.environ["CONTEST_URL"]
app = App(connector=PsycopgConnector(conninfo=URL.replace("+psycopg2", "")))
Session = sessionmaker(create_engine(URL))


@app.task(name="pay")
def pay(operation_id: int) -> None:
    """The five stages, a commit after each: a job that is tried again goes on where it was."""
    for stage in books.STAGES:
        with Session.begin() as session:
            stage(session, operation_id)


def enqueue(operation_ids: Sequence[int]) -> None:
    """One job for each, all in one statement."""
    jobs: list[dict[str, JSONValue]] = [{"operation_id": number} for number in operation_ids]
    pay.batch_defer(*jobs)


@contextmanager
def enqueuing() -> Iterator[Enqueue]:
    """Procrastinate's tables, and a connection to hand jobs over."""
    with app.open():
        app.schema_manager.apply_schema()
        yield enqueue


if __name__ == "__main__":
    app.run_worker(concurrency=int(sys.argv[1]))
