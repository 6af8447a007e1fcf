"""Waiting for what happens off a request's way."""

import time
from collections.abc import Callable

from sqlalchemy import text

from models.db import app_engine

LOOK_EVERY_S = 0.02


def eventually(true: Callable[[], bool], within_s: float) -> None:
    """Until it is true; fails when it is not in time."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {within_s} s"
        time.sleep(LOOK_EVERY_S)


def wait_for_locks(many: int, within_s: float = 10) -> None:
    """Until so many others wait in the database for somebody's lock."""
    query = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")

    def waiting() -> bool:
        with app_engine().begin() as connection:
            return bool(connection.execute(query).scalar_one() >= many)

    eventually(waiting, within_s)
