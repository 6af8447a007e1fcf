"""When a rule of RFC 5545 comes round next: computed in bounded time, whatever the rule says.

    FREQ=MONTHLY;BYMONTHDAY=-1                 the last day of each month
    FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1       its last weekday
    FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH         Monday and Thursday of every other week
    FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29        each leap day
    FREQ=MINUTELY;INTERVAL=15                  every quarter of an hour

Days, weeks, months and years go by the wall clock of a time zone: what happens at 08:00 does so in
summer and in winter. A time that the spring skips happens as much later as the clock was put
forward; one that the autumn repeats happens the first time (RFC 5545 section 3.3.5). Hours and
minutes are elapsed time, which no clock changes.

The library expands a rule inside one period; which periods there are is computed here. By itself it
would go through all times since the start, and never end where a rule has none.
"""

import bisect
import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import count, islice
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from pipeline.zones import find_zone

# Longer than any sensible rule: no one waits for the parsing of a megabyte.
RULE_MAX_LENGTH = 200
COUNT_MAX = 1_000
# A period's times are expanded together: these keep them below 400, which is some milliseconds.
TIMES_A_DAY_MAX = {"DAILY": 24, "WEEKLY": 24, "MONTHLY": 12, "YEARLY": 1}
# So many periods in a row may have no time: 40 years. Leap days come every fourth or eighth.
EMPTY_MAX = {"MONTHLY": 40 * 12, "YEARLY": 40}
# A century after the last start that a schedule may have: counting leap days would go on to 9999.
YEAR_MAX = 2300
MONTHS = {"MONTHLY": 1, "YEARLY": 12}
DAYS = {"DAILY": 1, "WEEKLY": 7}
# An interval that leads out of the calendar: the library looks at one period and stops.
ONE_PERIOD = 120_000
# The wall clock is put forward by at most so much, so a later wall time may be an earlier moment.
FORWARD_MAX = dt.timedelta(hours=3)
DAY = dt.timedelta(days=1)

ELAPSED = {"MINUTELY": dt.timedelta(minutes=1), "HOURLY": dt.timedelta(hours=1)}
WEEKDAY = "(MO|TU|WE|TH|FR|SA|SU)"
WEEKDAYS_A_MONTH = 5
NUMBERS = {
    "BYMONTH": "([1-9]|1[0-2])",
    "BYMONTHDAY": "[+-]?([1-9]|[12][0-9]|3[01])",
    "BYDAY": f"([+-]?([1-9]|[1-4][0-9]|5[0-3]))?{WEEKDAY}",
    "BYSETPOS": "[+-]?([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|36[0-6])",
    "BYHOUR": "([0-9]|1[0-9]|2[0-3])",
    "BYMINUTE": "[1-5]?[0-9]",
}
PATTERNS = {
    "FREQ": "MINUTELY|HOURLY|DAILY|WEEKLY|MONTHLY|YEARLY",
    "INTERVAL": "[1-9][0-9]{0,2}",
    "COUNT": "[1-9][0-9]{0,2}|1000",
    "UNTIL": "[0-9]{8}(T[0-9]{6}Z?)?",
    "WKST": WEEKDAY,
    **{name: f"{one}(,{one})*" for name, one in NUMBERS.items()},
}
ALWAYS = {"FREQ", "INTERVAL", "COUNT", "UNTIL", "WKST"}
TIMES = {"BYHOUR", "BYMINUTE"}
# What would let a rule come to no time at all is not taken where it could not be noticed.
TAKEN = {
    "MINUTELY": ALWAYS,
    "HOURLY": ALWAYS,
    "DAILY": ALWAYS | TIMES | {"BYDAY"},
    "WEEKLY": ALWAYS | TIMES | {"BYDAY"},
    "MONTHLY": ALWAYS | set(NUMBERS),
    "YEARLY": ALWAYS | set(NUMBERS),
}


class BadRule(ValueError):
    """The text is no rule that Trident takes; the message says why."""


