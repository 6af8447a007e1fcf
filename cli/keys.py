"""`trident keys`: the keys that sign tokens, and those under which all keys are wrapped."""

import datetime as dt

import click

from cli.asking import EXIT_FAULT, DataCommand, Unfulfillable, format_options
from cli.importing import user_name
from cli.printing import print_listing
from cli.ringing import ring_for
from cli.statement import utc
from models import signing_key
from models.db import owner_engine
from models.key_ring import key_ring
from models.signing_key import SigningKey, UnknownKeyError
from pipeline import rotation
from pipeline.rewrap import COLUMNS, in_use, rewrap

LISTED = ("kid", "state", "created_at", "retires_at", "kek")


@click.group()
def keys() -> None:
    """Rotate and list keys."""


@keys.command(cls=DataCommand)
@click.option(
    "--revoke",
    metavar="KID",
    help="End this signing key now: every token that it signed is refused within two seconds.",
)
@click.pass_context
def rotate(ctx: click.Context, revoke: str | None) -> None:
    """Sign with a new key, and wrap every key under the current key-encryption key.

    Tokens of the signing key before stay valid: it verifies for seven days more. What is wrapped
    under older key-encryption keys is wrapped anew while everything else goes on; `trident keys
    list` then shows which of them are not needed any more. Takes the owner's database address
    (TRIDENT_OWNER_DATABASE_URL).
    """
    ring = key_ring()
    with owner_engine() as engine:
        try:
            kid, recorded, untold = rotation.rotate(engine, ring, user_name(), revoke)
        except UnknownKeyError:
            raise Unfulfillable(
                f"No signing key {revoke} is left to revoke; `trident keys list` shows them."
                " Nothing was changed."
            ) from None
        ring_for(*recorded)
        if untold:
            click.echo(
                f"trident: These tenants have no event of it: {', '.join(untold)}.", err=True
            )
        click.echo(f"New tokens are signed with the key {kid}.")
        if revoke is not None:
            click.echo(f"The key {revoke} is revoked; its tokens are refused within two seconds.")
        stuck = 0
        for one in COLUMNS:
            made = rewrap(engine, ring, one)
            stuck += made.stuck.total()
            click.echo(f"{one.table}: {made.done:,} keys wrapped anew under {ring.current}.")
            for kek, count in made.stuck.items():
                click.echo(
                    f"trident: {one.table}: {count:,} keys under {kek} cannot be unwrapped and stay"
                    " as they are. Put that key-encryption key back and rotate again.",
                    err=True,
                )
    if stuck:
        ctx.exit(EXIT_FAULT)


@keys.command("list", cls=DataCommand)
@format_options
def list_(form: str) -> None:
    """Show the signing keys that verify tokens, and which key-encryption keys are in use.

    Takes the owner's database address (TRIDENT_OWNER_DATABASE_URL).
    """
    with owner_engine() as engine:
        with engine.connect() as connection:
            found = signing_key.read(connection)
        used = in_use(engine)
    records = [_record(key, newest=key is found[0]) for key in found]
    print_listing(LISTED, records, form, title="Signing keys")
    if form != "table":
        return
    current = key_ring().current
    for kek, count in sorted(used.items()):
        note = " (current)" if kek == current else "; `trident keys rotate` wraps them anew"
        click.echo(f"{count:,} keys are wrapped under {kek}{note}.")


def _record(key: SigningKey, *, newest: bool) -> tuple[str, ...]:
    state = "signs" if newest and key.retired_at is None else "verifies"
    return (key.kid, state, utc(key.created_at), _when(key.retired_at), key.wrapped.kek)


def _when(at: dt.datetime | None) -> str:
    return "" if at is None else utc(at)
