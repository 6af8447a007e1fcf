"""Rules of RFC 5545: which times they come to, in wall time, and that none takes long."""

import datetime as dt
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recurrence import PATTERNS, TAKEN, BadRule, next_time, parse_rule
from pipeline.zones import find_zone

ZURICH = "Europe/Zurich"
# Where starts are drawn from, as the library takes them: without a zone.
YEARS = dt.datetime(1970, 2, 1), dt.datetime(2199, 1, 1)  # noqa: DTZ001
DAYS = "BYDAY=MO,TU,WE,TH,FR,SA,SU"
# The slowest rule there is takes a tenth of it here.
SLOW_S = 1.0


def moment(text: str, zone: str = ZURICH) -> dt.datetime:
    """The moment that a wall clock shows so."""
    return dt.datetime.fromisoformat(text).replace(tzinfo=find_zone(zone)).astimezone(dt.UTC)


def times(
    rule: str, starts_at: str, *, after: str = "", many: int = 5, zone: str = ZURICH
) -> list[str]:
    """Its first times, as a wall clock there shows them: `2026-01-31 08:00 +01`."""
    found: list[str] = []
    start = moment(starts_at, zone)
    last: dt.datetime | None = moment(after, zone) if after else start - dt.timedelta(seconds=1)
    while last is not None and len(found) < many:
        last = next_time(rule, start, zone, last)
        if last is not None:
            found.append(f"{last.astimezone(find_zone(zone)):%Y-%m-%d %H:%M %z}"[:-2])
    return found


