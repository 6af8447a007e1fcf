"""What tests of the writer hand in, and who gets into its way."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.parcel import Answer
from models.db import app_engine, raw_connection
from models.ledger import LedgerRef
from pipeline.accept import ACCEPT_LOCK
from pipeline.receipt import Accepted, Submission
from tests.api.caller import new_key
from tests.bank import ADMIN

BODY = b'{"amount":100,"currency":"EUR","destination":"a","source":"world"}'


def submission(key: str = "", body: bytes = BODY) -> Submission:
    """A transfer under a key of its own, unless one is given."""
    return Submission(key or new_key(), "transfer", body, ADMIN)


def positions(answers: Sequence[Answer]) -> list[int]:
    """Of accepted ones."""
    assert all(isinstance(one, Accepted) for one in answers), answers
    return [one.position for one in answers if isinstance(one, Accepted)]


class Rung:
    """Remembers what was rung for."""

    def __init__(self) -> None:
        self.calls: list[tuple[LedgerRef, int]] = []

    def __call__(self, ledger: LedgerRef, upto: int) -> None:
        self.calls.append((ledger, upto))


@contextmanager
def locked(ledger: LedgerRef) -> Iterator[None]:
    """Somebody else holds the ledger's accept lock."""
    lock = (ACCEPT_LOCK, ledger.ledger_id)
    with raw_connection(app_engine()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", lock)
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s, %s)", lock)
