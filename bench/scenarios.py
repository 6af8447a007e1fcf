"""The scenarios by name, and what they are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.bulk import bulk
from bench.comparisons import CONTENDERS, compare
from bench.figures import Figures
from bench.hot import hot
from bench.idle import idle
from bench.limit import limit
from bench.statements import statements
from cli.stack.supervisor import Supervisor


@dataclass(frozen=True)
class Bench:
    """The running stack, and the sizes that the command's options have set."""

    env: Mapping[str, str]
    supervisor: Supervisor
    operations: int
    hot_operations: int
    idle_operations: int
    compare_operations: int
    bank: Path | None


class Scenario(NamedTuple):
    """`usual`: runs when no scenario is named."""

    says: str
    run: Callable[[Bench], Figures]
    usual: bool = True


def contend(name: str, bench: Bench) -> Figures:
    """A comparison by name."""
    return compare(name, bench.env, bench.compare_operations)


SCENARIOS = {
    "idle": Scenario(
        "one operation at a time", lambda bench: idle(bench.env, bench.idle_operations)
    ),
    "bulk": Scenario("one ledger, and four at once", lambda bench: bulk(bench.operations)),
    "limit": Scenario("the leanest SQL for the same rows", lambda bench: limit(bench.operations)),
    "hot": Scenario("many operations on one account", lambda bench: hot(bench.hot_operations)),
    **{
        name: Scenario(contender.says, partial(contend, name))
        for name, contender in CONTENDERS.items()
    },
    "statements": Scenario(
        "a bank's statements imported (takes --bank)", lambda bench: statements(bench.bank), False
    ),
}
