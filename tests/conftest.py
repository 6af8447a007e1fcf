"""Fixtures that every test may ask for: real servers, and the environment that leads to them."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import psutil
import pytest

from cli import stack
from cli.stack.home import HOME_MODE
from models import db, settings
from models.logs import set_up_logs
from tasks.keep import keeper
from tasks.mail import mail_ringer
from tasks.ring import ringer

# Files that no disk has to keep, on systems that have them. Homes are at times ten at once, with up
# to 0.5 GiB of write-ahead log each: there must be room for them, and memory behind it.
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - what is made there has a name that nobody can tell
ROOM_BYTES = 8 << 30


@pytest.fixture(autouse=True, scope="session")
def _logs() -> Iterator[None]:
    """Log as the processes do: structlog's own rendering of a traceback takes seconds.

    Threads that still try to reach a test's servers end before what they write to does.
    """
    set_up_logs("INFO")
    yield
    for errands in (ringer, mail_ringer, keeper):
        if errands.cache_info().currsize:
            errands().close()


@pytest.fixture
def no_stack(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An environment that names no servers, so that a test can never touch a developer's own."""
    _forget(monkeypatch)
    settings.settings.cache_clear()
    yield
    settings.settings.cache_clear()


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """A TRIDENT_HOME whose servers were made, upgraded and stopped: to be copied, not used.

    A copy starts in a fifth of the time that a new one takes.
    """
    with _clean_environment(), temporary_home() as home:
        with stack.servers(home, any_ports=True):
            pass
        yield home


@pytest.fixture(scope="session")
def servers(template: Path) -> Iterator[dict[str, str]]:
    """Postgres, upgraded, and Valkey on free ports; their environment, as for `trident run`."""
    with _clean_environment(), temporary_home() as home:
        copy_home(template, home)
        with stack.servers(home, any_ports=True) as env:
            yield env
            db.dispose_engines()


@pytest.fixture
def env(servers: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment of the servers, set, so that models.settings finds them.

    What a test changes of it is taken back with it, and the settings are read anew before.
    """
    _forget(monkeypatch)
    for name, value in servers.items():
        monkeypatch.setenv(name, value)
    settings.settings.cache_clear()
    yield servers
    settings.settings.cache_clear()


@pytest.fixture(scope="module")
def module_env(servers: dict[str, str]) -> Iterator[dict[str, str]]:
    """The same, for what the tests of a module share."""
    with environment_of(servers):
        yield servers


@cache
def _where_homes_are() -> Path | None:
    """In memory, if there is enough: the servers sync all that they write, and no test needs that.

    Processes are killed by tests, and machines are not: what was written is there in both cases.
    """
    if not IN_MEMORY.is_dir() or not os.access(IN_MEMORY, os.W_OK):
        return None
    room = min(shutil.disk_usage(IN_MEMORY).free, psutil.virtual_memory().available)
    return IN_MEMORY if room >= ROOM_BYTES else None


@contextmanager
def temporary_home(*, on_disk: bool = False) -> Iterator[Path]:
    """An empty folder outside pytest's own, which are shut for the user that Postgres runs as."""
    place = None if on_disk else _where_homes_are()
    with tempfile.TemporaryDirectory(prefix="trident-test-", dir=place) as name:
        home = Path(name).resolve()
        home.chmod(HOME_MODE)
        yield home


def copy_home(template: Path, home: Path) -> None:
    """Fill a folder with a copy of a home, owners and modes included."""
    subprocess.run(["cp", "-Rp", f"{template}/.", str(home)], check=True)


@contextmanager
def environment_of(servers: dict[str, str]) -> Iterator[pytest.MonkeyPatch]:
    """The environment of the servers, and nothing else of ours, until the end."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        _forget(monkeypatch)
        for name, value in servers.items():
            monkeypatch.setenv(name, value)
        settings.settings.cache_clear()
        yield monkeypatch
    settings.settings.cache_clear()


@contextmanager
def _clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        _forget(monkeypatch)
        yield


def _forget(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRIDENT_")]:
        monkeypatch.delenv(name)
