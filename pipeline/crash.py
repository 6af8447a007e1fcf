"""Crash points, for tests alone: TRIDENT_CRASH_AT names a folder.

A process that passes a point for which the folder holds a file of that name (`post.before_commit`)
removes the file and kills itself with SIGKILL. Removing first makes it happen once, whichever
process comes by first. Without the variable a point costs one comparison.
"""

import os
import signal
from pathlib import Path

from models.settings import settings

# Where a process may die: before the work, before and after the commit, after the next message.
AT_A_STAGE = ("before_work", "before_commit", "after_commit", "after_message")


def crash_point(name: str) -> None:
    """Die here, if a test asked for it."""
    folder = settings().crash_at
    if folder is None:
        return
    try:
        Path(folder, name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
