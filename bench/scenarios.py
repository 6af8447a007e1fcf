"""The scenarios by name, and what they are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.bulk import bulk
from bench.comparisons import CONTENDERS, compare
from bench.figures import Figures
from bench.growth import growth
from bench.hot import hot
from bench.idle import idle
from bench.limit import limit
from bench.memory import memory
from bench.mixed import mixed
from bench.outage import outage
from bench.rest import rest, wait
from bench.statements import statements
from bench.tenants import tenants
from cli.stack.supervisor import Supervisor


@dataclass(frozen=True)
class Bench:
    """The running stack, and the sizes that the command's options have set."""

    env: Mapping[str, str]
    supervisor: Supervisor
    operations: int
    hot_operations: int
    idle_operations: int
    seconds: int
    mixed_rows: int
    tenants_seconds: int
    import_rows: int
    growth_postings: tuple[int, ...]
    memory_operations: int
    backlog: int
    compare_operations: int
    bank: Path | None


class Scenario(NamedTuple):
    """`usual`: runs when no scenario is named."""

    says: str
    run: Callable[[Bench], Figures]
    usual: bool = True


def contend(name: str, bench: Bench) -> Figures:
    """A comparison by name."""
    return compare(name, bench.supervisor, bench.env, bench.compare_operations)


SCENARIOS = {
    "idle": Scenario(
        "one operation at a time", lambda bench: idle(bench.env, bench.idle_operations)
    ),
    "rest": Scenario(
        "single POSTs over many connections", lambda bench: rest(bench.env, bench.seconds)
    ),
    "wait": Scenario(
        "POSTs that wait until they are final", lambda bench: wait(bench.env, bench.seconds)
    ),
    "bulk": Scenario(
        "one ledger, and four at once", lambda bench: bulk(bench.supervisor, bench.operations)
    ),
    "limit": Scenario(
        "the leanest SQL for the same rows", lambda bench: limit(bench.supervisor, bench.operations)
    ),
    "hot": Scenario("many operations on one account", lambda bench: hot(bench.hot_operations)),
    "mixed": Scenario(
        "single payments beside an import", lambda bench: mixed(bench.env, bench.mixed_rows)
    ),
    "tenants": Scenario(
        "1,000 ledgers at once, and a neighbour who imports",
        lambda bench: tenants(bench.env, bench.tenants_seconds, bench.import_rows),
    ),
    "growth": Scenario(
        "with ever more postings in the ledger",
        lambda bench: growth(bench.env, bench.growth_postings),
    ),
    **{
        name: Scenario(contender.says, partial(contend, name))
        for name, contender in CONTENDERS.items()
    },
    "memory": Scenario(
        "the largest worker process",
        lambda bench: memory(bench.supervisor, bench.memory_operations),
    ),
    "outage": Scenario(
        "a backlog when the workers come back",
        lambda bench: outage(bench.supervisor, bench.backlog),
    ),
    "statements": Scenario(
        "a bank's statements imported; takes --bank",
        lambda bench: statements(bench.bank),
        usual=False,
    ),
}
