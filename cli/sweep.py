"""`trident sweep`: ring for every ledger that lags, now."""

import click
import kombu.exceptions
import redis

from cli.asking import DatabaseFault, DataCommand
from tasks.sweep import sweep as sweep_now


@click.command(cls=DataCommand)
def sweep() -> None:
    """Ring once for every ledger, of every tenant, that has work waiting.

    The stack does this by itself every second. It is for an installation whose beat does not run.
    """
    try:
        rung = sweep_now(at_once=True)
    except (redis.RedisError, kombu.exceptions.OperationalError) as error:
        raise DatabaseFault(f"The broker is away: {error}") from None
    for ledger, upto in rung.items():
        click.echo(f"Rang for ledger {ledger.name} of tenant {ledger.tenant_id}, up to {upto:,}.")
    if not rung:
        click.echo("Nothing to ring for: no ledger lags, or enough bells wait already.")
