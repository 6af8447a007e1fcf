"""What the stack tells its user while it starts, runs and stops: one line at a time."""

from collections.abc import Callable

# Hears each line, also from another thread.
Say = Callable[[str], None]

# What a line begins with that a person must see even where progress is not shown.
NOTE = "note: "


def quiet(_line: str) -> None:
    """Say nothing; logs/stack.log has it."""
