"""Fixtures that every test may ask for: real servers, and the environment that leads to them."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import stack
from models import db, settings
from models.logs import set_up_logs


@pytest.fixture(autouse=True, scope="session")
def _logs() -> None:
    """Log as the processes do: structlog's own rendering of a traceback takes seconds."""
    set_up_logs("INFO")


@pytest.fixture
def no_stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment that names no servers, so that a test can never touch a developer's own."""
    _forget(monkeypatch)
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


@pytest.fixture(scope="session")
def servers() -> Iterator[dict[str, str]]:
    """Postgres, upgraded, and Valkey on free ports; their environment, as for `trident run`."""
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        tempfile.TemporaryDirectory(prefix="trident-test-") as home,
    ):
        _forget(monkeypatch)
        with stack.servers(Path(home), any_ports=True) as env:
            yield env
            db.dispose_engines()


@pytest.fixture
def env(servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of the servers, set, so that models.settings finds them."""
    _forget(monkeypatch)
    for name, value in servers.items():
        monkeypatch.setenv(name, value)
    settings.settings.cache_clear()
    yield servers
    settings.settings.cache_clear()


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRIDENT_")]:
        monkeypatch.delenv(name)
