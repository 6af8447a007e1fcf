"""`trident tenants`: who shares the installation. Only the owner of the database may say so."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import orjson
from marshmallow import ValidationError
from sqlalchemy import Connection

from cli.asking import DataCommand, Unfulfillable, format_options, json_option
from cli.importing import user_name
from cli.people import acting, check_email, hand, invited
from cli.printing import print_listing
from cli.ringing import ring_for
from cli.rows import flatten
from cli.statement import utc
from cli.tenant_settings import read_changes, shown
from models.tenant import TenantState, all_tenants, owner_writing
from pipeline import tenants as acts
from pipeline.identity.people import OWNING
from pipeline.permissions import roles_for

COLUMNS = ("tenant", "number", "created_at", "deleted_at")

WORDS = """
    \b
    currencies=EUR,USD             operations may name these alone
    limits=EUR:10000.00            what one operation may move, for whoever has no limits
    retention_days=3650            for how long what is personal is kept at least
    retention=personal_days:3650,sessions_days:90  after how long it is erased by itself
    cors_origins=https://a.example whose pages may call the API
    rate_limits=tenant:6000,key:600,address:60     requests a minute

    NAME= takes a setting away."""


@click.group()
def tenants() -> None:
    """Create, settle, delete and restore tenants (TRIDENT_OWNER_DATABASE_URL)."""


@tenants.command(cls=DataCommand)
@click.argument("name")
@click.option("--owner-email", metavar="EMAIL", help="Invite its first owner as well.")
def create(name: str, owner_email: str | None) -> None:
    """Create a tenant, with a ledger `main`.

    With --owner-email the last line is the token that lets its owner choose a password; with
    TRIDENT_SMTP_URL it is sent to them instead.
    """
    if owner_email is not None:
        check_email(owner_email)
    with _acting() as connection:
        tenant, recorded = acts.create(connection, name, user_name())
    ring_for(recorded)
    click.echo(f"Tenant {tenant.name} is number {tenant.tenant_id}.")
    if owner_email is not None:
        with acting(tenant.tenant_id) as connection:
            offered = invited(connection, tenant.tenant_id, owner_email, tuple(roles_for(OWNING)))
        hand(offered, owner_email)


@tenants.command("list", cls=DataCommand)
@format_options
def list_(form: str) -> None:
    """Show all tenants, deleted ones too."""
    with owner_writing() as connection:
        found = [_record(tenant) for tenant in all_tenants(connection)]
    print_listing(COLUMNS, found, form, numeric=("number",))


@tenants.command(cls=DataCommand)
@click.argument("name")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a tenant and its settings."""
    with owner_writing() as connection:
        tenant = _named(connection, name)
    documents = {"settings": tenant.own, "allowed": tenant.allowed}
    if as_json:
        record = dict(zip(COLUMNS, _record(tenant), strict=True))
        click.echo(orjson.dumps(record | documents, option=orjson.OPT_INDENT_2))
        return
    times = f"created {utc(tenant.created_at)}"
    if tenant.deleted_at is not None:
        times += f", deleted {utc(tenant.deleted_at)}"
    click.echo(f"Tenant {tenant.name}, number {tenant.tenant_id}, {times}")
    for title, document in documents.items():
        for setting, value in document.items():
            click.echo(f"  {title:8}  {setting}={shown(setting, value)}")


@tenants.command(
    "set", cls=DataCommand, help=f"Change settings of a tenant, as its admins can.\n{WORDS}"
)
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
def set_(name: str, changes: tuple[str, ...]) -> None:
    """Change what the tenant has settled."""
    _change(name, "settings", changes)


@tenants.command(
    cls=DataCommand,
    help="Say how far the settings of a tenant may go: at least so many days, of all others at"
    f" most so much.\n{WORDS}",
)
@click.argument("name")
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE...")
def allow(name: str, changes: tuple[str, ...]) -> None:
    """Change what the installation allows the tenant."""
    _change(name, "allowed", changes)


@tenants.command(cls=DataCommand)
@click.argument("name")
def delete(name: str) -> None:
    """Let nobody ask in a tenant's name any more.

    Its tokens are refused within two seconds and nothing is accepted in its name. Its books, their
    audit and its name stay; `trident tenants restore` takes it back.
    """
    with _acting() as connection:
        tenant_id = _named(connection, name).tenant_id
        recorded = acts.delete(connection, tenant_id, user_name())
    ring_for(recorded)
    with owner_writing() as connection:
        acts.wait_out(connection, tenant_id)
    click.echo(
        f"Tenant {name} is deleted. Its books stay; `trident tenants restore` takes it back."
    )


@tenants.command(cls=DataCommand)
@click.argument("name")
def restore(name: str) -> None:
    """Take a deleted tenant back, as it was."""
    with _acting() as connection:
        recorded = acts.restore(connection, _named(connection, name).tenant_id, user_name())
    ring_for(recorded)
    click.echo(f"Tenant {name} is back.")


def _change(name: str, part: acts.Part, changes: tuple[str, ...]) -> None:
    read = read_changes(changes)
    with _acting() as connection:
        tenant_id = _named(connection, name).tenant_id
        recorded = acts.change(connection, tenant_id, part, read, user_name())
    ring_for(recorded)
    click.echo(f"Tenant {name} has these {part} now." if recorded else "It was so already.")


@contextmanager
def _acting() -> Iterator[Connection]:
    """One transaction of the owner; what cannot be done ends the command with a sentence."""
    try:
        with owner_writing() as connection:
            yield connection
    except acts.TenantError as error:
        raise Unfulfillable(str(error)) from None
    except ValidationError as error:
        faults = [f"{name}: {message}" for name, message in flatten(error.normalized_messages())]
        raise Unfulfillable("\n".join(faults)) from None


def _named(connection: Connection, name: str) -> TenantState:
    every = all_tenants(connection)
    for tenant in every:
        if name in (tenant.name, str(tenant.tenant_id)):
            return tenant
    known = ", ".join(tenant.name for tenant in every)
    raise Unfulfillable(f"There is no tenant {name!r}. There are: {known}.")


def _record(tenant: TenantState) -> tuple[Any, ...]:
    deleted = None if tenant.deleted_at is None else utc(tenant.deleted_at)
    return tenant.name, tenant.tenant_id, utc(tenant.created_at), deleted
