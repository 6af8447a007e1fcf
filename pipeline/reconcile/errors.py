"""What can be wrong with what people ask of a reconciliation: a stable code, and what to do.

ReconcileError ── this cannot be done; the code is one of CODES
    Unreadable ── the file is refused whole: where, and why
"""

from typing import NamedTuple

CODES = {
    "malformed_statement": "The file is no statement that can be read.",
    "statement_mismatch": "The statement is not one of this account.",
    "unknown_mapping": "The ledger has no CSV mapping of this name.",
    "unknown_line": "The account has no statement line of this number.",
    "unknown_posting": "The account has no such posting.",
    "unknown_match": "The account has no match of this number.",
    "already_matched": "This is matched already.",
    "already_undone": "This match was undone already.",
    "being_booked": "An operation for this line is on its way.",
    "unbalanced_match": "Lines and postings of the match do not sum to the same.",
    "nothing_to_book": "There is no difference that could be booked.",
    "reconciliation_busy": "Somebody else reconciles this account just now.",
}

# So many faults say what is wrong with a file; the rest is only counted.
FAULTS_MAX = 20


class ReconcileError(Exception):
    """This cannot be done; `code` is stable, the message says what to do instead."""

    def __init__(self, code: str, message: str) -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code = code


class Fault(NamedTuple):
    """What is wrong in a file, and where: `line 5, column 3 (Amount)`, `line 40, element Amt`."""

    place: str
    message: str


class Unreadable(ReconcileError):
    """The file is refused whole, and nothing of it was stored."""

    def __init__(self, faults: list[Fault], count: int | None = None) -> None:
        self.faults = faults[:FAULTS_MAX]
        self.count = len(faults) if count is None else count
        lines = [f"{fault.place}: {fault.message}" for fault in self.faults]
        if self.count > len(self.faults):
            lines.append(f"and {self.count - len(self.faults)} more")
        super().__init__("malformed_statement", "\n".join(lines))


def unreadable(place: str, message: str) -> Unreadable:
    """A file with one fault."""
    return Unreadable([Fault(place, message)])
