"""`trident api-keys`: the keys with which programs ask, for whoever runs the installation."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager

import click
from sqlalchemy import Connection

from cli.asking import DataCommand, Unfulfillable, format_options, role_option, tenant_option
from cli.importing import user_name
from cli.printing import print_listing
from cli.ringing import ring_for
from cli.statement import utc
from cli.token import EACH_ROLE, read_limits
from models.api_key import KEY_ID_MAX, parse_id, show_id
from models.db import tenant_reading, tenant_writing
from models.tenant import tenant_id_of
from pipeline.identity import api_keys as acts
from pipeline.identity.api_keys import GRACE_MAX_S, GRACE_S, ApiKey, RevokedError
from pipeline.identity.key_powers import Powers
from pipeline.permissions import is_scope

LISTED = ("key", "name", "roles", "state", "created_by", "created_at", "last_used_at")
# More keys than any tenant has programs.
LIST_MAX = 10_000
S_PER_HOUR = 3600


@click.group("api-keys")
def api_keys() -> None:
    """Make, list, rotate and revoke API keys."""


@api_keys.command(
    cls=DataCommand, help=f"Make an API key and print it, this once.\n\n\b\n{EACH_ROLE}"
)
@click.argument("name")
@role_option("it", required=True)
@click.option(
    "--scope", "scopes", multiple=True, metavar="ACTION", help="Of that, only this; repeatable."
)
@click.option(
    "--ledger", "ledgers", multiple=True, metavar="NAME", help="Only this ledger; repeatable."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="CUR:AMOUNT",
    help="The most that one operation may move, such as USD:10000.00, and no other currency.",
)
@click.option("--days", type=click.IntRange(min=1), help="For how long.  [default: for ever]")
@tenant_option
def create(
    name: str,
    roles: tuple[str, ...],
    scopes: tuple[str, ...],
    ledgers: tuple[str, ...],
    limits: tuple[str, ...],
    days: int | None,
    tenant: str,
) -> None:
    for scope in scopes:
        if not is_scope(scope):
            raise Unfulfillable(f"--scope {scope}: `trident permissions` lists what there is.")
    powers = Powers(
        tuple(sorted(set(roles))),
        tuple(sorted(set(scopes))) or None,
        tuple(sorted(set(ledgers))) or None,
        read_limits(limits) or None,
    )
    expires_at = None if days is None else dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    tenant_id = tenant_id_of(tenant)
    with tenant_writing(tenant_id) as connection:
        _, secret, recorded = acts.make(
            connection, tenant_id, name, powers, expires_at, user_name()
        )
    ring_for(recorded)
    click.echo(secret)


@api_keys.command("list", cls=DataCommand)
@tenant_option
@format_options
def list_(tenant: str, form: str) -> None:
    """Show the keys of a tenant, revoked ones too."""
    tenant_id = tenant_id_of(tenant)
    with tenant_reading(tenant_id) as connection:
        found = acts.page(connection, tenant_id, 0, LIST_MAX)
    ordered = sorted(found, key=lambda key: key.created_at)
    print_listing(LISTED, map(_record, ordered), form)


@api_keys.command(cls=DataCommand)
@click.argument("key")
@click.option(
    "--grace-hours",
    type=click.IntRange(0, GRACE_MAX_S // S_PER_HOUR),
    default=GRACE_S // S_PER_HOUR,
    show_default=True,
    help="For how long the secret before counts as well.",
)
@tenant_option
def rotate(key: str, grace_hours: int, tenant: str) -> None:
    """Print a new secret of a key, this once."""
    tenant_id = tenant_id_of(tenant)
    with _acting(tenant_id, key) as (connection, found):
        _, secret, recorded = acts.rotate(
            connection, tenant_id, found, grace_hours * S_PER_HOUR, user_name()
        )
    ring_for(recorded)
    click.echo(secret)


@api_keys.command(cls=DataCommand)
@click.argument("key")
@tenant_option
def revoke(key: str, tenant: str) -> None:
    """End a key for good, everywhere within two seconds."""
    tenant_id = tenant_id_of(tenant)
    with _acting(tenant_id, key) as (connection, found):
        _, recorded = acts.revoke(connection, tenant_id, found, user_name())
    ring_for(recorded)
    click.echo(f"{key} is revoked.")


@contextmanager
def _acting(tenant_id: int, shown: str) -> Iterator[tuple[Connection, ApiKey]]:
    """The key, held in a transaction that is committed at the end; raises Unfulfillable."""
    number = parse_id(shown) or KEY_ID_MAX
    try:
        with tenant_writing(tenant_id) as connection:
            found = acts.find(connection, tenant_id, number, lock=True)
            if found is None:
                raise Unfulfillable(
                    f"The tenant has no key {shown}; `trident api-keys list` shows all."
                )
            yield connection, found
    except RevokedError as error:
        raise Unfulfillable(str(error)) from None


def _record(key: ApiKey) -> tuple[str, ...]:
    over = key.expires_at is not None and key.expires_at <= dt.datetime.now(dt.UTC)
    state = "revoked" if key.revoked_at else "expired" if over else "counts"
    used = "" if key.last_used_at is None else utc(key.last_used_at)
    roles = " ".join(key.powers.roles)
    made = utc(key.created_at)
    return (show_id(key.key_id), key.name, roles, state, key.created_by, made, used)
