"""What may have come of an operation: absence never passes for success."""

from pipeline.kinds.kind import Kind

LEGS_MIN = 2  # double entry


def fault_of(kind: Kind, *, rejected: bool, decided: bool, legs: int) -> str | None:
    """What is wrong with an outcome, if anything is: `it has 3 postings, where none belong`.

    `decided`: the operation decided another one, or has begun to wait for others itself.
    """
    if rejected and decided:
        return "it was rejected, and decides"
    if decided and legs != 1:
        return None
    wanted = not rejected and kind.posts
    if legs >= LEGS_MIN if wanted else not legs:
        return None
    return f"it has {legs} postings, where {'two or more' if wanted else 'none'} belong"
