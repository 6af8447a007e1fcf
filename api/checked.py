"""What was found when somebody last asked whether everything works."""

import threading
import time
from collections.abc import Callable, Mapping

# Whoever asks more often gets the last answer: the route needs no token and must cost nothing.
REMEMBERED_S = 1.0

# What is wrong, or None.
Check = Callable[[], str | None]


class Checked:
    """The last look at everything, and when it was."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}
        self._at = float("-inf")
        self._lock = threading.Lock()

    def look(self, checks: Mapping[str, Check]) -> dict[str, str]:
        """`ok`, or what is wrong, by name."""
        # While one request looks, which may take seconds, the others get what was found before.
        if self._lock.acquire(blocking=not self._found):
            try:
                if time.monotonic() - self._at > REMEMBERED_S:
                    self._found = {name: check() or "ok" for name, check in checks.items()}
                    self._at = time.monotonic()
            finally:
                self._lock.release()
        return self._found
