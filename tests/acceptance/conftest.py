"""Real worker processes: a Celery worker and beat, on the test's own servers."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import stack
from cli.stack.ports import HOST
from models import settings
from models.mail import MAIL_FROM, SMTP_URL
from tests.bank import Bank, new_ledger
from tests.conftest import temporary_home
from tests.identity.post_office import PostOffice

ROOT = Path(__file__).parents[2]
QUEUES = ",".join(
    f"trident.{queue}"
    for queue in (
        "sweep",
        "due",
        "notify",
        "audit",
        "post",
        "authorize",
        "validate",
        "mail",
        "index",
        "erase",
    )
)
STOP_S = 20


@pytest.fixture(scope="package")
def office() -> Iterator[PostOffice]:
    """Where the mail of the whole stack goes."""
    made = PostOffice()
    with made.open():
        yield made


@pytest.fixture(scope="package")
def running(office: PostOffice) -> Iterator[dict[str, str]]:
    """The environment of the whole stack, started in an empty home."""
    with pytest.MonkeyPatch.context() as environment, temporary_home() as home:
        environment.setenv(SMTP_URL, f"smtp://{HOST}:{office.port}")
        environment.setenv(MAIL_FROM, "no-reply@mail.example")
        environment.setenv("TRIDENT_TRUSTED_PROXIES", "127.0.0.1")
        with stack.start(home, any_ports=True) as env:
            yield env


@pytest.fixture(scope="module")
def crash_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file named after a crash point makes the next process that passes it die."""
    return tmp_path_factory.mktemp("crash")


@pytest.fixture(scope="module")
def workers(
    servers: dict[str, str], crash_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A worker with two children, and beat; yields the folder of their logs."""
    logs = tmp_path_factory.mktemp("logs")
    env = {**os.environ, **servers, "TRIDENT_CRASH_AT": str(crash_folder)}
    worker = f"-m celery -A tasks.app worker -Q {QUEUES} -c 2 -O fair -E"
    commands = {
        "worker": f"{worker} --without-gossip --without-mingle",
        "beat": "-m celery -A tasks.app beat --pidfile=",
    }
    running = []
    for name, command in commands.items():
        with (logs / f"{name}.log").open("w") as log:
            arguments = [sys.executable, *command.split()]
            running.append(subprocess.Popen(arguments, env=env, cwd=ROOT, stdout=log, stderr=log))
    yield logs
    for process in running:
        process.terminate()
    for process in running:
        process.wait(STOP_S)


@pytest.fixture
def bank(workers: Path, env: dict[str, str]) -> Bank:
    """A ledger whose stages the workers run."""
    settings.settings()
    return Bank(new_ledger())
