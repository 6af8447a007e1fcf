"""What may have come of an operation: absence never passes for success."""

import orjson

from pipeline.kinds import kind_of
from pipeline.kinds.kind import Kind, no_one

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
    if not (rejected or decided) and _decides(name, body):
        return "it decides nothing, where it names what it decides"
    wanted = not rejected and _posts(name, body)
    if legs >= LEGS_MIN if wanted else not legs:
        return None
    return f"it has {legs} postings, where {'two or more' if wanted else 'none'} belong"


def _posts(name: str, body: str | None) -> bool:
    kind = kind_of(name)
    if kind.posts is not None:
        return kind.posts
    return any(one.posts for one in _inner(name, body))


def _decides(name: str, body: str | None) -> bool:
    kind = kind_of(name)
    if kind.posts is not None:
        return kind.targets is not no_one
    return any(one.targets is not no_one for one in _inner(name, body))


def _inner(name: str, body: str | None) -> list[Kind]:
    assert body is not None, f"what a {name} does is for its body to say"
    return [kind_of(inner_name) for inner_name, _ in kind_of(name).inner(orjson.loads(body))]
