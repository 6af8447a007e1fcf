"""Answers as JSON, written by orjson: it is ten times as fast as Flask's own."""

from typing import Any

import orjson
from flask import Response, request

JSON = "application/json"


# Where a request's environment keeps headers that its answer gets as it leaves.
LEAVING = "trident.leaving"


def dump(value: Any) -> bytes:
    """JSON with times in UTC, ending in Z."""
    return orjson.dumps(value, option=orjson.OPT_UTC_Z)


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(dump(value), status, headers, content_type=JSON)


def leave_with(headers: dict[str, str]) -> None:
    """Headers of the answer, whatever it will be, of plain ASCII.

    They are put on as it leaves (api/gateway/gate.py), at a tenth of what Werkzeug takes for them.
    """
    request.environ.setdefault(LEAVING, []).extend(headers.items())


def unless_known(response: Response) -> Response:
    """The answer with an ETag of its content, or 304 to who has just that already."""
    response.add_etag()
    response.make_conditional(request)
    return response
