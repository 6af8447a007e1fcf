"""What an invariant found: how much it looked at, and each violation with what it concerns."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

Key = tuple[str, str]  # tenant and idempotency key


class Violation(NamedTuple):
    """One thing that must not be, and the operations whose history shows it."""

    message: str
    keys: tuple[Key, ...] = ()


@dataclass
class Finding:
    """One invariant after a run."""

    invariant: str
    examined: int = 0
    of: str = ""  # of what: operations, runs, ...
    violations: list[Violation] = field(default_factory=list)

    def look(self, holds: bool, message: str, *keys: Key) -> None:
        """One more was examined."""
        self.examined += 1
        if not holds:
            self.violate(message, *keys)

    def violate(self, message: str, *keys: Key) -> None:
        """What was examined last must not be. Who looks often words the message only for this."""
        self.violations.append(Violation(message, keys))


def merged(parts: Iterable[Finding]) -> Finding:
    """The same invariant of several ledgers as one."""
    whole, *others = parts
    for part in others:
        whole.examined += part.examined
        whole.violations += part.violations
    return whole
