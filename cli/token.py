"""`trident token`: an access token for the API."""

import datetime as dt

import click

from cli.asking import DataCommand, Unfulfillable, role_option, tenant_option
from cli.importing import user_name
from models.tenant import tenant_id_of
from models.token import LONGEST, is_reserved, mint
from pipeline import money
from pipeline.permissions import ROLES, is_scope

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
def token(
    roles: tuple[str, ...],
    subject: str | None,
    tenant: str,
    hours: int,
    minutes: int,
    limits: tuple[str, ...],
    scopes: tuple[str, ...],
    ledgers: tuple[str, ...],
) -> None:
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
    click.echo(
        mint(
            subject,
            tenant_id,
            roles,
            lifetime,
            read_limits(limits) or None,
            scopes=scopes or None,
            ledgers=ledgers or None,
        )
    )


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
