"""The two embedded servers: how they start, what they promise, and how they end."""

import stat
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
import redis
from sqlalchemy import make_url

from cli import stack
from cli.stack import passwords, postgres
from cli.stack.errors import HomeUnusable, NotUp, OtherMajorVersion, StackError
from cli.stack.home import Home
from cli.stack.register import Mark, read
from cli.stack.saying import quiet
from cli.stack.supervisor import supervising
from tests.stack.holding import all_gone


def ask(url: str, query: str) -> list[tuple[str, ...]]:
    """The rows that a database answers with, as text."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(query)
            return [tuple(map(str, row)) for row in cursor] if cursor.description else []
    finally:
        connection.close()


@pytest.fixture
def valkey(servers: dict[str, str]) -> Iterator[redis.Redis]:
    """A client of the shared Valkey."""
    with redis.Redis.from_url(servers["TRIDENT_BROKER_URL"], decode_responses=True) as client:
        yield client


def test_servers_start_answer_and_leave_nothing_running(home: Home) -> None:
    """Both servers answer while the context lasts; after it no process and no env.json is left."""
    with stack.servers(home.root, any_ports=True) as env:
        assert ask(env["TRIDENT_OWNER_DATABASE_URL"], "SELECT 1") == [("1",)]
        with redis.Redis.from_url(env["TRIDENT_BROKER_URL"]) as client:
            assert client.ping()
        marks = marks_of(home)
        assert {mark.name for mark in marks} == {"postgres", "valkey"}
        assert home.env.exists()
    assert all_gone(marks)
    assert not home.env.exists()
    assert not home.processes.exists()


def marks_of(home: Home) -> list[Mark]:
    """Everything that runs in a made, descendants included."""
    return [mark for entry in read(home.processes) for mark in (entry.mark, *entry.family)]


def test_data_and_passwords_survive_a_restart(made: Home) -> None:
    """What was stored in either server is there after a restart, under the same password."""
    secrets = made.secrets.read_text()
    with stack.servers(made.root, any_ports=True) as env:
        ask(env["TRIDENT_OWNER_DATABASE_URL"], "CREATE TABLE kept AS SELECT 42 AS answer")
        with redis.Redis.from_url(env["TRIDENT_BROKER_URL"]) as client:
            client.set("kept", "bell")
    with stack.servers(made.root, any_ports=True) as env:
        assert ask(env["TRIDENT_OWNER_DATABASE_URL"], "SELECT answer FROM kept") == [("42",)]
        with redis.Redis.from_url(env["TRIDENT_BROKER_URL"]) as client:
            assert client.get("kept") == b"bell"
    assert made.secrets.read_text() == secrets


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("data_checksums", "on"),
        ("default_transaction_isolation", "read committed"),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
        ("TimeZone", "UTC"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
    ],
)
def test_postgres_is_set_to_keep_what_it_promised(
    servers: dict[str, str], name: str, value: str
) -> None:
    """The embedded Postgres runs with the settings that durability and safety rest on."""
    assert ask(servers["TRIDENT_DATABASE_URL"], f"SHOW {name}") == [(value,)]


def test_postgres_sorts_text_the_same_everywhere(servers: dict[str, str]) -> None:
    """The database's order of text comes from Postgres itself, not from the machine's C library."""
    query = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = current_database()"
    assert ask(servers["TRIDENT_DATABASE_URL"], query) == [("b", "C.UTF-8")]


@pytest.mark.parametrize("name", ["trident_owner", "trident_app", "trident_sweeper"])
def test_no_role_of_ours_is_a_superuser(servers: dict[str, str], name: str) -> None:
    """Owner, app and sweeper are roles that row-level security and privileges bind."""
    query = f"SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = '{name}'"
    assert ask(servers["TRIDENT_DATABASE_URL"], query) == [("False", "False")]


def test_postgres_wants_the_password(servers: dict[str, str]) -> None:
    """A connection with a wrong password is refused, from this machine too."""
    url = servers["TRIDENT_DATABASE_URL"].replace("trident_app:", "trident_app:x")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [("appendonly", "yes"), ("appendfsync", "everysec"), ("maxmemory-policy", "noeviction")],
)
def test_valkey_keeps_the_bells_that_wait(valkey: redis.Redis, name: str, value: str) -> None:
    """The embedded Valkey writes its bells to a file and never drops one in silence."""
    assert valkey.config_get(name) == {name: value}


def test_valkey_wants_the_password(servers: dict[str, str]) -> None:
    """A client without the password is refused."""
    address = servers["TRIDENT_BROKER_URL"].partition("@")[2]
    with (
        redis.Redis.from_url(f"redis://{address}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_files_with_secrets_are_private(made: Home) -> None:
    """The files with passwords are readable by their owner only."""
    with stack.servers(made.root, any_ports=True):
        for file in (made.secrets, made.env, made.valkey / "valkey.conf"):
            assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_lost_secrets_are_named(made: Home) -> None:
    """Data whose passwords are lost is refused with the name of the file that is missing."""
    made.secrets.unlink()
    with pytest.raises(StackError, match=r"Put back the secrets\.json"), stack.servers(made.root):
        pass


def test_a_strangers_server_on_the_port_is_not_taken_for_ours(
    made: Home, servers: dict[str, str]
) -> None:
    """Where another PostgreSQL has the port, the start ends with our own server's words."""
    port = make_url(servers["TRIDENT_DATABASE_URL"]).port
    assert port is not None
    made.prepare()
    secrets = dict.fromkeys(passwords.load(made.secrets), "ours")
    with (
        supervising(made, quiet) as supervisor,
        pytest.raises(NotUp, match=r"(?s)postgres does not start.*Address already in use"),
    ):
        postgres.start(supervisor, made, port, secrets, quiet)


def test_data_of_another_major_version_is_refused(home: Home) -> None:
    """Data of another PostgreSQL is left untouched, and the message says how to move it."""
    home.postgres.mkdir(parents=True)
    (home.postgres / "PG_VERSION").write_text("17\n")
    told = r"(?s)PostgreSQL 17.*pg_dump.*pg_restore"
    with pytest.raises(OtherMajorVersion, match=told), stack.servers(home.root):
        pass
    assert [path.name for path in home.postgres.iterdir()] == ["PG_VERSION"]


def test_a_home_that_cannot_be_written_is_refused(home: Home) -> None:
    """A TRIDENT_HOME that is a file, not a folder, is refused by its name."""
    file = Path(home.root, "file")
    file.touch()
    with pytest.raises(HomeUnusable, match=str(file)), stack.servers(file):
        pass


def test_a_half_made_data_directory_is_made_anew(home: Home) -> None:
    """A start that was killed while it made the data directory does not stop the next one."""
    half = home.postgres.with_suffix(".new")
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with stack.servers(home.root, any_ports=True) as env:
        assert ask(env["TRIDENT_DATABASE_URL"], "SELECT 1") == [("1",)]
    assert not half.exists()
