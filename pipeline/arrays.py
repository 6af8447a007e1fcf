"""Columns as Postgres array literals: one parameter for thousands of rows.

psycopg2 would quote each element of a list by itself; one literal per column, joined here, is
several times faster, and `unnest` turns the columns back into rows.
"""

from collections.abc import Iterable


def integers(values: Iterable[int | None]) -> str:
    """`{1,2,NULL}` for a bigint[], integer[] or smallint[]."""
    return "{" + ",".join(["NULL" if v is None else str(v) for v in values]) + "}"


def words(values: Iterable[str]) -> str:
    """`{ab,cd}` for text that is known to need no quotes: codes of ours, uuids, currencies."""
    return "{" + ",".join(values) + "}"


def texts(values: Iterable[str | None]) -> str:
    """`{"any","text",NULL}` for a text[] of anything."""
    return "{" + ",".join([_quote(v) for v in values]) + "}"


def _quote(value: str | None) -> str:
    if value is None:
        return "NULL"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def booleans(values: Iterable[bool]) -> str:
    """`{t,f}` for a boolean[]."""
    return "{" + ",".join(["t" if v else "f" for v in values]) + "}"
