"""The stack: the two servers, the app processes on top, and the environment that leads to them."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cli.stack import apps, given, keks, passwords, ports, postgres, valkey
from cli.stack.ending import end_leftovers
from cli.stack.files import write_private
from cli.stack.given import Database
from cli.stack.home import Home, Lock, locked
from cli.stack.ports import HOST, Port
from cli.stack.saying import NOTE, Say, quiet
from cli.stack.supervisor import Supervisor, supervising
from models import migrate, settings, signing_key, token
from models.db import STAGE_TIMEOUT_MS, make_engine
from models.keks import GIVEN, KeksError, source_of
from models.key_ring import KeyRing, ring_of
from pipeline.permissions import ROLES
from pipeline.rewrap import missing

FLOWER_USER = "trident"
# TRIDENT_TOKEN is for the person at this machine, who has the keys that it rests on anyway: it
# lasts as long as a stack may be left running without a new start.
TOKEN_LIFETIME = token.LONGEST
# Made by the first migration.
DEFAULT_TENANT_ID = 1


@dataclass(frozen=True)
class _Ground:
    """What a stack stands on before its first server runs."""

    home: Home
    lock: Lock
    supervisor: Supervisor
    secrets: dict[str, str]
    keks: dict[str, str]
    ring: KeyRing
    say: Say
    any_ports: bool


@contextmanager
def servers(
    home: Path | None = None, *, say: Say = quiet, any_ports: bool = False
) -> Iterator[dict[str, str]]:
    """Postgres, upgraded, and Valkey, as long as the context lasts; yields the environment.

    `home` is TRIDENT_HOME if it is not given; `say` hears what happens, line by line, also from
    another thread; `any_ports` leaves the usual ports to others. TRIDENT_URL and
    TRIDENT_FLOWER_URL name ports that are kept for the caller and served by nobody yet.
    Raises StackError or SettingsError, whose message says what to do.
    """
    with ExitStack() as stack:
        ground = _lay_ground(stack, home, say, any_ports)
        env = _start_servers(stack, ground)
        _publish(stack, ground, env)
        yield env


@contextmanager
def start(
    home: Path | None = None, *, say: Say = quiet, any_ports: bool = False
) -> Iterator[dict[str, str]]:
    """The whole stack, as long as the context lasts; yields the environment once the API is up.

    As `servers`, with the processes of the Procfile.
    """
    with running(home, say=say, any_ports=any_ports) as (env, _supervisor):
        yield env


@contextmanager
def running(
    home: Path | None = None, *, say: Say = quiet, any_ports: bool = False
) -> Iterator[tuple[dict[str, str], Supervisor]]:
    """As `start`, for a caller that gives the supervisor a process of its own to stop."""
    with ExitStack() as stack:
        ground = _lay_ground(stack, home, say, any_ports)
        env = _start_servers(stack, ground)
        ground.say("starting " + ", ".join(apps.names()))
        apps.start(ground.supervisor, ground.home, _with_flower(env, ground.secrets))
        _publish(stack, ground, env)
        yield env, ground.supervisor


def _lay_ground(stack: ExitStack, root: Path | None, say: Say, any_ports: bool) -> _Ground:
    home = Home((root or settings.home()).expanduser().resolve())
    home.prepare()
    lock = stack.enter_context(locked(home))
    said = _writing_down(home, say)
    left = end_leftovers(home)
    if left:
        said(f"ended what an earlier stack had left running: {', '.join(left)}")
    secrets = passwords.load(home.secrets)
    named = keks.sources(os.environ, home)
    supervisor = stack.enter_context(supervising(home, said))
    return _Ground(home, lock, supervisor, secrets, named, _ring(named), said, any_ports)


def _start_servers(stack: ExitStack, ground: _Ground) -> dict[str, str]:
    database = _database(stack, ground)
    if database.owner is not None:
        _upgrade(database, ground)
    broker = os.environ.get("TRIDENT_BROKER_URL") or _start_valkey(stack, ground)
    return _environment(stack, ground, database, broker)


def _database(stack: ExitStack, ground: _Ground) -> Database:
    known = given.database(os.environ, ground.secrets)
    if known is not None:
        ground.say("using the PostgreSQL that the environment names")
        return known
    ground.say("starting PostgreSQL")
    port = _port(stack, ground, ports.POSTGRES)
    postgres.start(ground.supervisor, ground.home, port, ground.secrets, ground.say)
    roles = (postgres.OWNER, postgres.APP, postgres.SWEEPER)
    return Database(*(postgres.url(port, role, ground.secrets) for role in roles))


def _ring(named: dict[str, str]) -> KeyRing:
    try:
        source = source_of(named)
    except KeksError as error:
        raise settings.SettingsError(f"{' '.join(named)} {error}.") from None
    assert source is not None, "cli/stack/keks.py names one"
    return ring_of(source)


def _upgrade(database: Database, ground: _Ground) -> None:
    assert database.owner is not None
    ground.say("upgrading the database")
    left = migrate.upgrade(database.owner)
    signing_key.make_first(database.owner, ground.ring)
    for sentence in (*left, *missing(database.owner, ground.ring)):
        ground.say(f"{NOTE}{sentence}")
    migrate.let_in(
        database.owner,
        app_password=given.password_of(database.app),
        sweeper_password=given.password_of(database.sweeper),
    )


def _start_valkey(stack: ExitStack, ground: _Ground) -> str:
    ground.say("starting Valkey")
    port = _port(stack, ground, ports.VALKEY)
    valkey.start(ground.supervisor, ground.home, port, ground.secrets)
    return valkey.url(port, ground.secrets)


def _environment(
    stack: ExitStack, ground: _Ground, database: Database, broker: str
) -> dict[str, str]:
    api, flower = _port(stack, ground, ports.API), _port(stack, ground, ports.FLOWER)
    tls = _tls()
    login = f"{FLOWER_USER}:{ground.secrets['flower']}"
    env = {
        "TRIDENT_HOME": str(ground.home.root),
        "TRIDENT_URL": f"{'https' if tls else 'http'}://{HOST}:{api}",
        "TRIDENT_PORT": str(api),
        "TRIDENT_FLOWER_URL": f"http://{login}@{HOST}:{flower}",
        "TRIDENT_FLOWER_PORT": str(flower),
        "TRIDENT_DATABASE_URL": database.app,
        "TRIDENT_SWEEPER_DATABASE_URL": database.sweeper,
        "TRIDENT_BROKER_URL": broker,
        "TRIDENT_TOKEN": _token(database.app, ground.ring),
        **ground.keks,
        **tls,
    }
    if database.owner is not None:
        env["TRIDENT_OWNER_DATABASE_URL"] = database.owner
    if heads := os.environ.get("TRIDENT_HEADS_URL"):
        env["TRIDENT_HEADS_URL"] = heads
    return env


def _tls() -> dict[str, str]:
    """The API's certificate and key, wherever the processes are started; raises SettingsError."""
    try:
        named = settings.tls(os.environ)
    except ValueError as error:
        raise settings.SettingsError(f"{error}.") from None
    if named is None:
        return {}
    return {settings.TLS_CERTIFICATE: str(named.certificate), settings.TLS_KEY: str(named.key)}


