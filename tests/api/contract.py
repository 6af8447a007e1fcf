"""Whether an answer is one that the OpenAPI document tells of: its status, its type and its code.

What an address may be answered with beside what its route says (`default`) is for what nobody
expects, and counts for nothing here.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple

import orjson
from flask import Flask
from werkzeug.routing import Rule

from api.errors import PROBLEM_JSON
from pipeline.refusal import CODES

PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
REJECTED = "operation_rejected"


@lru_cache(maxsize=8)
def document(app: Flask) -> Any:
    """The OpenAPI document."""
    with app.test_client() as client:
        return client.get("/v1/openapi.json").json


class Answer(NamedTuple):
    """What a request was answered with, and the route that answered it, if one did."""

    rule: Rule | None
    method: str
    status: int
    mimetype: str
    body: bytes


def hold(app: Flask, answer: Answer) -> None:
    """What a route has answered is as the document says."""
    if answer.rule is None:
        return
    path = PARAMETER.sub(r"{\1}", answer.rule.rule)
    route = document(app)["paths"].get(path, {}).get(answer.method.lower())
    if route is not None:
        found = undocumented(route, answer)
        assert found is None, f"{answer.method} {path} does not tell of {found}"


def undocumented(route: Any, answer: Answer) -> str | None:
    """What of an answer its route does not tell of."""
    said = route["responses"].get(str(answer.status))
    if said is None:
        return f"status {answer.status}"
    if answer.status != HTTPStatus.NOT_MODIFIED and answer.mimetype not in said["content"]:
        return f"{answer.status} as {answer.mimetype}"
    if answer.mimetype == PROBLEM_JSON:
        code, known = orjson.loads(answer.body)["code"], route["x-problems"]
        if code not in known and not (REJECTED in known and code in CODES):
            return f"problem {code}"
    return None
