"""What commands take to name a moment or a period: --at, --effective, --since, --until, --basis."""

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from cli.asking import Unfulfillable
from models.ledger import LedgerRef
from pipeline.reports.moment import Moment, at_time, by_date, now, read_time

Function = TypeVar("Function", bound=Callable[..., Any])
Bound = dt.datetime | dt.date | None


class Time(click.ParamType):
    """An ISO 8601 time, in UTC if it names no offset; with `end`, a date is its last moment."""

    name = "time"

    def __init__(self, *, end: bool) -> None:
        self._end = end

    def convert(self, value: Any, param: Any, ctx: Any) -> dt.datetime:
        """The time; click says what is wrong with it."""
        try:
            return read_time(value, end=self._end)
        except ValueError:
            self.fail("A time is written 2026-11-22 or 2026-11-22T09:30:00Z.", param, ctx)


class Day(click.ParamType):
    """A calendar date."""

    name = "date"

    def convert(self, value: Any, param: Any, ctx: Any) -> dt.date:
        """The date; click says what is wrong with it."""
        try:
            return dt.date.fromisoformat(value)
        except ValueError:
            self.fail("A date is written 2026-11-22.", param, ctx)


def moment_options(function: Function) -> Function:
    """--at and --effective"""
    function = click.option(
        "--effective",
        type=Day(),
        metavar="DATE",
        help="What is dated to this day or earlier, whenever it was accepted.",
    )(function)
    return click.option(
        "--at",
        type=Time(end=True),
        metavar="TIME",
        help="What was accepted by this time (UTC); a date alone is its end.",
    )(function)


def period_options(function: Function) -> Function:
    """--since, --until and --basis"""
    for decorate in (
        click.option(
            "--basis",
            type=click.Choice(["posting", "effective"]),
            default="posting",
            show_default=True,
            help="By time of acceptance, or by effective date.",
        ),
        click.option("--until", metavar="TIME", help="Its end, which is not part of it."),
        click.option("--since", metavar="TIME", help="The beginning of the period: time or date."),
    ):
        function = decorate(function)
    return function


def depth_option(function: Function) -> Function:
    """--depth"""
    return click.option(
        "--depth",
        type=click.IntRange(1),
        metavar="N",
        help="Sum up accounts whose codes begin with the same N parts.",
    )(function)


def moment_of(
    connection: Connection, ledger: LedgerRef, at: dt.datetime | None, effective: dt.date | None
) -> Moment:
    """The moment that the options name; raises Unfulfillable."""
    if at is not None and effective is not None:
        raise Unfulfillable("Give --at or --effective, not both.")
    if at is not None:
        return at_time(connection, ledger, at)
    return now(connection, ledger) if effective is None else by_date(connection, ledger, effective)


def period_of(since: str | None, until: str | None, basis: str) -> tuple[Any, Any]:
    """The period that the options name: times, or dates by effective date; raises Unfulfillable."""
    kind: click.ParamType = Day() if basis == "effective" else Time(end=False)
    try:
        first, last = (
            None if one is None else kind.convert(one, None, None) for one in (since, until)
        )
    except click.BadParameter as error:
        raise Unfulfillable(f"--since and --until: {error.message}") from None
    if first is not None and last is not None and last < first:
        raise Unfulfillable("The period ends before it begins.")
    return first, last


def print_moment(moment: Moment) -> None:
    """What stands above a table that does not show now."""
    if moment.effective is not None:
        click.echo(f"By effective date, at the end of {moment.effective}:\n")
    elif moment.at is not None:
        click.echo(f"At {moment.at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC:\n")


def print_incomplete(complete: bool) -> None:
    """A word where operations still wait."""
    if not complete:
        click.echo("Operations still wait to be posted: these figures are preliminary.")
