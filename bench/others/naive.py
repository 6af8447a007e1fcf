"""naive: what a competent team writes first: a Celery chain for each operation.

Five tasks, a commit in each. Late acknowledgement, because an operation exists nowhere else than
in its message; that is safe, because each stage looks whether it is its turn.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

from celery import Celery, chain
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from bench.others import books
from bench.others.contest import Enqueue

app = Celery("naive", broker=os.environ["CONTEST_BROKER_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)
Session = sessionmaker(create_engine(os.environ["CONTEST_URL"]))


@app.task(name="naive.validate")
def validate(operation_id: int) -> None:
    """Does it make sense?"""
    with Session.begin() as session:
        books.validate(session, operation_id)


@app.task(name="naive.authorize")
def authorize(operation_id: int) -> None:
    """May they do this?"""
    with Session.begin() as session:
        books.authorize(session, operation_id)


@app.task(name="naive.post")
def post(operation_id: int) -> None:
    """Into the ledger."""
    with Session.begin() as session:
        books.post(session, operation_id)


@app.task(name="naive.audit")
def audit(operation_id: int) -> None:
    """Seal it."""
    with Session.begin() as session:
        books.audit(session, operation_id)


@app.task(name="naive.notify")
def notify(operation_id: int) -> None:
    """Tell those who wait."""
    with Session.begin() as session:
        books.notify(session, operation_id)


def enqueue(operation_ids: Sequence[int]) -> None:
    """Send each on its way."""
    for number in operation_ids:
        stages = (validate, authorize, post, audit, notify)
        chain(*(stage.si(number) for stage in stages)).apply_async()


def enqueuing() -> AbstractContextManager[Enqueue]:
    """Celery needs nothing prepared."""
    return nullcontext(enqueue)
