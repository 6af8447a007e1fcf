"""What stop signals do to a command that runs a stack."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

# Ctrl-C, `kill`, and the terminal's window closed.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

# What a shell reports of a command that a signal has ended: this plus the signal's number.
EXIT_SIGNALLED = 128


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """Let each stop signal end us in good order, with the status that a shell expects."""

    def interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        # nohup asks for this, and may.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        sys.exit(EXIT_SIGNALLED + signal.SIGINT)
