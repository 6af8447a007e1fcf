"""Flask without what no request here needs: coroutines, sessions in cookies, names of hosts.

It would look for each of them at every request, which together takes as long as reading a token.
"""

from collections.abc import Callable
from typing import Any

from flask import Flask, Request
from flask.sessions import NullSession, SessionInterface
from werkzeug.routing import MapAdapter


class Plain(Flask):
    """The Flask of this API. Its addresses are the same whatever host is asked for them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.session_interface = _NoSessions()

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function as it is: Flask would ask each one whether it is a coroutine."""
        return func

    def create_url_adapter(self, request: Request | None) -> MapAdapter | None:
        """Finds the request's route by its path alone; a host is read for redirects only, and no
        route redirects."""
        if request is None:
            return None
        return MapAdapter(
            self.url_map,
            server_name="",
            script_name=request.root_path,
            subdomain="",
            url_scheme=request.scheme,
            path_info=request.path,
            default_method=request.method,
        )


class _NoSessions(SessionInterface):
    """A request shows a token or a key: nobody has a session in a cookie."""

    def __init__(self) -> None:
        self._none = NullSession()

    def open_session(self, app: Flask, request: Request) -> NullSession:
        """The same for everybody; nothing can be put into it."""
        return self._none
