"""Wrap anew what is wrapped under an older key-encryption key, while everything else goes on.

COLUMNS lists everything that is wrapped. Only the wrapping changes: the keys inside stay, and so
does all that was sealed or signed with them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import Engine, LargeBinary, Row, String, column, func, select, table, tuple_, update
from sqlalchemy.sql import ColumnElement, TableClause, Update

from models.db import STAGE_TIMEOUT_MS, make_engine
from models.key_ring import KeyRing, UnknownKekError, Wrapped
from models.sealed import TamperedError
from models.signing_key import private_key_aad
from pipeline.privacy.data_keys import data_key_aad

# In one transaction. With AWS KMS two seconds are spent on so many keys, before any row is locked.
BATCH_ROWS = 100


class WrappedColumn(NamedTuple):
    """A column of wrapped keys, and the one beside it that names their KEK.

    `aad` gives the associated data from the values of `key`, the columns of the primary key. The
    owner of the database must see the rows of all tenants and be allowed to change both columns.
    """

    table: str
    key: tuple[str, ...]
    wrapped: str
    kek: str
    aad: Callable[..., bytes]


COLUMNS = (
    WrappedColumn("signing_keys", ("kid",), "private_key", "kek", private_key_aad),
    WrappedColumn("data_keys", ("tenant_id", "subject"), "wrapped", "kek", data_key_aad),
)


@dataclass
class Rewrapped:
    """What became of one column: rows that were wrapped anew, and those that could not, by KEK."""

    done: int = 0
    stuck: Counter[str] = field(default_factory=Counter)


def rewrap(engine: Engine, ring: KeyRing, one: WrappedColumn) -> Rewrapped:
    """Wrap the whole column under the current KEK, a batch in each transaction.

    A row that cannot be unwrapped is counted and left as it is; one that was destroyed or wrapped
    anew by somebody else meanwhile is left alone. `engine` is the owner's.
    """
    current, made = ring.current, Rewrapped()
    after: Sequence[Any] | None = None
    while True:
        with engine.connect() as connection:
            rows = connection.execute(_older(one, current, after)).all()
        wrapped = [(row, _anew(ring, one, row)) for row in rows]
        with engine.begin() as connection:
            for row, anew in wrapped:
                if anew is None:
                    made.stuck[row.kek] += 1
                else:
                    made.done += connection.execute(_change(one, row, anew)).rowcount
        if len(rows) < BATCH_ROWS:
            return made
        after = _key(one, rows[-1])


def in_use(engine: Engine) -> Counter[str]:
    """How many keys are wrapped under each KEK: one that is not listed may be thrown away."""
    counted: Counter[str] = Counter()
    with engine.connect() as connection:
        for one in COLUMNS:
            kek = column(one.kek, String)
            query = select(kek.label("kek"), func.count()).select_from(_table(one))
            query = query.where(kek.is_not(None)).group_by(kek)
            for name, count in connection.execute(query):
                counted[name] += count
    return counted


def missing(owner_url: str, ring: KeyRing) -> list[str]:
    """What cannot be unwrapped any more, a sentence for each KEK that is not at hand."""
    engine = make_engine(owner_url, statement_timeout_ms=STAGE_TIMEOUT_MS, trusted=True)
    try:
        used = in_use(engine)
    finally:
        engine.dispose()
    return [
        f"{count:,} keys are wrapped under the key-encryption key {kek}, which is not at hand:"
        " nothing that they open can be read. Put it back, behind the current one."
        for kek, count in sorted(used.items())
        if not ring.has(kek)
    ]


def _older(one: WrappedColumn, current: str, after: Sequence[Any] | None) -> Any:
    """The next rows under another KEK, by their keys."""
    key: list[ColumnElement[Any]] = [column(name) for name in one.key]
    kek = column(one.kek, String)
    query = select(*key, column(one.wrapped, LargeBinary).label("wrapped"), kek.label("kek"))
    query = query.select_from(_table(one)).where(kek != current)
    if after is not None:
        query = query.where(tuple_(*key) > tuple_(*after))
    return query.order_by(*key).limit(BATCH_ROWS)


def _anew(ring: KeyRing, one: WrappedColumn, row: Row[Any]) -> Wrapped | None:
    """The row's key under the current KEK, or None where it cannot be had."""
    aad = one.aad(*_key(one, row))
    try:
        key = ring.unwrap(Wrapped(row.kek, bytes(row.wrapped)), aad)
    except (UnknownKekError, TamperedError):
        return None
    return ring.wrap(key, aad)


def _key(one: WrappedColumn, row: Row[Any]) -> Sequence[Any]:
    return tuple(row[: len(one.key)])


def _change(one: WrappedColumn, row: Row[Any], anew: Wrapped) -> Update:
    """Only what is still as it was read."""
    its_key = tuple_(*(column(name) for name in one.key)) == tuple_(*_key(one, row))
    as_read = column(one.wrapped, LargeBinary) == bytes(row.wrapped)
    changed = {one.wrapped: anew.data, one.kek: anew.kek}
    return update(_table(one)).where(its_key, as_read).values(changed)


def _table(one: WrappedColumn) -> TableClause:
    return table(
        one.table,
        *(column(name) for name in one.key),
        column(one.wrapped, LargeBinary),
        column(one.kek, String),
    )
