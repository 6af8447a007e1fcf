"""What may have come of an operation: absence never passes for success."""

import orjson

from pipeline.kinds import kind_of

LEGS_MIN = 2  # double entry


def fault_of(
    name: str, body: str | None, *, rejected: bool, decided: bool, legs: int
) -> str | None:
    """What is wrong with an outcome, if anything is: `it has 3 postings, where none belong`.

    `body` is needed of a kind that has postings where its inner operations have.
    `decided`: the operation decided another one, or has begun to wait for others itself.
    """
    if rejected and decided:
        return "it was rejected, and decides"
    if decided and legs != 1:
        return None
    wanted = not rejected and _posts(name, body)
    if legs >= LEGS_MIN if wanted else not legs:
        return None
    return f"it has {legs} postings, where {'two or more' if wanted else 'none'} belong"


def _posts(name: str, body: str | None) -> bool:
    kind = kind_of(name)
    if kind.posts is not None:
        return kind.posts
    assert body is not None, f"whether a {name} has postings is for its body to say"
    return any(kind_of(inner_name).posts for inner_name, _ in kind.inner(orjson.loads(body)))
