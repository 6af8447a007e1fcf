"""Waiting for what happens off a request's way."""

import time
from collections.abc import Callable

LOOK_EVERY_S = 0.02


def eventually(true: Callable[[], bool], within_s: float) -> None:
    """Until it is true; fails when it is not in time."""
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not true within {within_s} s"
        time.sleep(LOOK_EVERY_S)
