"""Text that no id, name or number is, in each part of a path and each parameter of a query."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from api.docs import METHODS
from pipeline.permissions import ROLES
from tests.api.caller import Caller, token
from tests.api.conftest import Bellman
from tests.api.contract import document

# As they stand in an address. The database takes neither a NUL nor half a surrogate pair.
TEXTS = {
    "a NUL": "a%00b",
    "bytes that are no UTF-8": "%FF%FE",
    "half a surrogate pair": "%ED%A0%80",
    "a text that runs backwards": "%E2%80%AEabc",
    "a number that no column holds": "9" * 40,
    "a long text": "x" * 5_000,
    "SQL": "x'%20OR%201%3D1%20--%20",
    "a way out": "..%2F..%2Fetc",
    "another header": "x%0D%0ASet-Cookie%3A%20a%3Db",
}


def addresses(app: Flask, ledger: str, hostile: str) -> Iterator[tuple[str, str]]:
    """Every documented route, with the text in one place of its address after the other."""
    for template, item in document(app)["paths"].items():
        for method in (one for one in METHODS if one in item):
            named = [*item.get("parameters", ()), *item[method].get("parameters", ())]
            there = {one["name"]: str(one.get("example")) for one in named if one["in"] == "path"}
            if "ledger" in there:
                there["ledger"] = ledger
            for name in there:
                yield method.upper(), template.format_map(there | {name: hostile})
            for one in named:
                if one["in"] == "query":
                    yield method.upper(), f"{template.format_map(there)}?{one['name']}={hostile}"


@pytest.mark.parametrize("hostile", TEXTS.values(), ids=TEXTS)
def test_hostile_text_is_refused_or_found_nowhere(
    app: Flask, api: Caller, asleep: Bellman, hostile: str
) -> None:
    """Never a server error, and nothing of it in a header."""
    caller = Caller(app, api.ledger, token(ROLES))
    tried = 0
    for tried, (method, address) in enumerate(addresses(app, api.ledger, hostile), 1):
        answer: Any = caller.call(method, address, {}, key=f"hostile-{tried}", wait=0)
        assert answer.status_code < 500, f"{method} {address} {answer.text}"
        assert "Set-Cookie" not in answer.headers
    assert tried > 100
