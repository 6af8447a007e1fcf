"""How the statements read what they are given: arrays as psycopg2 sends them, and spans of logs."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson

from tests.chaos.fake_database import Parameters


@lru_cache(maxsize=1_000)
def integers(literal: str) -> tuple[int, ...]:
    """`{1,2}`."""
    return tuple(map(int, literal[1:-1].split(","))) if len(literal) > len("{}") else ()


def words(literal: str) -> list[str]:
    """`{ab,cd}`."""
    return literal[1:-1].split(",") if len(literal) > len("{}") else []


def texts(literal: str) -> list[Any]:
    """`{"a","b",NULL}`: JSON but for the braces and NULL, which no text here contains."""
    found: list[Any] = orjson.loads(f"[{literal[1:-1].replace('NULL', 'null')}]")
    return found


def spans(given: Parameters) -> Iterator[tuple[int, int, int]]:
    """The spans of a claim: ledger, first and last position."""
    return zip(
        integers(given["ledgers"]), integers(given["firsts"]), integers(given["lasts"]), strict=True
    )


def shown(given: Parameters) -> str:
    """The spans, for the history."""
    return f"{given['ledgers']} from {given['firsts']} to {given['lasts']}"


def by_ledger(ledgers: str, rows: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
    """Rows that come with a column of their ledgers, those of a ledger together."""
    pairs = zip(integers(ledgers), rows, strict=True)
    for ledger, group in groupby(pairs, itemgetter(0)):
        yield ledger, [row for _, row in group]
