"""What a process remembers of a bearer counts for two seconds from when it was looked up."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, event

from api import tokens as tokens_module
from api.errors import Problem
from api.tokens import RECHECK_S, Tokens
from models.db import app_engine
from tests.api.caller import token
from tests.identity.conftest import House

WAIT_S = 10.0


class Clock(SimpleNamespace):
    """The clocks that `api.tokens` reads: they stand still until a test moves them."""

    now = 0.0

    def monotonic(self) -> float:
        """Since some moment."""
        return self.now

    def time(self) -> float:
        """As above: what is remembered here does not expire."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clocks of `api.tokens`."""
    clock = Clock()
    monkeypatch.setattr(tokens_module, "time", clock)
    return clock


@pytest.fixture
def key(house: House) -> dict[str, Any]:
    """An API key."""
    answer: Any = house.admin().post("/v1/api-keys", {"name": "shop", "roles": ["submitter"]})
    assert answer.status_code == 201, answer.text
    return dict(answer.json)


def revoke(house: House, key: dict[str, Any]) -> None:
    """In another process than the one that remembers it."""
    answer = house.admin().call("DELETE", f"/v1/api-keys/{key['id']}")
    assert answer.status_code == 200, answer.text


@contextmanager
def looking(engine: Engine, when: str, act: Any) -> Iterator[None]:
    """Something happens `before` or `after` each look at an API key."""

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM api_keys k" in statement:
            act()

    event.listen(engine, f"{when}_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(engine, f"{when}_cursor_execute", note)


@contextmanager
def counting(engine: Engine) -> Iterator[list[str]]:
    """The statements that this thread makes; what is written off a request's way is not its own."""
    made: list[str] = []
    here = threading.get_ident()

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if threading.get_ident() == here:
            made.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield made
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_look_counts_from_its_beginning(house: House, key: dict[str, Any], clock: Clock) -> None:
    """A process that stood still behind its look takes no key that was revoked meanwhile."""
    remembered = Tokens(app_engine())

    def stand_still() -> None:
        clock.now += RECHECK_S

    with looking(app_engine(), "after", stand_still):
        remembered.principal(key["key"])
    revoke(house, key)
    with pytest.raises(Problem, match="token_invalid"):
        remembered.principal(key["key"])
    remembered.stop()


def test_nobody_waits_for_a_look_that_hangs(
    house: House, key: dict[str, Any], clock: Clock
) -> None:
    """While one request asks, others go by the answer before, until that is two seconds old."""
    remembered, go_on, hangs = Tokens(app_engine()), threading.Event(), threading.Event()
    remembered.principal(key["key"])
    clock.now += RECHECK_S - 0.1
    revoke(house, key)

    def hang() -> None:
        if threading.current_thread() is slow:
            hangs.set()
            go_on.wait(WAIT_S)

    def ask() -> None:
        with pytest.raises(Problem, match="token_invalid"):
            remembered.principal(key["key"])

    slow = threading.Thread(target=ask)
    with looking(app_engine(), "before", hang):
        slow.start()
        assert hangs.wait(WAIT_S), "nobody looked before what is remembered was two seconds old"
        remembered.principal(key["key"])
        clock.now += 0.1
        with pytest.raises(Problem, match="token_invalid"):
            remembered.principal(key["key"])
        go_on.set()
        slow.join()
    remembered.stop()


def test_a_key_costs_no_more_than_a_token(house: House, key: dict[str, Any], clock: Clock) -> None:
    """In statements: when a process meets it, when it is remembered, and when it looks again."""
    house.person("submitter", email="shop@example.com")
    bearers = {
        "key": key["key"],
        "session": house.sign_in("shop@example.com")["access_token"],
        "token": token(("submitter",), house.tenant_id),
    }
    cost: dict[str, list[int]] = {}
    remembered = Tokens(app_engine())
    for name, bearer in bearers.items():
        cost[name] = []
        for waited_s in (0.0, 0.0, RECHECK_S):
            clock.now += waited_s
            with house.app.app_context(), counting(app_engine()) as made:
                remembered.principal(bearer)
            cost[name].append(len(made))
    remembered.stop()
    assert cost == {"key": [2, 0, 2], "session": [3, 0, 3], "token": [2, 0, 2]}
