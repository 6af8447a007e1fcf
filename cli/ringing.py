"""What a command that recorded an event does after its commit."""

import click
import kombu.exceptions
import redis

from pipeline.events import Recorded
from tasks.mail import ring_for_mail
from tasks.ring import ring_now

AWAY = (redis.RedisError, kombu.exceptions.OperationalError, OSError)


def ring_for(*recorded: Recorded | None) -> None:
    """The events go through the stages now; without the broker the sweeper sees to it."""
    due = {one.ledger: one.position for one in recorded if one is not None}
    if due:
        try:
            ring_now(due)
        except AWAY:
            click.echo("trident: The broker is away: the event is sealed later.", err=True)


def mail_rung() -> None:
    """What was written into the outbox is sent now; without the broker beat sees to it."""
    try:
        ring_for_mail()
    except AWAY:
        click.echo("trident: The broker is away: the mail is sent later.", err=True)
