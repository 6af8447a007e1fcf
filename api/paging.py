"""Pages of a list: `limit`, `after`, and in the answer `has_more` and `next`.

A cursor is opaque to clients: the name of the list that gave it and the place where the next page
begins, as base64. It is no secret and no permission: every page is asked for by a tenant.
"""

import base64
import binascii
from typing import Any

import orjson

from api.errors import Problem
from pipeline.search.lines import LEGS_END
from pipeline.search.wanted import Place

LIMIT_DEFAULT = 50
LIMIT_MAX = 200
# The longest place is an account code of 128 characters.
CURSOR_MAX_LENGTH = 256
# The last position that a log can have (models/operation.py: 40 bits).
PLACE_MAX = 2**40


def cursor(listed: str, place: int | str | Place) -> str:
    """The cursor behind which the next page of this list begins."""
    plain = list(place) if isinstance(place, Place) else place
    return base64.urlsafe_b64encode(orjson.dumps([listed, plain])).rstrip(b"=").decode()


def number_after(listed: str, after: str | None) -> int | None:
    """The number behind which the page begins, or None for the first page; raises Problem."""
    place = _place(listed, after)
    if place is not None and not (type(place) is int and 0 <= place <= PLACE_MAX):
        raise _refusal()
    return place


def place_after(listed: str, after: str | None) -> Place | None:
    """The posting behind which the page begins, or None for the first page; raises Problem."""
    place = _place(listed, after)
    if place is None:
        return None
    match place:
        case [int(position), int(leg)] if 0 <= position <= PLACE_MAX and 0 <= leg <= LEGS_END:
            return Place(position, leg)
    raise _refusal()


def text_after(listed: str, after: str | None) -> str | None:
    """The text behind which the page begins, or None for the first page; raises Problem."""
    place = _place(listed, after)
    if place is not None and not (isinstance(place, str) and place.isprintable()):
        raise _refusal()
    return place


def page(data: list[Any], following: str | None) -> dict[str, Any]:
    """The answer. `following` is the cursor of the next page, or None on the last one."""
    return {"object": "list", "data": data, "has_more": following is not None, "next": following}


def _place(listed: str, after: str | None) -> Any:
    if after is None:
        return None
    try:
        if len(after) > CURSOR_MAX_LENGTH:
            raise _refusal()
        padded = after + "=" * (-len(after) % 4)
        name, place = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, TypeError):
        raise _refusal() from None
    if name != listed or place is None:
        raise _refusal()
    return place


def _refusal() -> Problem:
    return Problem(
        "invalid_cursor",
        "`after` takes what the page before gave as `next`, unchanged, from the same list.",
        param="after",
    )
