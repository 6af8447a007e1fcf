"""The stack under test: real servers, a bad network in front of Postgres, real app processes.

    clients ──▶ web ─┐                      ┌─▶ Postgres ◀── the harness looks, and knows the truth
                worker ──▶ proxy (delays, ──┘
                beat ────┘  cuts, swallows)
                  └──────▶ Valkey

Servers and app processes are each kept alive by a supervisor of cli.stack, as under `make run`.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import psycopg2
import redis
import requests
from honcho.environ import parse_procfile
from sqlalchemy import make_url

from cli import stack
from cli.stack import apps, passwords, postgres, register, supervisor
from cli.stack.child import Spec
from cli.stack.datadir import SUPERUSER
from cli.stack.home import Home, locked
from cli.stack.root import ROOT
from cli.stack.supervisor import Supervisor, supervising
from models import db, key_ring, settings
from pipeline import heads
from tests.chaos.clock import database as database_clock
from tests.chaos.proxy import Proxy

APPS = ("web", "worker", "beat")
UP_WITHIN_S = 60.0
# The pause before a restart doubles with each death. A minute of these faults holds more deaths
# than a year on a real machine: with the real bound, workers would spend it waiting for their turn.
LONGEST_PAUSE_S = 4.0
# What a process may still do at the end of a run, when nobody asks for its work any more.
GRACE_S = 3.0
LOOK_S = 0.1
ANSWER_S = 5.0
# All people sign in from one address.
LOG_INS = "login:6000"
DATABASES = (
    "TRIDENT_DATABASE_URL",
    "TRIDENT_SWEEPER_DATABASE_URL",
    "TRIDENT_OWNER_DATABASE_URL",
)
# The clock that can be set wrong, and this checkout.
PYTHON_PATH = os.pathsep.join([str(Path(__file__).parent / "clock"), str(ROOT)])


@dataclass(frozen=True)
class Options:
    """What is different from the stack of `make run`: for bugs that are planted on purpose."""

    # Further environment of the app processes.
    env: Mapping[str, str] = field(default_factory=dict)
    # What takes the place of these two in the Procfile's commands.
    celery_app: str = "tasks.app:app"
    wsgi_app: str = "api.wsgi:app"
    # Without beat nobody sweeps.
    processes: tuple[str, ...] = APPS
    # The kinds of fault that strike; none named: all that concern these processes.
    faults: tuple[str, ...] = ()
    # Settings of the app role's sessions, such as synchronous_commit; taken back by `heal`.
    # models.db refuses the dangerous ones: an app with that bug must switch its check off as well.
    role_settings: Mapping[str, str] = field(default_factory=dict)
    # Settings of the whole server that a reload takes up, such as wal_writer_delay.
    server_settings: Mapping[str, str] = field(default_factory=dict)
    # SQL that the superuser runs before any app process starts, and after all is drained.
    sabotage: str = ""
    tampering: str = ""


class Installation:
    """A running stack, and what the harness must know about it."""

    def __init__(self, env: dict[str, str], home: Home, proxy: Proxy, apps_home: Home) -> None:
        self.env = env
        self.proxy = proxy
        self.url = env["TRIDENT_URL"]
        self.logs = apps_home.logs
        self.supervisor: Supervisor | None = None
        self.processes: tuple[str, ...] = ()
        self.home = home
        self._apps_home = apps_home
        secrets = passwords.load(home.secrets)
        port = make_url(env["TRIDENT_DATABASE_URL"]).port
        assert port is not None
        self.superuser_url = postgres.url(port, SUPERUSER, secrets)
        self.broker = redis.Redis.from_url(env["TRIDENT_BROKER_URL"], socket_timeout=ANSWER_S)

    def process(self, name: str) -> psutil.Process | None:
        """The process of a server or an app, or None while it is down."""
        if name in self.processes:
            assert self.supervisor is not None
            pid = self.supervisor.pid(name)
        else:
            entries = register.read(self.home.processes)
            pid = next((e.mark.pid for e in entries if e.mark.name == name), None)
        with suppress(psutil.NoSuchProcess):
            process = None if pid is None else psutil.Process(pid)
            if process is not None and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def as_superuser(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a statement behind the app's back, past the proxy. Raises psycopg2 errors."""
        connection = psycopg2.connect(
            self.superuser_url, connect_timeout=2, application_name="chaos"
        )
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, parameters or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def clock_file(self, name: str) -> Path:
        """The offset in seconds by which this app process's wall clock is ahead."""
        return self._apps_home.root / f"{name}.clock"

    def set_database_clock(self, offset_s: float) -> None:
        """By how much clock_timestamp() is ahead for the app. Raises psycopg2 errors."""
        self.as_superuser(database_clock.SET, offset_s)

    def heal(self, options: Options) -> None:
        """Take every fault back that lies here, and wait until everything is up."""
        self.proxy.heal()
        for name in self.processes:
            self.clock_file(name).unlink(missing_ok=True)
        wait_until(self._servers_answer, "Postgres and Valkey answer")
        self.set_database_clock(0.0)
        for name in options.role_settings:
            self.as_superuser(f"ALTER ROLE {postgres.APP} RESET {name}")
        wait_until(lambda: all(map(self.process, self.processes)), "all app processes run")
        if "web" in self.processes:
            wait_until(self._ready, "the API is ready")

    def start_apps(self, keeper: Supervisor, options: Options) -> None:
        """Start the processes of the Procfile behind the proxy."""
        self.supervisor, self.processes = keeper, options.processes
        commands = dict(parse_procfile((ROOT / "Procfile").read_text()).processes)
        for name in options.processes:
            command = commands[name].replace("tasks.app:app", options.celery_app)
            command = command.replace("api.wsgi:app", options.wsgi_app)
            keeper.start(self._spec(name, command, options))
        if "web" in options.processes:
            keeper.wait_until("web", self._ready, UP_WITHIN_S)

    def environment(self) -> dict[str, str]:
        """That of a command behind the proxy."""
        env = {**os.environ, **self.env, "PATH": apps.path(), "TRIDENT_RATE_LIMITS": LOG_INS}
        for variable in DATABASES:
            behind = make_url(env[variable]).set(port=self.proxy.port)
            env[variable] = behind.render_as_string(hide_password=False)
        return env

    def _spec(self, name: str, command: str, options: Options) -> Spec:
        env = {
            **self.environment(),
            "PYTHONPATH": PYTHON_PATH,
            "TRIDENT_HOME": str(self._apps_home.root),
            "TRIDENT_TEST_CLOCK": str(self.clock_file(name)),
            **options.env,
        }
        del env["TRIDENT_OWNER_DATABASE_URL"]
        log = self._apps_home.log(name)
        start = ["/bin/sh", "-c", f"exec {command}"]
        return Spec(name, start, env, ROOT, log, rank=0, grace_s=GRACE_S)

    def _ready(self) -> bool:
        with suppress(requests.RequestException):
            return requests.get(f"{self.url}/readyz", timeout=ANSWER_S).ok
        return False

    def _servers_answer(self) -> bool:
        with suppress(psycopg2.Error, redis.RedisError):
            self.as_superuser("SELECT 1")
            return bool(self.broker.ping())
        return False


