"""A wall clock that a test can set wrong: Python imports this module when a process starts.

TRIDENT_TEST_CLOCK names a file that holds an offset in seconds. `time.time`, `time.time_ns` and
`datetime.now` are ahead of the truth by it, and follow the file while the process runs. Time-outs
and waits are measured by the monotonic clock, which nobody sets: they stay as they are.
"""

import copyreg
import datetime
import os
import time
from typing import Any

# How long an offset is believed before the file is read again.
BELIEVED_S = 0.2

_path = os.environ["TRIDENT_TEST_CLOCK"]
_real_time = time.time
_real_datetime = datetime.datetime
_read_at = float("-inf")
_offset_s = 0.0


def offset_s() -> float:
    """By how much the clock is ahead."""
    global _read_at, _offset_s  # noqa: PLW0603 - one clock for the whole process
    now = time.monotonic()
    if now - _read_at > BELIEVED_S:
        _read_at = now
        try:
            with open(_path) as file:
                _offset_s = float(file.read() or 0)
        except (OSError, ValueError):
            _offset_s = 0.0
    return _offset_s


def _time() -> float:
    return _real_time() + offset_s()


def _time_ns() -> int:
    return int(_time() * 1e9)


class _Moments(type):
    """Every real datetime passes for one of the replaced class."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _real_datetime)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _real_datetime)


class _Datetime(_real_datetime, metaclass=_Moments):
    """datetime.datetime with another `now`; what it makes are real datetimes."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real_datetime(*args, **kwargs)

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _real_datetime.now(tz) + datetime.timedelta(seconds=offset_s())

    @classmethod
    def utcnow(cls) -> Any:
        return _real_datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(
            seconds=offset_s()
        )


def moment(text: str) -> datetime.datetime:
    """A real datetime out of a pickle, which would miss its class under its name."""
    return _real_datetime.fromisoformat(text)


copyreg.pickle(_real_datetime, lambda real: (moment, (real.isoformat(),)))
time.time = _time
time.time_ns = _time_ns
datetime.datetime = _Datetime  # type: ignore[misc]
