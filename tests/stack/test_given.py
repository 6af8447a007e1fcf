"""Servers that the user names are used instead of our own."""

from pathlib import Path

import psycopg2
import pytest
from sqlalchemy import make_url

from cli import stack
from cli.stack import given, postgres
from cli.stack.errors import ServersGiven
from cli.stack.home import Home
from cli.stack.register import read
from models.settings import SettingsError

SECRETS = {postgres.APP: "of-the-app", postgres.SWEEPER: "of-the-sweeper"}
NAMES = (
    "TRIDENT_DATABASE_URL",
    "TRIDENT_OWNER_DATABASE_URL",
    "TRIDENT_SWEEPER_DATABASE_URL",
    "TRIDENT_BROKER_URL",
)


def test_no_names_mean_our_own() -> None:
    """Without addresses in the environment there is no given database."""
    assert given.database({}, SECRETS) is None


@pytest.mark.parametrize("name", ["TRIDENT_OWNER_DATABASE_URL", "TRIDENT_DATABASE_URL"])
def test_the_owner_makes_the_other_addresses(servers: dict[str, str], name: str) -> None:
    """With the address of a role that may create roles, app and sweeper get our passwords."""
    owner = servers["TRIDENT_OWNER_DATABASE_URL"]
    known = given.database({name: owner}, SECRETS)
    assert known is not None
    assert known.owner == owner
    for url, role in ((known.app, postgres.APP), (known.sweeper, postgres.SWEEPER)):
        assert make_url(url) == make_url(owner).set(username=role, password=SECRETS[role])


def test_the_app_alone_is_too_little(servers: dict[str, str]) -> None:
    """The address of the app role wants that of the sweeper beside it, and the message says so."""
    app = {"TRIDENT_DATABASE_URL": servers["TRIDENT_DATABASE_URL"]}
    with pytest.raises(ServersGiven, match=r"Set TRIDENT_SWEEPER_DATABASE_URL .* too, or set"):
        given.database(app, SECRETS)


def test_app_and_sweeper_are_enough_for_an_upgraded_database(servers: dict[str, str]) -> None:
    """With both addresses the database is used as it is, without an owner."""
    app = {name: servers[name] for name in (NAMES[0], NAMES[2])}
    known = given.database(app, SECRETS)
    assert known == given.Database(None, *app.values())


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://nobody:x@127.0.0.1:1/trident", "Connection refused"),
        ("no address", "must read postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ],
)
def test_a_database_that_cannot_be_reached_is_refused(url: str, message: str) -> None:
    """A wrong address ends the start with the reason."""
    with pytest.raises(ServersGiven, match=message):
        given.database({"TRIDENT_DATABASE_URL": url}, SECRETS)


def test_given_servers_are_used_and_left_running(
    home: Home, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all addresses given nothing is started, and the given servers outlive the stack."""
    for name in NAMES:
        monkeypatch.setenv(name, servers[name])
    monkeypatch.setenv("TRIDENT_KEKS_FILE", servers["TRIDENT_KEKS_FILE"])
    with stack.servers(home.root, any_ports=True) as env:
        assert env["TRIDENT_KEKS_FILE"] == servers["TRIDENT_KEKS_FILE"]
        assert not home.keks.exists()
        assert {name: env[name] for name in NAMES} == {name: servers[name] for name in NAMES}
        assert read(home.processes) == []
        assert not home.postgres.exists()
    psycopg2.connect(servers["TRIDENT_DATABASE_URL"]).close()


def test_given_keks_are_not_written_down(
    home: Home, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processes get them; no file in the home has them."""
    for name in NAMES:
        monkeypatch.setenv(name, servers[name])
    entry = Path(servers["TRIDENT_KEKS_FILE"]).read_text().strip()
    monkeypatch.setenv("TRIDENT_KEKS", entry)
    with stack.servers(home.root, any_ports=True) as env:
        assert env["TRIDENT_KEKS"] == entry
        key = entry.partition(":")[2]
        files = [path for path in home.root.rglob("*") if path.is_file()]
        assert home.env in files
        assert not [path for path in files if key in path.read_text()]


def test_a_given_database_wants_its_keks(
    home: Home, servers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys of a given database that are wrapped under a KEK that we have not: told which, where."""
    for name in NAMES:
        monkeypatch.setenv(name, servers[name])
    told = f"key-encryption key kek-[0-9a-f]{{8}}, which {home.keks} does not have"
    with pytest.raises(SettingsError, match=told), stack.servers(home.root, any_ports=True):
        pass


def test_keks_that_cannot_be_read_end_the_start(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any server is started."""
    monkeypatch.setenv("TRIDENT_KEKS", "first:AAAA")
    told = "TRIDENT_KEKS entry 1: the key first has 3 bytes"
    with pytest.raises(SettingsError, match=told), stack.servers(home.root, any_ports=True):
        pass
    assert not home.postgres.exists()