@contextmanager
def installed(home: Path, options: Options, seed: int) -> Iterator[Installation]:
    """The stack in an empty folder (or a copy of a prepared one), until the context ends."""
    with ExitStack() as context:
        context.enter_context(environment({}))
        context.enter_context(patch.object(supervisor, "LONGEST_PAUSE_S", LONGEST_PAUSE_S))
        env = context.enter_context(stack.servers(home, any_ports=True))
        env["TRIDENT_HEADS_URL"] = str(home / "heads")
        context.enter_context(environment(env))
        proxy = Proxy(make_url(env["TRIDENT_DATABASE_URL"]).port or 0, f"{seed}/proxy")
        context.callback(proxy.close)
        apps_home = Home(home / "apps")
        apps_home.prepare()
        installation = Installation(env, Home(home), proxy, apps_home)
        context.callback(installation.broker.close)
        _prepare_database(installation, options)
        context.enter_context(locked(apps_home))
        say = _into(apps_home.log("stack"))
        installation.start_apps(context.enter_context(supervising(apps_home, say)), options)
        yield installation


@contextmanager
def environment(env: Mapping[str, str]) -> Iterator[None]:
    """These TRIDENT_ variables and no others, for this process."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("TRIDENT_")]:
        del os.environ[name]
    os.environ.update(env)
    _forget()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        _forget()


def wait_until(what: Callable[[], object], says: str, within_s: float = UP_WITHIN_S) -> None:
    """Wait for it; raises AssertionError after `within_s` seconds."""
    deadline = time.monotonic() + within_s
    while not what():
        assert time.monotonic() < deadline, f"waited {within_s:.0f} s in vain until {says}"
        time.sleep(LOOK_S)


def keep_logs(installation: Installation, folder: Path) -> None:
    """Copy the logs of the app processes to where somebody can look at them afterwards."""
    shutil.copytree(installation.logs, folder, dirs_exist_ok=True)


def _prepare_database(installation: Installation, options: Options) -> None:
    installation.as_superuser(database_clock.MAKE)
    for name, value in options.server_settings.items():
        installation.as_superuser(f"ALTER SYSTEM SET {name} = '{value}'")
    installation.as_superuser("SELECT pg_reload_conf()")
    for name, value in options.role_settings.items():
        installation.as_superuser(f"ALTER ROLE {postgres.APP} SET {name} = '{value}'")
    if options.sabotage:
        installation.as_superuser(options.sabotage)


def _into(log: Path) -> Callable[[str], None]:
    def say(line: str) -> None:
        with log.open("a") as file:
            file.write(f"{time.time():.3f} {line}\n")

    return say


def _forget() -> None:
    """What was read from the environment, with its keys, and the pools that lead where it said."""
    settings.settings.cache_clear()
    key_ring.key_ring.cache_clear()
    heads.store.cache_clear()
    for maker in (db.app_engine, db.intake_engine, db.sweeper_engine):
        if maker.cache_info().currsize:
            maker().dispose()
    db.dispose_engines()
