"""`trident status`: how far each ledger is, and who works."""

from typing import Any

import click
import kombu.exceptions
import orjson
import redis

from cli.asking import DataCommand, json_option, tenant_option
from cli.printing import plain, print_table, table
from models.db import tenant_reading
from models.tenant import tenant_id_of
from pipeline.progress import Standing, read_standings
from pipeline.stage import STAGES
from tasks.app import app
from tasks.chain import AUDIT, AUTHORIZE, NOTIFY, POST, VALIDATE
from tasks.ring import broker

# Workers on one machine or rack answer within milliseconds, unless they are busy starting up.
PING_TIMEOUT_S = 0.5
QUEUES = (VALIDATE, AUTHORIZE, POST, AUDIT, NOTIFY)
COLUMNS = ("ledger", "accepted", *STAGES, "waiting", "posted/min")

Workers = dict[str, Any]


@click.command(cls=DataCommand)
@tenant_option
@json_option
def status(tenant: str, as_json: bool) -> None:
    """Show how far each stage of each ledger has come, and which workers are alive.

    Under each stage stands by how many operations it is behind the log; `waiting` is for how long
    the oldest operation has waited that is not posted yet.
    """
    tenant_id = tenant_id_of(tenant)
    with tenant_reading(tenant_id) as connection:
        standings = read_standings(connection, tenant_id)
    workers = find_workers()
    if as_json:
        ledgers = [as_dict(standing) for standing in standings]
        document = {"ledgers": ledgers, **workers}
        click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))
        return
    _print_ledgers(standings)
    _print_workers(workers)


def find_workers() -> Workers:
    """The workers that answer, and how many bells wait; or that the broker is away."""
    try:
        bells = sum(int(broker().llen(queue)) for queue in QUEUES)
        answers = app.control.inspect(timeout=PING_TIMEOUT_S).ping() or {}
    except (redis.RedisError, kombu.exceptions.OperationalError, OSError) as error:
        return {"broker": f"away: {error}", "workers": [], "bells_waiting": None}
    return {"broker": "ok", "workers": sorted(answers), "bells_waiting": bells}


def as_dict(standing: Standing) -> dict[str, Any]:
    """A ledger for programs: positions, lags behind the log, seconds."""
    positions = standing.progress._asdict()
    return {
        "ledger": standing.ledger.name,
        "positions": positions,
        "lag": {stage: positions["accept"] - positions[stage] for stage in STAGES},
        "oldest_unposted_s": standing.oldest_unposted_s,
        "posted_last_minute": standing.posted_last_minute,
        "indexed": standing.indexed,
    }


def _print_ledgers(standings: list[Standing]) -> None:
    made = table("", COLUMNS, numeric=COLUMNS[1:])
    for standing in standings:
        accepted, *stages = standing.progress
        age = standing.oldest_unposted_s
        cells = (
            standing.ledger.name,
            f"{accepted:,}",
            *(f"{position - accepted:,}" for position in stages),
            "" if age is None else f"{age:,.1f} s",
            f"{standing.posted_last_minute:,}",
        )
        made.add_row(*map(plain, cells))
    print_table(made)


def _print_workers(workers: Workers) -> None:
    if workers["broker"] != "ok":
        click.echo(f"\nThe broker is {workers['broker']}\nUntil it is back nothing is posted.")
        return
    names = ", ".join(workers["workers"]) or "none answers. Until one runs nothing is posted"
    click.echo(f"\nWorkers: {names}.  Bells waiting: {workers['bells_waiting']:,}.")
