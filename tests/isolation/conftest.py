"""The owner's engine, and a connection of the application's role that no tenant has used yet."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, Engine

from models.db import make_engine

TIMEOUT_MS = 10_000


@pytest.fixture
def owner(env: dict[str, str]) -> Iterator[Engine]:
    """The owner's engine."""
    url = env["TRIDENT_OWNER_DATABASE_URL"]
    made = make_engine(url, statement_timeout_ms=TIMEOUT_MS, trusted=True)
    yield made
    made.dispose()


@pytest.fixture
def application(env: dict[str, str]) -> Iterator[Connection]:
    """A new connection of the application's role."""
    made = make_engine(env["TRIDENT_DATABASE_URL"], statement_timeout_ms=TIMEOUT_MS)
    with made.connect() as connection:
        yield connection
    made.dispose()


@pytest.fixture
def sweeper(env: dict[str, str]) -> Iterator[Connection]:
    """A new connection of the sweeper's role."""
    made = make_engine(env["TRIDENT_SWEEPER_DATABASE_URL"], statement_timeout_ms=TIMEOUT_MS)
    with made.connect() as connection:
        yield connection
    made.dispose()
