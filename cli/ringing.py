"""What a command that recorded an event does after its commit."""

import click
import kombu.exceptions
import redis

from pipeline.events import Recorded
from tasks.ring import ring_now


def ring_for(recorded: Recorded | None) -> None:
    """The event goes through the stages now; without the broker the sweeper sees to it."""
    if recorded is not None:
        try:
            ring_now({recorded.ledger: recorded.position})
        except (redis.RedisError, kombu.exceptions.OperationalError, OSError):
            click.echo("trident: The broker is away: the event is sealed later.", err=True)
