"""The warden: outlives a killed supervisor and ends what that one can no longer stop.

`python -m cli.stack.warden HOME` waits until its standard input ends, which happens when the
supervisor is gone, kill -9 included. That works on every platform and reaches grandchildren;
PR_SET_PDEATHSIG does neither: it goes with the thread that forked and is lost on a change of user.
"""

import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from cli.stack.ending import end_leftovers
from cli.stack.home import LOCK_LOOK_S, Home, try_lock

# The files of a killed process are closed one by one: our pipe may end before its lock does. Who
# holds the lock for longer than this is a new stack, and that one ends what is left.
TAKEOVER_S = 5.0


def main(root: Path) -> None:
    """Wait for the supervisor's end, then end its processes, unless a new stack does that."""
    sys.stdin.buffer.read()
    home = Home(root)
    if not home.processes.exists():
        return
    if not _takes_over(home):
        return
    found = end_leftovers(home)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sys.stdout.write(f"{now} the supervisor is gone; ended {', '.join(found) or 'nothing'}\n")


def _takes_over(home: Home) -> bool:
    """Get the lock: ours once the kernel has closed the dead supervisor's, unless a new one has it.

    It is not given back: our end does that.
    """
    lock = os.open(home.lock, os.O_RDWR)
    deadline = time.monotonic() + TAKEOVER_S
    while not try_lock(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOCK_LOOK_S)
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]))
