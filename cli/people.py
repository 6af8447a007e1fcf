"""`trident people`: who may sign in, for whoever looks after the installation."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from marshmallow import ValidationError, validate
from sqlalchemy import Connection

from cli.asking import DataCommand, Unfulfillable, format_options, role_option, tenant_option
from cli.importing import user_name
from cli.printing import print_listing
from cli.ringing import mail_rung, ring_for
from cli.statement import utc
from models.db import tenant_writing
from models.key_ring import key_ring
from models.tenant import tenant_id_of
from pipeline.identity import changes, tickets
from pipeline.identity import people as acts
from pipeline.identity.api_keys import held_by
from pipeline.identity.emails import disguised
from pipeline.identity.errors import IdentityError
from pipeline.identity.people import OWNING, Actor, Person
from pipeline.permissions import roles_for

COLUMNS = (
    "person",
    "email",
    "name",
    "roles",
    "status",
    "restricted",
    "second_factor",
    "created_at",
)
# People that are read at a time.
PAGE = 200


@click.group()
def people() -> None:
    """Invite, list, disable and reset people."""


@people.command(cls=DataCommand)
@click.argument("email")
@role_option("they", required=True)
@click.option("--name", help="How they are called.")
@tenant_option
def invite(email: str, roles: tuple[str, ...], name: str | None, tenant: str) -> None:
    """Invite somebody, and print the token that lets them choose a password.

    It lasts a week and is shown this once: POST /v1/invitations/accept takes it. With
    TRIDENT_SMTP_URL it is sent to them instead.
    """
    check_email(email)
    tenant_id = tenant_id_of(tenant)
    with acting(tenant_id) as connection:
        offered = invited(connection, tenant_id, email, roles, name)
    hand(offered, email)


@people.command("list", cls=DataCommand)
@tenant_option
@format_options
def list_(tenant: str, form: str) -> None:
    """Show all people of a tenant."""
    tenant_id = tenant_id_of(tenant)
    with acting(tenant_id) as connection:
        found = [_record(person) for person in _all(connection, tenant_id)]
    print_listing(COLUMNS, found, form)


@people.command(cls=DataCommand)
@click.argument("email")
@tenant_option
def disable(email: str, tenant: str) -> None:
    """Let somebody sign in no more, and end their sessions.

    Everything they did stays; an admin enables them again.
    """
    tenant_id = tenant_id_of(tenant)
    with acting(tenant_id) as connection:
        person_id = _named(connection, tenant_id, email)
        _, recorded = changes.change(
            connection, key_ring(), tenant_id, _me(), person_id, active=False
        )
        keys = held_by(connection, tenant_id, acts.subject_of(person_id))
    ring_for(recorded)
    click.echo(f"{email} is disabled." if recorded else "It was so already.")
    if keys:
        click.echo(f"Rotate or revoke the API keys that they know: {', '.join(keys)}.")


@people.command(cls=DataCommand)
@click.argument("email")
@tenant_option
def reset(email: str, tenant: str) -> None:
    """Print a token that lets somebody choose a new password, or a first one.

    It lasts an hour and is shown this once: POST /v1/password-resets/accept takes it. For who has
    not accepted their invitation it is a new invitation, which lasts a week. With TRIDENT_SMTP_URL
    it is sent to them instead.
    """
    tenant_id = tenant_id_of(tenant)
    with acting(tenant_id) as connection:
        person_id = _named(connection, tenant_id, email)
        offered = tickets.offer(connection, key_ring(), tenant_id, _me(), person_id)
    hand(offered, email)


def invited(
    connection: Connection,
    tenant_id: int,
    email: str,
    roles: tuple[str, ...],
    name: str | None = None,
) -> tickets.Offered:
    """Somebody new, and the token for them, in the tenant's transaction."""
    ring, me = key_ring(), _me()
    person = acts.invite(connection, ring, tenant_id, me, email, roles, name)
    return tickets.offer(connection, ring, tenant_id, me, person.person_id)


def check_email(email: str) -> None:
    """Raise Unfulfillable unless it is an e-mail address, as the API takes them."""
    try:
        validate.Email()(email)
    except ValidationError:
        raise Unfulfillable(f"{email!r} is no e-mail address.") from None
    if (why := disguised(email)) is not None:
        raise Unfulfillable(f"{email!a}: {why}")


def hand(offered: tickets.Offered, email: str) -> None:
    """After the commit: print the token, unless it goes by mail."""
    ring_for(offered.recorded)
    if offered.token is not None:
        click.echo(offered.token)
        return
    mail_rung()
    click.echo(f"It is on its way to {email}.")


@contextmanager
def acting(tenant_id: int) -> Iterator[Connection]:
    """One transaction of the tenant; what is refused ends the command with a sentence."""
    try:
        with tenant_writing(tenant_id) as connection:
            yield connection
    except IdentityError as error:
        raise Unfulfillable(str(error)) from None


def _me() -> Actor:
    """Who has the database's address and the keys may do all."""
    return Actor(user_name(), roles_for(OWNING))


def _named(connection: Connection, tenant_id: int, email: str) -> str:
    person_id = acts.by_email(connection, key_ring(), tenant_id, email)
    if person_id is None:
        raise Unfulfillable(f"Nobody has the e-mail address {email}; `trident people list` shows.")
    return person_id


def _all(connection: Connection, tenant_id: int) -> Iterator[Person]:
    after = None
    while found := acts.page(connection, key_ring(), tenant_id, after, PAGE):
        yield from found
        after = found[-1].person_id


def _record(person: Person) -> tuple[str | None, ...]:
    return (
        person.person_id,
        person.email,
        person.name,
        ", ".join(person.roles),
        person.status,
        "yes" if person.restricted else "no",
        "yes" if person.second_factor else "no",
        utc(person.created_at),
    )
