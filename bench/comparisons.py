"""naive, dbos, procrastinate: the same double entry, an operation at a time, on the same servers.

Each runs with two sensible settings, between two bulk loads of Trident; the better of each counts.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from bench.bulk import prepared
from bench.cpu import metered
from bench.figures import Figures
from bench.others.contest import contest, rate_of, warm_up, workers
from cli.stack.supervisor import Supervisor

# Trident is so much faster that the same number would be over before it had begun.
TRIDENT_OPERATIONS = 20_000
# Another logical database of the same Valkey: Trident's sweeper must not find its queue there.
BROKER_DATABASE = "1"

Commands = Sequence[Sequence[str]]


class Contender(NamedTuple):
    """`module`: of bench.others. `settings`: by name, the worker processes."""

    says: str
    module: str
    settings: Mapping[str, Commands]


def celery(processes: int) -> Commands:
    """A worker of the naive chain."""
    options = ["-c", str(processes), "-O", "fair", "--without-gossip", "--without-mingle"]
    return [["celery", "-A", "bench.others.naive", "worker", *options]]


CONTENDERS = {
    "naive": Contender(
        "a Celery chain for each operation",
        "naive",
        {f"{n} processes": celery(n) for n in (2, 4)},
    ),
    "dbos": Contender(
        "a DBOS workflow for each operation",
        "dbos_",
        {
            "1 x 50 at once": [["bench.others.dbos_", "first", "50"]],
            "2 x 16 at once": [["bench.others.dbos_", name, "16"] for name in ("first", "second")],
        },
    ),
    "procrastinate": Contender(
        "a Procrastinate job for each operation",
        "procrastinate_",
        {
            "1 x 10 threads": [["bench.others.procrastinate_", "10"]],
            "2 x 5 threads": [["bench.others.procrastinate_", "5"]] * 2,
        },
    ),
}


def compare(name: str, supervisor: Supervisor, env: Mapping[str, str], operations: int) -> Figures:
    """Rates from the first accept until the last operation is through all stages."""
    contender = CONTENDERS[name]
    turns = [trident(name, supervisor)]
    others = {}
    for setting, commands in contender.settings.items():
        others[setting] = contend(name, commands, supervisor, env, operations)
    turns.append(trident(name, supervisor))
    ours = max(turns, key=itemgetter("through_per_s"))
    theirs = max(others.values(), key=itemgetter("through_per_s"))
    ours["times_the_better"] = ours["through_per_s"] / theirs["through_per_s"]
    ours["times_by_cpu"] = theirs["cpu_us_in_all"] / ours["cpu_us_in_all"]
    notes = [
        f"Trident: {TRIDENT_OPERATIONS:,} transfers before and after the others; the faster run.",
        "All: the same accounts, from the first accept until the last operation is notified.",
        "CPU: microseconds for each operation of whoever feeds, of the workers and of Postgres.",
    ]
    return Figures(
        name, f"{name}: {contender.says} ({operations:,})", {"Trident": ours, **others}, notes
    )


def trident(name: str, supervisor: Supervisor) -> dict[str, float]:
    """Trident's rate, and its work for each operation."""
    load = prepared(name, TRIDENT_OPERATIONS)
    with metered(supervisor, TRIDENT_OPERATIONS) as cpu:
        rate = load.play().notified_per_s
    return {"through_per_s": rate, "cpu_us_in_all": cpu["cpu_us_in_all"]}


def contend(
    name: str,
    commands: Commands,
    supervisor: Supervisor,
    env: Mapping[str, str],
    operations: int,
) -> dict[str, float]:
    """One setting's rate, and its work for each operation."""
    broker = env["TRIDENT_BROKER_URL"].rpartition("/")[0] + "/" + BROKER_DATABASE
    log = Path(env["TRIDENT_HOME"]) / "logs" / f"{name}.log"
    with contest(name) as arena:
        told = {"CONTEST_URL": arena.url, "CONTEST_SCHEMA": arena.schema}
        with environment({**told, "CONTEST_BROKER_URL": broker}):
            module = import_module(f"bench.others.{CONTENDERS[name].module}")
            with module.enqueuing() as enqueue, workers(commands, log) as pids:
                warm_up(arena, enqueue)
                with metered(supervisor, operations, pids) as cpu:
                    rate = rate_of(arena, operations, enqueue)
    return {"through_per_s": rate, "cpu_us_in_all": cpu["cpu_us_in_all"]}


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set for as long as the context lasts; the workers inherit them."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