@dataclass(frozen=True)
class Rule:
    """A rule's parts, each by its name."""

    parts: dict[str, str]

    @property
    def frequency(self) -> str:
        """MINUTELY to YEARLY."""
        return self.parts["FREQ"]

    @property
    def interval(self) -> int:
        """1: each period; 2: every other."""
        return int(self.parts.get("INTERVAL", 1))

    @property
    def count(self) -> int | None:
        """How many times it has from its start on, if that is bounded."""
        return int(self.parts["COUNT"]) if "COUNT" in self.parts else None

    def text(self, **changes: str | int) -> str:
        """The rule within its periods, with these parts changed or added."""
        kept = {k: v for k, v in self.parts.items() if k not in ("COUNT", "UNTIL")}
        return ";".join(f"{name}={value}" for name, value in {**kept, **changes}.items())


@lru_cache(maxsize=1024)
def parse_rule(text: str) -> Rule:
    """The rule; raises BadRule."""
    if len(text) > RULE_MAX_LENGTH:
        raise BadRule(f"A rule has at most {RULE_MAX_LENGTH} characters.")
    pairs = [part.partition("=") for part in text.split(";")]
    parts = {name: value for name, _, value in pairs}
    if len(parts) < len(pairs):
        raise BadRule("A rule has each of its parts once.")
    if not re.fullmatch(PATTERNS["FREQ"], parts.get("FREQ", "")):
        names = PATTERNS["FREQ"].replace("|", ", ")
        raise BadRule(f"A rule begins with FREQ= and one of {names}.")
    for name, value in parts.items():
        if name not in TAKEN[parts["FREQ"]]:
            taken = ", ".join(sorted(TAKEN[parts["FREQ"]]))
            raise BadRule(f"{name[:20]!r} is no part of a {parts['FREQ']} rule; it takes {taken}.")
        if not re.fullmatch(PATTERNS[name], value):
            raise BadRule(f"{value[:20]!r} is not what {name} takes.")
    _check_together(parts)
    return Rule(parts)


def _check_together(parts: dict[str, str]) -> None:
    if "COUNT" in parts and "UNTIL" in parts:
        raise BadRule("A rule ends by COUNT or by UNTIL, not by both.")
    numbers = [int(number) for number in re.findall("[0-9]+", parts.get("BYDAY", ""))]
    if numbers and parts["FREQ"] in DAYS:
        raise BadRule("A numbered BYDAY belongs to a MONTHLY or YEARLY rule.")
    # Beyond them the library reads past the end of its year.
    in_months = parts["FREQ"] == "MONTHLY" or "BYMONTH" in parts
    if in_months and max(numbers, default=0) > WEEKDAYS_A_MONTH:
        raise BadRule(f"A month has each day of the week at most {WEEKDAYS_A_MONTH} times.")
    if parts["FREQ"] == "DAILY" and "BYDAY" in parts and int(parts.get("INTERVAL", 1)) > 1:
        raise BadRule("A DAILY rule takes INTERVAL or BYDAY; a WEEKLY one takes both.")
    if "BYSETPOS" in parts and not parts.keys() & {"BYDAY", "BYMONTHDAY"}:
        raise BadRule("BYSETPOS chooses among the days of BYDAY or BYMONTHDAY.")
    hours, minutes = (parts.get(name, "").count(",") + 1 for name in ("BYHOUR", "BYMINUTE"))
    most = TIMES_A_DAY_MAX.get(parts["FREQ"], 1)
    if hours * minutes > most:
        raise BadRule(f"BYHOUR and BYMINUTE make at most {most} times in a {parts['FREQ']} rule.")
    if "UNTIL" in parts:
        _until(parts["UNTIL"], dt.UTC)


def next_time(
    text: str, starts_at: dt.datetime, zone: str, after: dt.datetime
) -> dt.datetime | None:
    """The rule's first time, from its start on, that is later than `after`; None: it has ended."""
    rule, tz = parse_rule(text), find_zone(zone)
    starts_at = starts_at.replace(microsecond=0)
    if rule.frequency in ELAPSED:
        found = _elapsed(rule, starts_at, after)
    elif rule.count is not None:
        times = _counted(text, starts_at, zone)
        place = bisect.bisect_right(times, after)
        found = times[place] if place < len(times) else None
    else:
        start = _wall(starts_at, tz)
        found = _first(walls(rule, start, max(start, _wall(after, tz) - DAY)), tz, after)
    until = rule.parts.get("UNTIL")
    return None if found is None or (until and found > _until(until, tz)) else found


