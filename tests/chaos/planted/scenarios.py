"""The bugs that need real servers to show, by name."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.chaos.planted.backstops import decided_twice
from tests.chaos.planted.durability import synchronous_commit_off
from tests.chaos.planted.guarded import (
    rewrapped_after_erasure,
    sessions_of_anybody,
    stored_in_clear,
)
from tests.chaos.planted.keys import keys_only_in_redis, unique_keys_dropped
from tests.chaos.planted.promised import BUGS, on_servers
from tests.chaos.planted.report import Caught
from tests.chaos.planted.tenants import row_count_unchecked, tenant_filter_removed

# Scenarios, by the bug's name; each returns what caught it.
Scenario = Callable[[Path | None], str]

SCENARIOS: dict[str, Scenario] = {
    "unique keys dropped, and accept's look-up": unique_keys_dropped,
    "keys kept only in Redis": keys_only_in_redis,
    "tenant filter and policy removed": tenant_filter_removed,
    "row count unchecked under a wrong tenant": row_count_unchecked,
    "synchronous_commit=off, Postgres killed": synchronous_commit_off,
    "decisions forgotten, and their guards dropped": decided_twice,
    "personal data stored in clear": stored_in_clear,
    "keys wrapped anew whatever became of them, guards dropped": rewrapped_after_erasure,
    "sessions without tenant filter and policy": sessions_of_anybody,
    **{bug.name: partial(on_servers, bug) for bug in BUGS},
}

# These take long, and `make chaos` has the time: Postgres is killed twice, and several servers
# start. The bugs of `promised` are put in beside other tests as well, on their servers.
LONG = frozenset(
    {
        "synchronous_commit=off, Postgres killed",
        "personal data stored in clear",
        "keys wrapped anew whatever became of them, guards dropped",
        "sessions without tenant filter and policy",
        *(bug.name for bug in BUGS),
    }
)


def catch(name: str, template: Path | None = None) -> Caught:
    """Play the scenario; raises EscapedError."""
    start = time.monotonic()
    by = SCENARIOS[name](template)
    return Caught(name, by, f"{time.monotonic() - start:.0f} s")
