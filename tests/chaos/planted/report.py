"""What came of a planted bug."""

from typing import NamedTuple


class Caught(NamedTuple):
    """A bug that was found: by what, and after how many seeds or seconds."""

    name: str
    by: str
    after: str


class EscapedError(Exception):
    """A planted bug was not found, or something was found where no bug is."""
