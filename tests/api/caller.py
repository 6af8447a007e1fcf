"""What a client does: requests with a token, an idempotency key and a body."""

import datetime as dt
import itertools
from collections.abc import Iterable
from typing import Any

import orjson
from flask import Flask, request
from werkzeug.test import TestResponse

from api.errors import PROBLEM_JSON
from models.ledger import LedgerRef
from models.token import mint
from tests.api.contract import Answer, hold
from tests.bank import Bank

ROLES = ("admin", "operator", "submitter", "auditor")
LIABILITY = {"type": "liability", "currency": "EUR"}
WORLD = {"type": "asset", "currency": "EUR", "overdraft": "unlimited"}

_keys = itertools.count(1)


def token(
    roles: Iterable[str] = ROLES, tenant_id: int = 1, subject: str = "tests", **narrowed: Any
) -> str:
    """An access token; `narrowed` to scopes or ledgers."""
    return mint(subject, tenant_id, roles, dt.timedelta(minutes=15), **narrowed)


def new_key() -> str:
    """A key that no other test uses."""
    return f"key-{next(_keys)}"


def transfer(amount: Any = 100, **more: Any) -> dict[str, Any]:
    """A transfer of euro cents from the world to a."""
    return {
        "kind": "transfer",
        "source": "world",
        "destination": "a",
        "amount": amount,
        "currency": "EUR",
        **more,
    }


def operations_of(ledger: LedgerRef) -> int:
    """How many operations its log holds."""
    return int(Bank(ledger).rows("SELECT count(*) FROM operations WHERE ledger_id = :ledger")[0][0])


def problem(answer: Any) -> tuple[int, str]:
    """Its status and code."""
    return answer.status_code, answer.json["code"]


class Caller:
    """A client of one ledger. Paths are relative to it unless they begin with a slash."""

    def __init__(self, app: Flask, ledger: str, bearer: str | None = None) -> None:
        self.app = app
        self.ledger = ledger
        self.bearer = bearer if bearer is not None else token()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        wait: int | None = None,
        headers: dict[str, str] | None = None,
        mimetype: str = "application/json",
    ) -> TestResponse:
        """One request, whose answer the document tells of (tests/api/contract.py).

        `body` is sent as it is when it is bytes, as JSON otherwise.
        """
        every = {"Authorization": f"Bearer {self.bearer}"} if self.bearer else {}
        if key is not None:
            every["Idempotency-Key"] = key
        if wait is not None:
            every["Prefer"] = f"wait={wait}"
        here = f"/v1/ledgers/{self.ledger}"
        where = path if path.startswith("/") else f"{here}/{path}" if path else here
        raw = body if isinstance(body, bytes) or body is None else orjson.dumps(body)
        with self.app.test_client() as client:
            answer = client.open(
                where,
                method=method,
                data=raw,
                headers={**every, **(headers or {})},
                content_type=mimetype if raw is not None else None,
            )
            mimetype = answer.mimetype or ""
            body = answer.data if mimetype == PROBLEM_JSON else b""
            told = Answer(request.url_rule, method, answer.status_code, mimetype, body)
            hold(self.app, told)
            return answer

    def with_roles(self, *roles: str, **claims: Any) -> "Caller":
        """Another caller at the same ledger."""
        return Caller(self.app, self.ledger, token(roles, **claims))

    def get(self, path: str, **kwargs: Any) -> TestResponse:
        """GET."""
        return self.call("GET", path, **kwargs)

    def post(self, path: str, body: Any = None, **kwargs: Any) -> TestResponse:
        """POST."""
        return self.call("POST", path, body, **kwargs)

    def submit(self, body: Any, key: str | None = None, **kwargs: Any) -> TestResponse:
        """POST an operation under a key of its own, unless one is given."""
        return self.post("operations", body, key=new_key() if key is None else key, **kwargs)

    def open(self, code: str, **attributes: Any) -> dict[str, Any]:
        """An account that is open: a liability in EUR unless attributes say otherwise."""
        body = {"code": code, **LIABILITY, **attributes}
        opened = self.post("accounts", body, key=new_key())
        assert opened.status_code == 201, opened.text
        return dict(opened.json or {})

    def open_two(self) -> None:
        """`world`, which may go below zero without limit, and `a`."""
        self.open("world", **WORLD)
        self.open("a")

    def posted(self, body: Any) -> dict[str, Any]:
        """An operation that was posted."""
        answer = self.submit(body, wait=10)
        assert answer.json is not None
        assert answer.json["status"] == "posted", answer.text
        return dict(answer.json)
