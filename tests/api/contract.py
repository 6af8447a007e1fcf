"""Whether an answer is one that the OpenAPI document tells of: its status, its type and its code.

What an address may be answered with beside what its route says (`default`) is for what nobody
expects, and counts for nothing here.
"""

import re
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import orjson
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from api.errors import PROBLEM_JSON
from pipeline.refusal import CODES

PARAMETER = re.compile(r"<(?:[^:<>]+:)?([^<>]+)>")
REJECTED = "operation_rejected"


@lru_cache(maxsize=8)
def document(app: Flask) -> Any:
    """The OpenAPI document."""
    with app.test_client() as client:
        return client.get("/v1/openapi.json").json


def undocumented(route: Any, status: int, mimetype: str, body: bytes) -> str | None:
    """What of an answer its route does not tell of."""
    said = route["responses"].get(str(status))
    if said is None:
        return f"status {status}"
    if status != HTTPStatus.NOT_MODIFIED and mimetype not in said["content"]:
        return f"{status} as {mimetype}"
    if mimetype == PROBLEM_JSON:
        code, known = orjson.loads(body)["code"], route["x-problems"]
        if code not in known and not (REJECTED in known and code in CODES):
            return f"problem {code}"
    return None


def hold(app: Flask, rule: Rule | None, answer: TestResponse) -> None:
    """Every answer of a route that any test is given is as the document says."""
    if rule is None:
        return
    item = document(app)["paths"].get(PARAMETER.sub(r"{\1}", rule.rule), {})
    route = item.get(answer.request.method.lower())
    if route is not None:
        body = answer.data if answer.mimetype == PROBLEM_JSON else b""
        found = undocumented(route, answer.status_code, answer.mimetype or "", body)
        assert found is None, f"{answer.request.method} {rule.rule} does not tell of {found}"
