"""Bodies that are too large: no route reads them."""

import pytest
from flask import Flask

from tests.api.caller import Caller, new_key
from tests.api.test_permissions import routes

# More than any route takes.
TOO_LARGE = b"[" + b" " * (65 * 1024 * 1024)


@pytest.mark.parametrize("mimetype", ["application/json", "text/csv"])
def test_no_route_takes_a_body_without_end(app: Flask, api: Caller, mimetype: str) -> None:
    """413, or what else is wrong with the request; never a 2xx, never a 5xx."""
    for route in routes(app, api.ledger):
        if route.method in ("GET", "DELETE"):
            continue
        answer = api.call(
            route.method, route.path, TOO_LARGE, key=new_key(), wait=None, mimetype=mimetype
        )
        assert 400 <= answer.status_code < 500, (route, answer.text[:200])
