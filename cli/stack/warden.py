"""The warden: outlives a killed supervisor and ends what that one can no longer stop.

`python -m cli.stack.warden HOME` waits until its standard input ends, which happens when the
supervisor is gone, kill -9 included. That works on every platform and reaches grandchildren;
PR_SET_PDEATHSIG does neither: it goes with the thread that forked and is lost on a change of user.
"""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from cli.stack.ending import end_leftovers
from cli.stack.home import Home, try_lock


def main(root: Path) -> None:
    """Wait for the supervisor's end, then end its processes, unless a new stack does that."""
    sys.stdin.buffer.read()
    home = Home(root)
    if not home.processes.exists():
        return
    lock = os.open(home.lock, os.O_RDWR)
    if not try_lock(lock):
        return
    found = end_leftovers(home)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    sys.stdout.write(f"{now} the supervisor is gone; ended {', '.join(found) or 'nothing'}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
