"""How many bodies are read at once where people come without a token.

The server waits for a body as long as its client likes, and a thread waits with it. So whoever
announces bodies and does not send them could take every thread: of these routes' bodies few are
waited for, and of one address fewer. One that is sent takes no time to be read.
"""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from api.errors import Problem

# Of 64 threads (Procfile): the others are there for who has a token.
READERS_MAX = 16
OF_ADDRESS_MAX = 4

_lock = threading.Lock()
_reading: Counter[str] = Counter()


@contextmanager
def reading(address: str) -> Iterator[None]:
    """While a body from this address is read; raises Problem where too many are."""
    with _lock:
        if _reading.total() >= READERS_MAX or _reading[address] >= OF_ADDRESS_MAX:
            raise Problem(
                "bodies_awaited",
                "Too many bodies have been announced and are not here yet. Send the whole request"
                " at once, and try again in a second.",
            )
        _reading[address] += 1
    try:
        yield
    finally:
        with _lock:
            _reading[address] -= 1
            if not _reading[address]:
                del _reading[address]
