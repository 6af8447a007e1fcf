"""`trident token`: an access token for the API."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click
import jwt
from sqlalchemy import Connection

from cli.asking import DataCommand, Unfulfillable, role_option, tenant_option
from cli.importing import user_name
from cli.ringing import ring_for
from models.db import app_engine, tenant_writing
from models.key_ring import key_ring
from models.signing_key import signing_keys
from models.tenant import tenant_id_of, tenant_state
from models.token import LONGEST, claims_of, is_reserved, signed
from pipeline import money
from pipeline.identity import tokens
from pipeline.permissions import ROLES, is_scope

# A JWT is header, claims and signature; its id is a UUID.
JWT_DOTS = 2
TOKEN_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
LONGEST_H = LONGEST // dt.timedelta(hours=1)
EACH_ROLE = "\n".join(f"{role:9}  {what}" for role, what in ROLES.items())


@click.command(
    cls=DataCommand,
    help=f"Print an access token for the API.\n\n\b\n{EACH_ROLE}\n\n"
    "`trident permissions` shows them in full.",
)
@role_option("the holder", default=("admin",), show_default=True)
@click.option("--subject", metavar="NAME", help="Who the holder is.  [default: cli:USER]")
@tenant_option
@click.option("--hours", type=click.IntRange(0, LONGEST_H), default=0, help="How long it is valid,")
@click.option(
    "--minutes",
    type=click.IntRange(0, 60 * LONGEST_H),
    default=0,
    help=f"hours and minutes, up to {LONGEST.days} days.  [default: 1 hour]",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="CUR:AMOUNT",
    help="The most that one operation may move, such as USD:10000.00; may be repeated. Currencies"
    " without a limit may then not be moved at all.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="ACTION",
    help="What it is for, such as accounts.read or operation.*, of what the roles permit; may be"
    " repeated.",
)
@click.option(
    "--ledger",
    "ledgers",
    multiple=True,
    metavar="NAME",
    help="The ledgers that it is for; may be repeated.  [default: all]",
)
@click.option(
    "--revoke",
    metavar="TOKEN",
    help="Make none, but end this one, named by itself or by its id: it is refused within two"
    " seconds, for good.",
)
def token(
    roles: tuple[str, ...],
    subject: str | None,
    tenant: str,
    hours: int,
    minutes: int,
    limits: tuple[str, ...],
    scopes: tuple[str, ...],
    ledgers: tuple[str, ...],
    revoke: str | None,
) -> None:
    if revoke is not None:
        _revoke(tenant_id_of(tenant), revoke)
        return
    lifetime = dt.timedelta(hours=hours, minutes=minutes) or dt.timedelta(hours=1)
    if lifetime > LONGEST:
        raise Unfulfillable(
            f"A token lasts {LONGEST.days} days at most; `trident api-keys create` makes a key for"
            " longer, which can be revoked."
        )
    subject = subject or user_name()
    if is_reserved(subject):
        raise Unfulfillable(
            f"--subject {subject}: people sign in (POST /v1/sessions), API keys ask for themselves,"
            " and Trident's own names are nobody's. Name somebody else."
        )
    tenant_id = tenant_id_of(tenant)
    for scope in scopes:
        if not is_scope(scope):
            raise Unfulfillable(f"--scope {scope}: `trident permissions` lists what there is.")
    claims = claims_of(
        subject,
        tenant_id,
        roles,
        lifetime,
        read_limits(limits) or None,
        scopes=scopes or None,
        ledgers=ledgers or None,
    )
    bearer = signed(claims, signing_keys(app_engine()), key_ring())
    # Told before it leaves: what is not on record is not handed out.
    with _acting(tenant_id) as connection:
        recorded = tokens.tell_made(connection, tenant_id, claims, user_name())
    ring_for(recorded)
    click.echo(bearer)


def _revoke(tenant_id: int, named: str) -> None:
    """End a token that is named by its id, or by itself."""
    token_id = named
    if named.count(".") == JWT_DOTS:
        with suppress(jwt.PyJWTError, KeyError):
            token_id = str(jwt.decode(named, options={"verify_signature": False})["jti"])
    if not TOKEN_ID.fullmatch(token_id):
        raise Unfulfillable("--revoke takes a token, or its id; `trident events` has the ids.")
    with _acting(tenant_id) as connection:
        recorded = tokens.revoke(connection, tenant_id, token_id, user_name())
    ring_for(recorded)
    click.echo(
        f"The token {token_id} is refused within two seconds."
        if recorded
        else f"The token {token_id} was revoked already."
    )


@contextmanager
def _acting(tenant_id: int) -> Iterator[Connection]:
    """A transaction of a tenant that there is."""
    with tenant_writing(tenant_id) as connection:
        if tenant_state(connection, tenant_id) is None:
            raise Unfulfillable(f"There is no tenant {tenant_id}.")
        yield connection


def read_limits(limits: tuple[str, ...]) -> dict[str, int]:
    """`USD:10000.00` as minor units by currency; raises Unfulfillable."""
    read: dict[str, int] = {}
    for limit in limits:
        currency, _, amount = limit.partition(":")
        try:
            read[currency] = money.read(amount, currency)
        except money.MoneyError as error:
            raise Unfulfillable(f"--limit {limit}: {error}") from None
        if read[currency] < 0:
            raise Unfulfillable(f"--limit {limit}: it is below zero.")
    return read