def walls(rule: Rule, start: dt.datetime, near: dt.datetime) -> Iterator[dt.datetime]:
    """The wall times of a rule of days or longer, in order, from a little before `near` on."""
    if rule.frequency in DAYS:
        step = dt.timedelta(days=DAYS[rule.frequency] * rule.interval)
        yield from rrulestr(rule.text(), dtstart=start + (near - start) // step * step)
        return
    step_months = MONTHS[rule.frequency] * rule.interval
    first = start.year * 12 + (start.month - 1 if rule.frequency == "MONTHLY" else 0)
    skipped = (near.year * 12 + near.month - 1 - first) // step_months
    only = rule.text(INTERVAL=ONE_PERIOD, **_implied(rule, start))
    months = {int(month) for month in rule.parts.get("BYMONTH", "").split(",") if month}
    empty, found = 0, list[dt.datetime]()
    for number in count(skipped):
        year, month = divmod(first + number * step_months, 12)
        if year > YEAR_MAX or empty >= EMPTY_MAX[rule.frequency]:
            return
        if rule.frequency == "MONTHLY" and months and month + 1 not in months:
            found = []
        else:
            period = start.replace(year=year, month=month + 1, day=1)
            found = [wall for wall in rrulestr(only, dtstart=period) if wall >= start]
        empty = 0 if found else empty + 1
        yield from found


def _implied(rule: Rule, start: dt.datetime) -> dict[str, int]:
    """What a rule that names no day takes from its start (RFC 5545 section 3.3.10)."""
    if rule.parts.keys() & {"BYDAY", "BYMONTHDAY"}:
        return {}
    if rule.frequency == "YEARLY" and "BYMONTH" not in rule.parts:
        return {"BYMONTH": start.month, "BYMONTHDAY": start.day}
    return {"BYMONTHDAY": start.day}


def _elapsed(rule: Rule, starts_at: dt.datetime, after: dt.datetime) -> dt.datetime | None:
    step = ELAPSED[rule.frequency] * rule.interval
    number = 0 if after < starts_at else (after - starts_at) // step + 1
    return None if rule.count is not None and number >= rule.count else starts_at + number * step


# A schedule asks again each time that it occurs, and its times stay the same.
@lru_cache(maxsize=64)
def _counted(text: str, starts_at: dt.datetime, zone: str) -> list[dt.datetime]:
    rule, tz = parse_rule(text), find_zone(zone)
    start = _wall(starts_at, tz)
    return sorted({_moment(wall, tz) for wall in islice(walls(rule, start, start), rule.count)})


def _first(walls: Iterator[dt.datetime], tz: ZoneInfo, after: dt.datetime) -> dt.datetime | None:
    found, enough = None, None
    for wall in walls:
        if enough is not None and wall > enough:
            break
        moment = _moment(wall, tz)
        if moment > after and (found is None or moment < found):
            found, enough = moment, enough or wall + FORWARD_MAX
    return found


def _wall(moment: dt.datetime, tz: ZoneInfo) -> dt.datetime:
    return moment.astimezone(tz).replace(tzinfo=None, fold=0)


def _moment(wall: dt.datetime, tz: dt.tzinfo) -> dt.datetime:
    return wall.replace(tzinfo=tz).astimezone(dt.UTC)


def _until(text: str, tz: dt.tzinfo) -> dt.datetime:
    """The last moment that the rule may come to; a date is whole. Raises BadRule."""
    whole = text if "T" in text else f"{text}T235959"
    try:
        wall = dt.datetime.strptime(whole.rstrip("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007 - see below
    except ValueError:
        raise BadRule(f"UNTIL={text} is no time.") from None
    try:
        return _moment(wall, dt.UTC if whole.endswith("Z") else tz)
    except OverflowError:  # 9999-12-31, for ever: what it is in UTC has no year
        return wall.replace(tzinfo=dt.UTC)
