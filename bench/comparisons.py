"""naive, dbos, procrastinate: the same double entry, an operation at a time, on the same servers.

Each runs with two sensible settings, between two bulk loads of Trident; the better of each counts.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from bench.bulk import prepared
from bench.figures import Figures
from bench.others.contest import contest, rate, workers

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
            "1 x 16 at once": [["bench.others.dbos_", "first", "16"]],
            "2 x 16 at once": [["bench.others.dbos_", name, "16"] for name in ("first", "second")],
        },
    ),
    "procrastinate": Contender(
        "a Procrastinate job for each operation",
        "procrastinate_",
        {
            "2 x 4 threads": [["bench.others.procrastinate_", "4"]] * 2,
            "4 x 2 threads": [["bench.others.procrastinate_", "2"]] * 4,
        },
    ),
}


def compare(name: str, env: Mapping[str, str], operations: int) -> Figures:
    """Rates from the first accept until the last operation is through all stages."""
    contender = CONTENDERS[name]
    trident = [prepared(name, TRIDENT_OPERATIONS).play().notified_per_s]
    rates = {
        setting: contend(name, commands, env, operations)
        for setting, commands in contender.settings.items()
    }
    trident.append(prepared(name, TRIDENT_OPERATIONS).play().notified_per_s)
    cases = {"Trident": {"through_per_s": max(trident)}}
    cases["Trident"]["times_the_better"] = max(trident) / max(rates.values())
    cases |= {setting: {"through_per_s": found} for setting, found in rates.items()}
    notes = [
        f"Trident: {TRIDENT_OPERATIONS:,} transfers before and after the others; the faster run.",
        "All: the same accounts, from the first accept until the last operation is notified.",
    ]
    return Figures(name, f"{name}: {contender.says} ({operations:,})", cases, notes)


def contend(name: str, commands: Commands, env: Mapping[str, str], operations: int) -> float:
    """One setting's rate."""
    broker = env["TRIDENT_BROKER_URL"].rpartition("/")[0] + "/" + BROKER_DATABASE
    log = Path(env["TRIDENT_HOME"]) / "logs" / f"{name}.log"
    with contest(name) as arena:
        told = {"CONTEST_URL": arena.url, "CONTEST_SCHEMA": arena.schema}
        with environment({**told, "CONTEST_BROKER_URL": broker}):
            module = import_module(f"bench.others.{CONTENDERS[name].module}")
            with module.enqueuing() as enqueue, workers(commands, log):
                return rate(arena, operations, enqueue)


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set for as long as the context lasts; the workers inherit them."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
