"""Columns as Postgres array literals: one parameter for thousands of rows.

psycopg2 would quote each element of a list by itself; one literal per column, joined here, is
several times faster, and `unnest` turns the columns back into rows.
"""

from collections.abc import Iterable

NUL = "\x00"


def integers(values: Iterable[int | None]) -> str:
    """`{1,2,NULL}` for a bigint[], integer[] or smallint[]."""
    return "{" + ",".join(["NULL" if v is None else f"{v}" for v in values]) + "}"


def words(values: Iterable[str]) -> str:
    """`{ab,cd}` for text that is known to need no quotes: codes of ours, uuids, currencies."""
    return "{" + ",".join(values) + "}"


def texts(values: Iterable[str | None]) -> str:
    """`{"any","text",NULL}` for a text[] of anything. Raises ValueError for a NUL character.

    The column is quoted as a whole: for a thousand short texts that is three times faster than one
    by one. NUL, which no text in Postgres holds, stands between them meanwhile.
    """
    column = list(values)
    present = [v for v in column if v is not None]
    if len(present) < len(column):
        return "{" + ",".join(["NULL" if v is None else texts([v])[1:-1] for v in column]) + "}"
    if not present:
        return "{}"
    joined = NUL.join(present)
    if joined.count(NUL) != len(present) - 1:
        raise ValueError("A text holds a NUL character, which Postgres cannot store.")
    quoted = joined.replace("\\", "\\\\").replace('"', '\\"').replace(NUL, '","')
    return '{"' + quoted + '"}'


def booleans(values: Iterable[bool]) -> str:
    """`{t,f}` for a boolean[]."""
    return "{" + ",".join(["t" if v else "f" for v in values]) + "}"
