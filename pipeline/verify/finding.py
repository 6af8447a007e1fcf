"""What a check found."""

from collections.abc import Iterable
from typing import NamedTuple


class Fault(NamedTuple):
    """What is wrong, at which position or account (its code, or `number N` if it has none)."""

    message: str
    position: int | None = None
    account: str | None = None

    def __str__(self) -> str:
        if self.position is not None:
            return f"at position {self.position}: {self.message}"
        if self.account is not None:
            return f"at account {self.account}: {self.message}"
        return self.message


class Finding(NamedTuple):
    """The outcome of one check: what it looked at, and the first fault that it found.

    Or it was not made, and `examined` says why.
    """

    check: str
    examined: str
    fault: Fault | None
    made: bool


class FoundError(Exception):
    """A check has found its first fault, and ends."""

    def __init__(self, message: str, position: int | None = None, account: str | None = None):
        super().__init__(message)
        self.fault = Fault(message, position, account)


def first_fault(findings: Iterable[Finding]) -> Finding | None:
    """The first finding with a fault."""
    return next((finding for finding in findings if finding.fault is not None), None)
