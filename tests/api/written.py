"""Pages of the documentation: their requests, with the part of each answer that is shown.

A request stands in a block of `http`, and what it is answered with below it in a block of `json`;
`@examples/statement.ofx` as a body is the file. In an answer `…` is what differs each time, members
that are left out are not looked at, and ids are learned as they come.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from werkzeug.test import TestResponse

from tests.api.caller import Caller

ROOT = Path(__file__).parents[2]
PAIR = re.compile(r"```http\n(.*?)```\s*```json\n(.*?)```", re.DOTALL)
ID = re.compile(r"op_[0-9a-z]{26}|(?:pe|se)_[0-9a-f]{20}")


class Example(NamedTuple):
    """A request of the page, and the part of its answer that is shown."""

    method: str
    path: str
    headers: dict[str, str]
    body: str
    answer: Any


def examples(page: str) -> list[Example]:
    """All of a page of docs/, in their order."""
    text = (ROOT / "docs" / page).read_text()
    return [_example(request, orjson.loads(answer)) for request, answer in PAIR.findall(text)]


def _example(request: str, answer: Any) -> Example:
    head, _, body = request.partition("\n\n")
    first, *lines = head.strip().splitlines()
    method, path = first.split(" ", 1)
    headers = dict(line.split(": ", 1) for line in lines)
    return Example(method, path, headers, body.strip(), answer)


def ask(caller: Caller, one: Example, ids: dict[str, str]) -> TestResponse:
    """The answer to a request of the page, in the caller's ledger and with the ids known so far."""
    path, body = one.path.replace("/v1/ledgers/main", f"/v1/ledgers/{caller.ledger}"), one.body
    for shown, real in ids.items():
        path, body = path.replace(shown, real), body.replace(shown, real)
    raw = (ROOT / body[1:]).read_bytes() if body.startswith("@") else body.encode()
    return caller.call(
        one.method,
        path,
        raw or None,
        headers={k: v for k, v in one.headers.items() if k not in ("Idempotency-Key", MIMETYPE)},
        key=one.headers.get("Idempotency-Key"),
        mimetype=one.headers.get(MIMETYPE, "application/json"),
        wait=10 if one.method == "POST" else None,
    )


MIMETYPE = "Content-Type"


def check(caller: Caller, page: str) -> None:
    """Every request of the page, one after the other, gives what stands below it."""
    ids: dict[str, str] = {}
    made = examples(page)
    assert made, f"docs/{page} has no example"
    for one in made:
        answer = ask(caller, one, ids)
        found = orjson.loads(answer.text.replace(f'"{caller.ledger}"', '"main"'))
        assert differences(one.answer, found, ids) == [], f"{one.method} {one.path} {answer.text}"


def differences(expected: Any, found: Any, ids: dict[str, str], where: str = "$") -> list[str]:
    """Where the answer is not as the page shows it. Ids of the page are learned as they come."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{where}: {found!r} is no object"]
        return [
            line
            for name, value in expected.items()
            for line in (
                differences(value, found[name], ids, f"{where}.{name}")
                if name in found
                else [f"{where}.{name} is not in the answer"]
            )
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
