"""docs/operations.md: its requests are made, and the answers are those."""

import datetime as dt
import re

import orjson

from pipeline.kinds import OFFERED
from tests.api.caller import ROLES, Caller, token
from tests.api.written import ask, differences, examples

PAGE = "operations.md"

# The day of the page: times of its requests are moved to where they stood on that day.
WRITTEN = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def moved(found: re.Match[str]) -> str:
    """A time of the page, as far from now as it is from the day of the page."""
    time = dt.datetime.fromisoformat(found[0]) - WRITTEN + dt.datetime.now(dt.UTC)
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def test_the_examples_come_true(api: Caller) -> None:
    """Every request of the page, one after the other, gives what stands below it."""
    ids: dict[str, str] = {}
    made = examples(PAGE)
    assert len(made) > len(OFFERED) // 2
    for one in made:
        caller = api
        who = one.headers.pop("Authorization", None)
        if who is not None:  # `Bearer $ADA` is a token of somebody called ada
            name = who.removeprefix("Bearer $").lower()
            caller = Caller(api.app, api.ledger, token((*ROLES, "approver"), subject=name))
        answer = ask(caller, one._replace(body=TIME.sub(moved, one.body)), ids)
        found = orjson.loads(answer.data)
        assert differences(one.answer, found, ids) == [], f"{one.method} {one.path} {answer.text}"


def test_every_kind_has_its_example(api: Caller) -> None:
    """What the OpenAPI document shows of each kind stands on the page as well."""
    shown = [orjson.loads(one.body) for one in examples(PAGE) if one.body]
    requests = [*shown, *(one for many in shown if isinstance(many, list) for one in many)]
    for name, kind in OFFERED.items():
        assert kind.example in requests, f"the example of {name} is not in docs/operations.md"