def _token(app_url: str, ring: KeyRing) -> str:
    """A token with every role in the default tenant."""
    claims = token.claims_of("local", DEFAULT_TENANT_ID, ROLES, TOKEN_LIFETIME)
    engine = make_engine(app_url, statement_timeout_ms=STAGE_TIMEOUT_MS)
    try:
        return token.signed(claims, signing_key.SigningKeys(engine), ring)
    finally:
        engine.dispose()


def _with_flower(env: dict[str, str], secrets: dict[str, str]) -> dict[str, str]:
    """What only the app processes are told: Flower reads its own settings from FLOWER_…"""
    return {
        **env,
        "FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{secrets['flower']}",
        "FLOWER_COOKIE_SECRET": secrets["flower_cookie"],
    }


def _publish(stack: ExitStack, ground: _Ground, env: dict[str, str]) -> None:
    """Let commands in other terminals find this stack, until it stops. Key-encryption keys that
    the environment holds are not written down: whoever gave them so keeps them off the disk."""
    told = {name: value for name, value in env.items() if name != GIVEN}
    write_private(ground.home.env, json.dumps(told, indent=2))
    stack.callback(ground.home.env.unlink, missing_ok=True)
    ground.lock.say(env["TRIDENT_URL"])


def _port(stack: ExitStack, ground: _Ground, usual: int) -> int:
    port = Port(ports.ANY if ground.any_ports else usual)
    stack.callback(port.close)
    return port.number


def _writing_down(home: Home, say: Say) -> Say:
    """Say it, and keep it with its time in logs/stack.log."""

    def said(line: str) -> None:
        with home.log("stack").open("a") as log:
            log.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n")
        say(line)

    return said
