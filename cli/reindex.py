"""`trident reindex`: make the index by which operations are searched anew."""

import time

import click

from cli.asking import DataCommand, tenant_option, the_ledger
from models.db import tenant_reading
from models.ledger import LedgerRef, ledgers_of
from models.tenant import tenant_id_of
from pipeline.search.codes import SEGMENT
from pipeline.search.index import reindex as make_anew


@click.command(cls=DataCommand)
@click.option("--ledger", metavar="NAME", help="Only this ledger.  [default: all of the tenant]")
@tenant_option
def reindex(ledger: str | None, tenant: str) -> None:
    """Make the index of the log anew, from the log.

    Workers keep it by themselves, and no search depends on it for more than its speed. It is for
    whoever has reason to doubt it, and can run beside everything else.
    """
    for books in _ledgers(tenant, ledger):
        began = time.monotonic()
        segments = 0
        for done in make_anew(books):
            segments = done.segments
        took = time.monotonic() - began
        click.echo(
            f"Ledger {books.name}: {segments * SEGMENT:,} operations indexed in {took:.1f} s."
        )


def _ledgers(tenant: str, name: str | None) -> list[LedgerRef]:
    if name is not None:
        return [the_ledger(tenant, name)]
    tenant_id = tenant_id_of(tenant)
    with tenant_reading(tenant_id) as connection:
        return ledgers_of(connection, tenant_id)
