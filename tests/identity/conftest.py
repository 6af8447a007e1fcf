"""A tenant of its own for each test, with an owner, in the app that tests/api makes."""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any, NamedTuple

import pyotp
import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import text

from api.identity import tickets as routes
from cli.stack.ports import HOST
from models.db import intake_engine, tenant_reading, tenant_writing
from models.key_ring import key_ring
from models.ledger import event_ledger, find_ledger
from models.mail import LINK_URL, MAIL_FROM, SMTP_URL
from models.settings import settings
from models.tenant import owner_writing
from pipeline import tenants
from pipeline.events import Wanted, read_page
from pipeline.identity import lockout, passwords, people, tickets
from pipeline.identity.people import Actor
from tasks.mail import deliver
from tests.api.caller import Caller, token
from tests.api.conftest import (  # noqa: F401 - fixtures are found by their names
    _bellman,
    api,
    app,
    asleep,
    bellman,
    environment,
    ledger,
    stranger,
    work,
)
from tests.identity.post_office import PostOffice

ADA = "ada@mail.example"
GOOD = "marmot trellis 58 quench"
OTHER = "oboe gravel 17 thicket"
CLI = Actor("cli:test", frozenset({"owner"}))

# A hash as it is kept costs 0.2 s of a core, which is its point. These tests make and verify some
# two hundred; that what is kept is as dear as it should be is for test_sign_in.py, with DEAR.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
DEAR = passwords._hasher

_numbers = count(1)


def code_of(secret: str, steps: int = 0) -> str:
    """What a device shows that was told this secret, so many steps from now."""
    return pyotp.TOTP(secret).at(time.time(), counter_offset=steps)


class House(NamedTuple):
    """A tenant, and what is done in it over HTTP."""

    app: Flask
    tenant_id: int
    name: str

    def caller(self, bearer: str = "") -> Caller:
        """Somebody with this token, or with none."""
        return Caller(self.app, "main", bearer)

    def admin(self, *roles: str) -> Caller:
        """Somebody with a token of the command line."""
        return self.caller(token(roles or ("owner",), self.tenant_id, "cli:ada"))

    def person(self, *roles: str, email: str = "", password: str = GOOD) -> str:
        """Somebody who was invited and has accepted; their id."""
        address = email or f"p{next(_numbers)}@example.com"
        with tenant_writing(self.tenant_id) as connection:
            ring = key_ring()
            made = people.invite(connection, ring, self.tenant_id, CLI, address, roles)
            offered = tickets.offer(connection, ring, self.tenant_id, CLI, made.person_id)
        brought = {"invitation_token": offered.token, "password": password}
        accepted = self.caller().post("/v1/invitations/accept", brought)
        assert accepted.status_code == 200, accepted.text
        return made.person_id

    def try_in(self, email: str, password: str = GOOD, **more: Any) -> Any:
        """A try to sign in."""
        asked = {"tenant": self.name, "email": email, "password": password, **more}
        return self.caller().post("/v1/sessions", asked)

    def sign_in(self, email: str, password: str = GOOD, **more: Any) -> dict[str, Any]:
        """The tokens of a new session."""
        answer = self.try_in(email, password, **more)
        assert answer.status_code == 201, answer.text
        return dict(answer.json)

    def refresh(self, refresh_token: str) -> Any:
        """A try to go on."""
        return self.caller().post("/v1/sessions/refresh", {"refresh_token": refresh_token})

    def me(self, access: str) -> int:
        """What a request with the access token is answered with."""
        return self.caller(access).get("/v1/people/me").status_code

    def told(self, action: str) -> list[dict[str, Any]]:
        """The bodies of the events of this action, newest first."""
        with tenant_reading(self.tenant_id) as connection:
            found = read_page(connection, self.tenant_id, Wanted(100, action=action))
        return [one.body for one in found.events]

    def run(self, statement: str, **values: Any) -> Any:
        """A statement as the application's role."""
        with tenant_writing(self.tenant_id) as connection:
            return connection.execute(text(statement), values)

    def seal(self) -> None:
        """Let the stages work the tenant's events."""
        with tenant_reading(self.tenant_id) as connection:
            ledger = event_ledger(connection, self.tenant_id)
        assert ledger is not None
        work(ledger)

    def work(self, name: str) -> None:
        """Let the stages work a ledger."""
        with tenant_reading(self.tenant_id) as connection:
            ledger = find_ledger(connection, self.tenant_id, name)
        assert ledger is not None
        work(ledger)


def unlock_addresses() -> None:
    """All tests sign in from one address, many of them in vain."""
    with tenant_writing(lockout.INSTALLATION, intake_engine()) as connection:
        connection.execute(text("DELETE FROM sign_in_addresses"))


@pytest.fixture(autouse=True, scope="package")
def _cheap_hashes() -> Iterator[None]:
    """Passwords are hashed as they are in earnest, with less memory and in one pass."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(passwords, "_hasher", CHEAP)
        passwords._nobodys.cache_clear()
        yield
    passwords._nobodys.cache_clear()


@pytest.fixture
def house(app: Flask) -> House:  # noqa: F811 - the fixture
    """A tenant of its own; no address is locked."""
    with owner_writing() as connection:
        made = tenants.create(connection, f"house-{next(_numbers)}", "cli:test")[0]
    unlock_addresses()
    return House(app, made.tenant_id, made.name)


@pytest.fixture(scope="package")
def other_tenant(environment: dict[str, str]) -> int:  # noqa: F811 - what it asks for
    """The number of a second tenant."""
    with owner_writing() as connection:
        return tenants.create(connection, "strangers", "cli:test")[0].tenant_id


@pytest.fixture
def person(house: House) -> str:
    """Somebody who may sign in."""
    return house.person("operator", email="ada@example.com")


@pytest.fixture
def tokens(house: House, person: str) -> dict[str, Any]:
    """Their session's first tokens."""
    return house.sign_in("ada@example.com")


@pytest.fixture
def ada(house: House) -> str:
    """Somebody who has a password, before mail is set; their id."""
    return house.person("operator", email=ADA)


@pytest.fixture
def office(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[PostOffice]:
    """The mail server that is set. What other tests left was sent before."""
    made = PostOffice()
    monkeypatch.setenv(SMTP_URL, f"smtp://{HOST}:{made.port}")
    monkeypatch.setenv(MAIL_FROM, "Trident <no-reply@mail.example>")
    monkeypatch.setenv(LINK_URL, "https://front.example/welcome")
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    settings.cache_clear()
    made.start()
    deliver()
    made.came.clear()
    yield made
    made.close()
    monkeypatch.undo()
    settings.cache_clear()
