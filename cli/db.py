"""`trident db`: look after the database."""

import click

from cli.stack.given import password_of
from models import migrate, signing_key
from models.key_ring import key_ring
from models.settings import Settings, SettingsError, settings
from pipeline.rewrap import missing


@click.group()
def db() -> None:
    """Look after the database."""


@db.command()
def upgrade() -> None:
    """Bring the database to the newest schema, as its owner (TRIDENT_OWNER_DATABASE_URL).

    Then make a first signing key, if there is none, and let trident_app and trident_sweeper in,
    with the passwords that stand in TRIDENT_DATABASE_URL and TRIDENT_SWEEPER_DATABASE_URL. The
    embedded stack does this at every start.
    """
    known = settings()
    if known.owner_database_url is None:
        raise SettingsError(
            "TRIDENT_OWNER_DATABASE_URL is not set: only the owner of the database may upgrade it."
        )
    left = migrate.upgrade(known.owner_database_url)
    signing_key.make_first(known.owner_database_url, key_ring())
    for sentence in (*left, *missing(known.owner_database_url, key_ring())):
        click.echo(f"trident: {sentence}", err=True)
    _let_in(known, known.owner_database_url)
    click.echo("The database has the newest schema.")


def _let_in(known: Settings, owner_url: str) -> None:
    if known.sweeper_database_url is None:
        raise SettingsError("TRIDENT_SWEEPER_DATABASE_URL is not set: the sweeper needs its role.")
    migrate.let_in(
        owner_url,
        app_password=password_of(known.database_url),
        sweeper_password=password_of(known.sweeper_database_url),
    )
