"""Crash points, for tests alone: TRIDENT_CRASH_AT=post.before_commit:/path/to/token

A process that passes the named point while the token file exists removes the file and kills itself
with SIGKILL. Removing first makes it happen once, whichever process comes by.
"""

import os
import signal

from models.settings import settings


def crash_point(name: str) -> None:
    """Die here, if a test asked for it."""
    wanted = settings().crash_at
    if wanted is None or not wanted.startswith(name + ":"):
        return
    try:
        os.unlink(wanted.removeprefix(name + ":"))
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
