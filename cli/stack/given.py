"""Servers that the user runs: TRIDENT_DATABASE_URL and TRIDENT_BROKER_URL instead of our own."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from cli.stack.errors import ServersGiven
from cli.stack.postgres import APP, SWEEPER

CONNECT_S = 5

DATABASE_URL = "TRIDENT_DATABASE_URL"
OWNER_DATABASE_URL = "TRIDENT_OWNER_DATABASE_URL"
SWEEPER_DATABASE_URL = "TRIDENT_SWEEPER_DATABASE_URL"


@dataclass(frozen=True)
class Database:
    """The addresses of one database for its roles. Without an owner it is upgraded already."""

    owner: str | None
    app: str
    sweeper: str


def password_of(url: str) -> str:
    """The password that stands in an address; raises ServersGiven when none does."""
    password = _parsed(url).password
    if not password:
        raise ServersGiven(
            f"{_parsed(url).render_as_string()} has no password. Write"
            " postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        )
    return password


def database(environ: Mapping[str, str], secrets: Mapping[str, str]) -> Database | None:
    """The database that the environment names, or None when we are to run our own.

    Raises ServersGiven when it cannot be reached or too little is known of it.
    """
    owner = environ.get(OWNER_DATABASE_URL) or _if_owner(environ.get(DATABASE_URL))
    if owner is not None:
        return Database(
            owner=owner,
            app=_of(environ.get(DATABASE_URL), APP, owner, secrets),
            sweeper=_of(environ.get(SWEEPER_DATABASE_URL), SWEEPER, owner, secrets),
        )
    app = environ.get(DATABASE_URL)
    if app is None:
        return None
    sweeper = environ.get(SWEEPER_DATABASE_URL)
    if sweeper is None:
        raise ServersGiven(
            f"{DATABASE_URL} names a role that may not create roles, so the database must be"
            f" upgraded already. Set {SWEEPER_DATABASE_URL} (role {SWEEPER}) too, or set"
            f" {OWNER_DATABASE_URL} (a role that owns the database and may create roles): then"
            " Trident upgrades it and makes the other roles itself."
        )
    return Database(owner=None, app=app, sweeper=sweeper)


def _if_owner(url: str | None) -> str | None:
    """The address itself, if its role may create roles and so may upgrade the database."""
    return url if url is not None and _may_create_roles(url) else None


def _may_create_roles(url: str) -> bool:
    engine = create_engine(
        _parsed(url).set(drivername="postgresql+psycopg2"),
        poolclass=NullPool,
        connect_args={"connect_timeout": CONNECT_S},
    )
    question = text("SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user")
    try:
        with engine.connect() as connection:
            return bool(connection.execute(question).scalar())
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip()
        raise ServersGiven(
            f"The database that {DATABASE_URL} names cannot be used: {reason}"
        ) from None


def _of(given: str | None, role: str, owner: str, secrets: Mapping[str, str]) -> str:
    """The address for a role: the given one if it names that role, else made from the owner's."""
    if given is not None and _parsed(given).username == role:
        return given
    made = _parsed(owner).set(username=role, password=secrets[role])
    return made.render_as_string(hide_password=False)


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:
        raise ServersGiven(
            "A database address must read postgresql://USER:PASSWORD@HOST:PORT/DATABASE."
        ) from None
