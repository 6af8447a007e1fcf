"""docs/operations.md and its parts: their requests are made, and the answers are those."""

import datetime as dt
import re
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from pipeline.kinds import OFFERED
from tests.api.caller import ROLES, Caller, token

DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "operations.md", *sorted((DOCS / "parts").glob("*.md")))
PAIR = re.compile(r"```http\n(.*?)```\s*```json\n(.*?)```", re.DOTALL)
ID = re.compile(r"op_[0-9a-z]{26}")


# The day of the page: times of its requests are moved to where they stood on that day.
WRITTEN = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Example(NamedTuple):
    """A request of the page, and the part of its answer that is shown."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    answer: Any


def examples() -> list[Example]:
    """All of them, in their order."""
    return [
        example(request, orjson.loads(answer))
        for page in PAGES
        for request, answer in PAIR.findall(page.read_text())
    ]


def example(request: str, answer: Any) -> Example:
    """One of them."""
    head, _, body = request.partition("\n\n")
    first, *lines = head.strip().splitlines()
    method, path = first.split(" ", 1)
    headers = dict(line.split(": ", 1) for line in lines)
    return Example(method, path, headers, body.strip(), answer)


def moved(found: re.Match[str]) -> str:
    """A time of the page, as far from now as it is from the day of the page."""
    time = dt.datetime.fromisoformat(found[0]) - WRITTEN + dt.datetime.now(dt.UTC)
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")


def differences(expected: Any, found: Any, ids: dict[str, str], where: str = "$") -> list[str]:
    """Where the answer is not as the page shows it. Ids of the page are learned as they come."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{where}: {found!r} is no object"]
        return [
            line
            for name, value in expected.items()
            for line in differences(value, found.get(name), ids, f"{where}.{name}")
        ]
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return [f"{where}: {found!r} is not a list of {len(expected)}"]
        pairs = enumerate(zip(expected, found, strict=True))
        return [
            line
            for number, (one, other) in pairs
            for line in differences(one, other, ids, f"{where}[{number}]")
        ]
    if isinstance(expected, str) and ID.fullmatch(expected) and isinstance(found, str):
        expected = ids.setdefault(expected, found)
    if isinstance(expected, str) and "…" in expected:
        return []
    return [] if expected == found else [f"{where}: {found!r} instead of {expected!r}"]


def test_the_examples_come_true(api: Caller) -> None:
    """Every request of the page, one after the other, gives what stands below it."""
    ids: dict[str, str] = {}
    made = examples()
    assert len(made) > len(OFFERED) // 2
    for one in made:
        caller = api
        who = one.headers.pop("Authorization", None)
        if who is not None:  # `Bearer $ADA` is a token of somebody called ada
            name = who.removeprefix("Bearer $").lower()
            caller = Caller(api.app, api.ledger, token((*ROLES, "approver"), subject=name))
        path, body = one.path.replace("/v1/ledgers/main", f"/v1/ledgers/{api.ledger}"), one.body
        for shown, real in ids.items():
            path, body = path.replace(shown, real), body.replace(shown, real)
        answer = caller.call(
            one.method,
            path,
            TIME.sub(moved, body).encode() if body else None,
            headers={k: v for k, v in one.headers.items() if k != "Idempotency-Key"},
            key=one.headers.get("Idempotency-Key"),
            wait=10 if one.method == "POST" else None,
        )
        assert differences(one.answer, answer.json, ids) == [], f"{one.method} {path} {answer.text}"


def test_every_kind_has_its_example(api: Caller) -> None:
    """What the OpenAPI document shows of each kind stands on the page as well."""
    shown = [orjson.loads(one.body) for one in examples() if one.body]
    requests = [*shown, *(one for many in shown if isinstance(many, list) for one in many)]
    for name, kind in OFFERED.items():
        assert kind.example in requests, f"the example of {name} is not in docs/operations.md"
