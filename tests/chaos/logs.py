"""The logs of the app processes: a traceback must be explained by a fault, or it is a fault."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.chaos.finding import Finding

# How a traceback may end, and why that is expected under these faults.
EXPECTED = {
    r"^billiard\.exceptions\.WorkerLostError: .*SIGKILL": "a pool child was killed",
    r"server closed the connection unexpectedly": "the proxy or a dying Postgres hung up",
    r"the database system is \w+": "Postgres was killed: it starts up, recovers, is not yet ready",
    r"terminating connection due to administrator command": "pg_terminate_backend",
    r"terminating connection due to unexpected postmaster exit": "Postgres was killed",
    r"connection to server at .* failed: Connection refused": "the proxy has ended",
    r"WorkerLostError: Could not start worker processes": "a pool child was killed while its worker"
    " was starting: Celery gives up then, and is started again",
    r"^StopIteration$": "a child was killed while the broker was away: Celery 5 has no pipe for the"
    " next one as it reconnects, the worker ends, and is started again",
    r"^BrokenPipeError: \[Errno 32\] Broken pipe$": "the worker was killed while its child was"
    " starting: there is nobody left whom it could tell that it is up",
    r"^pipeline\.accept\.CommitUnknownError: ": "the connection broke as the scheduler committed:"
    " its next look submits the same keys",
    r"^redis\.exceptions\.(ConnectionError|TimeoutError): ": "the broker was killed",
    r"^kombu\.exceptions\.OperationalError: ": "the broker was killed",
    r"^AttributeError: 'NoneType' object has no attribute 'hostname'": "the broker died again while"
    " kombu 5.7 was reconnecting: the worker ends, and is started again",
    r"^celery\.beat\.SchedulingError: .*(Connection refused|Timeout|closed|reset)": "the broker was"
    " killed: beat tries again a second later",
}
# What calls a person. No fault of the surroundings may do that; but used refresh tokens are
# brought again on purpose (people.py).
ALERT = "trident.alert"
PROVOKED = ("refresh_token_reused",)
# What says that data or code was at fault. Under these faults neither is.
NEVER = ("run_failed", "group_failed", "submission_unstorable", "request_failed")
HEAD = "Traceback (most recent call last):"
# The line of a traceback that names the error: it begins with a class, not with spaces or DETAIL.
KIND = re.compile(r"(?:\w+\.)*[A-Z]\w*[a-z]\w*(?:: |$)")
QUOTED = 300


class Trouble(NamedTuple):
    """The end of a traceback, and the event under which it was logged."""

    error: str
    event: str


def check_logs(folder: Path, names: tuple[str, ...]) -> Finding:
    """Each traceback ends in an error that one of the faults explains."""
    finding = Finding("the logs hold no unexpected traceback", of="tracebacks")
    for name in names:
        for trouble in troubles((folder / f"{name}.log").read_text(errors="replace")):
            known = any(re.search(pattern, trouble.error) for pattern in EXPECTED)
            said = f"{name}: {trouble.error[:QUOTED]} ({trouble.event})"
            finding.look(known and trouble.event not in NEVER, said)
    return finding


def troubles(log: str) -> Iterator[Trouble]:
    """Every traceback of a log: in JSON lines, and bare."""
    bare: list[str] | None = None
    for line in log.splitlines():
        if line.startswith("{"):
            bare = None
            logged = _parsed(line)
            event = str(logged.get("event"))[:QUOTED]
            if HEAD in logged.get("exception", ""):
                yield Trouble(_error(logged["exception"]), event)
            elif event in NEVER or (logged.get("logger") == ALERT and event not in PROVOKED):
                yield Trouble(line, event)
        elif line.startswith(HEAD):
            bare = []
        elif bare is not None and line and not line.startswith((" ", "\t")):
            bare = None
            yield Trouble(line, "printed")


def _parsed(line: str) -> dict[str, str]:
    try:
        parsed: dict[str, str] = json.loads(line)
    except ValueError:
        return {}  # cut off where a process was killed
    return parsed


def _error(exception: str) -> str:
    """The error that ends a traceback, `kind: message`, in one line."""
    lines = exception.splitlines()
    last = max((at for at, line in enumerate(lines) if KIND.match(line)), default=len(lines) - 1)
    return " ".join(line.strip() for line in lines[last:])
