"""What the routes of reports take: a moment or a period, a prefix, a depth, a format."""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

from api.errors import invalid_members
from api.schema_fields import says
from pipeline.kinds.fields import check_code, check_date
from pipeline.reports.moment import read_time

BASES = ("posting", "effective")
FORMATS = ("json", "csv", "pdf")
# A code has at most 128 characters, so at most 64 parts.
DEPTH_MAX = 64
BOTH = "Give `at`, a time of acceptance, or `effective`, an effective date, and not both."


def _time(text: str, *, end: bool) -> dt.datetime:
    try:
        return read_time(text, end=end)
    except ValueError:
        raise ValidationError(
            "A time is written 2026-11-22T09:30:00Z (a + in a URL is written %2B)."
        ) from None


class EndOfTime(fields.Field[dt.datetime]):
    """An ISO 8601 time; a date alone is its last moment."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.datetime:
        return _time(value, end=True)


class Day(fields.Field[dt.date]):
    """A calendar date."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dt.date:
        return dt.date.fromisoformat(check_date(value))


class ReportQuery(Schema):
    """What every report takes."""

    class Meta:
        unknown = RAISE

    error_messages = {"unknown": "There is no such parameter here."}  # noqa: RUF012 - as marshmallow


class MomentQuery(ReportQuery):
    """A moment; without one, everything that is posted."""

    at = EndOfTime(
        metadata=says(
            "What was accepted by this time, itself included. A date alone is its end, in UTC.",
            type="string",
            format="date-time",
        )
    )
    effective = Day(
        metadata=says(
            "What is dated to this day or an earlier one, whenever it was accepted.",
            type="string",
            format="date",
        )
    )

    @validates_schema
    def one_of_them(self, data: Mapping[str, Any], **_: Any) -> None:
        """Both together would ask what was known when about which day; nothing knows that."""
        if "at" in data and "effective" in data:
            raise ValidationError(BOTH, "effective")


def _depth(description: str) -> fields.Integer:
    return fields.Integer(validate=validate.Range(1, DEPTH_MAX), metadata=says(description))


def _check_prefix(prefix: str) -> None:
    check_code(prefix.removesuffix(":"))


class BalancesQuery(MomentQuery):
    """Rolled-up balances."""

    prefix = fields.String(
        load_default="",
        validate=_check_prefix,
        metadata=says(
            "Only this code and those that go on from it by a colon; `customers:` leaves"
            " `customers` itself out."
        ),
    )
    depth = _depth("How many parts of the codes to show: 2 is `customers` and `customers:eu`.")


class SheetQuery(MomentQuery):
    """A trial balance or balance sheet."""

    depth = _depth("Sum up accounts whose codes begin with the same so many parts.")


class PeriodQuery(ReportQuery):
    """A period: `since` belongs to it, `until` does not."""

    since = fields.String(metadata=says("Its beginning: a time, or for `basis=effective` a date."))
    until = fields.String(metadata=says("Its end, which is not part of it."))
    basis = fields.String(
        load_default="posting",
        validate=validate.OneOf(BASES),
        metadata=says("By time of acceptance (`posting`) or by `effective` date."),
    )


class IncomeQuery(PeriodQuery):
    """An income statement."""

    depth = _depth("Sum up accounts whose codes begin with the same so many parts.")


class StatementQuery(PeriodQuery):
    """A statement."""

    format = fields.String(
        validate=validate.OneOf(FORMATS),
        metadata=says("Instead of an `Accept` header."),
    )


EDGES = ("since", "until")


def times(query: Mapping[str, Any]) -> tuple[dt.datetime | None, dt.datetime | None]:
    """The period of a query by time of acceptance; raises Problem."""
    return _period(query, lambda text: _time(text, end=False))


def dates(query: Mapping[str, Any]) -> tuple[dt.date | None, dt.date | None]:
    """The period of a query by effective date; raises Problem."""
    return _period(query, lambda text: dt.date.fromisoformat(check_date(text)))


def _period(query: Mapping[str, Any], read: Callable[[str], Any]) -> tuple[Any, Any]:
    found: list[Any] = []
    for name in EDGES:
        try:
            found.append(read(query[name]) if name in query else None)
        except ValidationError as error:
            raise invalid_members({name: error.messages}) from None
    since, until = found
    if since is not None and until is not None and until < since:
        raise invalid_members({"until": "The period ends before it begins."})
    return since, until