CASES = {
    "the last day of each month": (
        times("FREQ=MONTHLY;BYMONTHDAY=-1", "2028-01-31T08:00", many=4),
        [
            "2028-01-31 08:00 +01",
            "2028-02-29 08:00 +01",
            "2028-03-31 08:00 +02",
            "2028-04-30 08:00 +02",
        ],
    ),
    "the 31st is skipped where there is none": (
        times("FREQ=MONTHLY", "2026-01-31T08:00", many=3),
        ["2026-01-31 08:00 +01", "2026-03-31 08:00 +02", "2026-05-31 08:00 +02"],
    ),
    "the last weekday of each month": (
        times("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", "2026-10-01T08:00", many=3),
        ["2026-10-30 08:00 +01", "2026-11-30 08:00 +01", "2026-12-31 08:00 +01"],
    ),
    "leap days, also where a century has none": (
        times("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "2092-01-01T08:00", many=3),
        ["2092-02-29 08:00 +01", "2096-02-29 08:00 +01", "2104-02-29 08:00 +01"],
    ),
    "a birthday on a leap day": (
        times("FREQ=YEARLY", "2028-02-29T08:00", many=2),
        ["2028-02-29 08:00 +01", "2032-02-29 08:00 +01"],
    ),
    "quarters": (
        times("FREQ=MONTHLY;INTERVAL=3", "2026-11-15T08:00", after="2027-05-15T08:00", many=2),
        ["2027-08-15 08:00 +02", "2027-11-15 08:00 +01"],
    ),
    "every other week keeps its step, however much later one asks": (
        times("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "2026-01-07T08:00", many=3)
        + times("FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,TH", "2026-01-07T08:00", after="2030-01-02T00:00"),
        [
            "2026-01-08 08:00 +01",
            "2026-01-19 08:00 +01",
            "2026-01-22 08:00 +01",
            "2030-01-03 08:00 +01",
            "2030-01-14 08:00 +01",
            "2030-01-17 08:00 +01",
            "2030-01-28 08:00 +01",
            "2030-01-31 08:00 +01",
        ],
    ),
    "every third day": (
        times("FREQ=DAILY;INTERVAL=3", "2026-01-01T08:00", after="2026-12-27T08:00", many=2),
        ["2026-12-30 08:00 +01", "2027-01-02 08:00 +01"],
    ),
    "working days, twice": (
        times("FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,17", "2026-11-20T12:00", many=3),
        ["2026-11-20 17:00 +01", "2026-11-23 09:00 +01", "2026-11-23 17:00 +01"],
    ),
    "a time that spring skips comes an hour later": (
        times("FREQ=DAILY", "2026-03-28T02:30", many=3),
        ["2026-03-28 02:30 +01", "2026-03-29 03:30 +02", "2026-03-30 02:30 +02"],
    ),
    "what comes after a skipped time is not lost behind it": (
        times("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30", "2026-03-29T01:00", many=3),
        ["2026-03-29 03:00 +02", "2026-03-29 03:30 +02", "2026-03-30 02:00 +02"],
    ),
    "a time that autumn repeats comes the first time": (
        times("FREQ=DAILY", "2026-10-24T02:30", many=3),
        ["2026-10-24 02:30 +02", "2026-10-25 02:30 +02", "2026-10-26 02:30 +01"],
    ),
    "hours are elapsed time, in spring": (
        times("FREQ=HOURLY", "2026-03-29T01:00", many=3),
        ["2026-03-29 01:00 +01", "2026-03-29 03:00 +02", "2026-03-29 04:00 +02"],
    ),
    "hours are elapsed time, in autumn": (
        times("FREQ=HOURLY", "2026-10-25T01:00", many=4),
        [
            "2026-10-25 01:00 +02",
            "2026-10-25 02:00 +02",
            "2026-10-25 02:00 +01",
            "2026-10-25 03:00 +01",
        ],
    ),
    "quarters of an hour": (
        times("FREQ=MINUTELY;INTERVAL=15;COUNT=3", "2026-11-22T23:40"),
        ["2026-11-22 23:40 +01", "2026-11-22 23:55 +01", "2026-11-23 00:10 +01"],
    ),
    "a count is counted from the start": (
        times("FREQ=MONTHLY;COUNT=3", "2026-01-15T08:00", after="2026-02-20T00:00"),
        ["2026-03-15 08:00 +01"],
    ),
    "a count goes on for longer than forty years": (
        times("FREQ=YEARLY;COUNT=60", "1980-01-15T08:00", after="2038-01-15T08:00")
        + times(
            "FREQ=MONTHLY;BYMONTHDAY=31;COUNT=360", "2026-01-01T08:00", after="2077-03-31T08:00"
        ),
        ["2039-01-15 08:00 +01", "2077-05-31 08:00 +02"],
    ),
    "until a day, which is whole": (
        times("FREQ=DAILY;UNTIL=20261123", "2026-11-22T23:59"),
        ["2026-11-22 23:59 +01", "2026-11-23 23:59 +01"],
    ),
    "until the end of time, west of Greenwich": (
        times("FREQ=DAILY;UNTIL=99991231", "2026-11-22T08:00", many=1, zone="America/New_York"),
        ["2026-11-22 08:00 -05"],
    ),
    "the last Monday of the year": (
        times("FREQ=YEARLY;BYDAY=-1MO", "2026-11-22T08:00", many=1),
        ["2026-12-28 08:00 +01"],
    ),
    "until a moment, which is included": (
        times("FREQ=DAILY;UNTIL=20261123T070000Z", "2026-11-22T08:00"),
        ["2026-11-22 08:00 +01", "2026-11-23 08:00 +01"],
    ),
}


@pytest.mark.parametrize("says", CASES)
def test_a_rule_comes_to_its_times(says: str) -> None:
    """Month ends, leap days, steps, daylight saving both ways, and ends."""
    found, expected = CASES[says]
    assert found == expected


BAD = [
    "",
    "FREQ=SECONDLY",
    "INTERVAL=2",
    "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;INTERVAL=1000",
    "FREQ=DAILY;COUNT=0",
    "FREQ=DAILY;COUNT=1001",
    "FREQ=DAILY;FREQ=WEEKLY",
    "FREQ=DAILY;COUNT=2;UNTIL=20270101",
    "FREQ=DAILY;UNTIL=20270230",
    "FREQ=DAILY;INTERVAL=2;BYDAY=MO",
    "FREQ=DAILY;BYMONTH=2",
    "FREQ=WEEKLY;BYDAY=1MO",
    "FREQ=MONTHLY;BYMONTH=13",
    "FREQ=MONTHLY;BYMONTHDAY=32",
    "FREQ=MONTHLY;BYSETPOS=1",
    "FREQ=MONTHLY;BYDAY=MO;BYSETPOS=-367",
    "FREQ=MONTHLY;BYDAY=1MO,8MO",
    "FREQ=YEARLY;BYMONTH=12;BYDAY=-6MO",
    "FREQ=YEARLY;BYDAY=54MO",
    "FREQ=MONTHLY;BYHOUR=24",
    "FREQ=YEARLY;BYHOUR=1,2",
    "FREQ=DAILY;BYSECOND=1",
    "FREQ=HOURLY;BYDAY=MO",
    "FREQ=DAILY\nDTSTART:20260101T000000",
    "FREQ=MONTHLY;BYMONTHDAY=" + ",".join(["1"] * 200),
]


@pytest.mark.parametrize("rule", BAD)
def test_a_bad_rule_is_refused(rule: str) -> None:
    """What is no rule, would come round each second, or could come to nothing unnoticed."""
    with pytest.raises(BadRule):
        parse_rule(rule)


def numbers(least: int, most: int, size: int = 4) -> st.SearchStrategy[str]:
    """A list of numbers as rules spell it."""
    return st.lists(st.integers(least, most).filter(bool), min_size=1, max_size=size).map(
        lambda found: ",".join(map(str, found))
    )


WEEKDAYS = st.sampled_from(["MO", "2TU,SA", DAYS.removeprefix("BYDAY=")]) | st.integers(
    -60, 60
).filter(bool).map(lambda number: f"{number}FR")
ZONES = [ZURICH, "America/New_York", "Pacific/Kiritimati"]
PARTS = {
    "INTERVAL": st.integers(1, 999).map(str),
    "BYMONTH": numbers(1, 12),
    "BYMONTHDAY": numbers(-31, 31),
    "BYDAY": WEEKDAYS | WEEKDAYS.map(lambda days: f"1MO,{days}"),
    "BYSETPOS": numbers(-370, 370),
    "BYHOUR": numbers(1, 23),
    "BYMINUTE": numbers(1, 59),
    "WKST": st.sampled_from(["MO", "SU"]),
    "COUNT": st.integers(1, 1000).map(str),
    "UNTIL": st.sampled_from(["20300101", "20991231T235959Z", "99991231", "00010101"]),
}


@given(st.data())
def test_any_rule_goes_forward_and_takes_no_time(data: st.DataObject) -> None:
    """Its next time is later than what was asked, not before its start, and found at once; asking
    from a little earlier finds no later one."""
    frequency = data.draw(st.sampled_from(sorted(TAKEN)))
    taken = sorted(TAKEN[frequency] - {"FREQ"})
    chosen = data.draw(st.lists(st.sampled_from(taken), unique=True, max_size=4))
    rule = ";".join([f"FREQ={frequency}", *(f"{name}={data.draw(PARTS[name])}" for name in chosen)])
    start = data.draw(st.datetimes(*YEARS))
    later = dt.timedelta(days=data.draw(st.integers(-400, 40_000)))
    starts_at = start.replace(microsecond=0, tzinfo=dt.UTC)
    zone = data.draw(st.sampled_from(ZONES))
    try:
        parse_rule(rule)
    except BadRule:
        return
    began = time.perf_counter()
    found = next_time(rule, starts_at, zone, starts_at + later)
    assert time.perf_counter() - began < SLOW_S, rule
    if found is not None:
        assert found > starts_at + later
        assert found >= starts_at
        before = next_time(rule, starts_at, zone, starts_at + later - dt.timedelta(days=1))
        assert before is not None
        assert before <= found


def test_each_part_has_its_pattern() -> None:
    """No rule takes a part that nobody checks."""
    assert {name for taken in TAKEN.values() for name in taken} == set(PATTERNS)
