"""The index of the log: made once, whoever dies; made anew, the same; and found by the planner."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import psycopg2
import pytest
from sqlalchemy import text

from models.db import make_engine
from pipeline.search.codes import (
    BUCKETS,
    DENSE,
    EVERY_SEARCH,
    EVERYWHERE,
    SEGMENT,
    TERMS_MAX,
    Codes,
    Row,
    code_of,
    code_of_amount,
    offsets_in,
    pack,
    places,
)
from pipeline.search.index import SEARCH_LOCK, Offsets, index_next, reindex
from pipeline.search.sources import shared
from pipeline.stage import LOCKS
from pipeline.through import FEW
from tasks import index as index_errand
from tasks.index import index_due, read_due
from tests.acceptance.conftest import ROOT
from tests.bank import Bank, transfer

ROWS = (
    "SELECT segment, bucket, places, dense FROM search_index"
    " WHERE ledger_id = :ledger ORDER BY segment, bucket"
)
DIES_WITHIN_S = 20.0


def stored(bank: Bank) -> list[tuple[Any, ...]]:
    """The ledger's index."""
    return [(row[0], row[1], bytes(row[2]), bytes(row[3])) for row in bank.rows(ROWS)]


def progress(bank: Bank) -> list[int]:
    """How many segments are in the index, if it has begun."""
    query = "SELECT segments FROM search_progress WHERE ledger_id = :ledger"
    return [row[0] for row in bank.rows(query)]


@pytest.fixture
def segment_long(bank: Bank) -> Bank:
    """A ledger with one whole segment, and two operations more."""
    bank.open("world", type="asset", overdraft="unlimited")
    bank.open("a")
    bank.accept(
        *(
            bank.submission("transfer", transfer("world", "a", n) | {"description": f"Payment {n}"})
            for n in range(1, SEGMENT + 1)
        )
    )
    bank.work()
    return bank


def test_less_than_a_segment_is_left_to_the_log(bank: Bank) -> None:
    """Nothing is written for a short log, and nobody is told that work waits."""
    bank.fund("a", 5)
    done = index_next(bank.ledger)
    assert done is not None
    assert (done.segments, done.more) == (0, False)
    assert stored(bank) == []
    assert progress(bank) == []
    assert bank.ledger not in read_due()


def test_the_errand_indexes_whole_segments_of_every_ledger(segment_long: Bank) -> None:
    """Who has a segment waiting is due, and then no longer."""
    assert segment_long.ledger in read_due()
    assert index_due() >= 1
    assert progress(segment_long) == [1]
    assert segment_long.ledger not in read_due()
    assert {row[0] for row in stored(segment_long)} == {0}


def test_a_ledger_whose_stages_are_behind_waits(
    segment_long: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its operations come first, until a search would have too much to look through."""
    segment_long.accept(
        *(segment_long.submission("transfer", transfer("a", "b", 1)) for _ in range(FEW + 1))
    )
    assert segment_long.ledger not in read_due()
    monkeypatch.setattr(index_errand, "SEGMENTS_WAITING_MAX", 1)
    assert segment_long.ledger in read_due()


DYING = """
import sys
from models.ledger import LedgerRef
from pipeline.search.index import index_next
index_next(LedgerRef(1, int(sys.argv[1]), "dying"))
"""


@pytest.mark.parametrize("point", ["before_work", "before_commit", "after_commit"])
def test_a_consumer_that_is_killed_indexes_once(
    segment_long: Bank, environment: dict[str, str], tmp_path: Path, point: str
) -> None:
    """Wherever it dies, the segment is in the index once after the next one has been there."""
    (tmp_path / f"index.{point}").touch()
    env = {**os.environ, **environment, "TRIDENT_CRASH_AT": str(tmp_path)}
    command = [sys.executable, "-c", DYING, str(segment_long.ledger.ledger_id)]
    died = subprocess.run(command, env=env, cwd=ROOT, check=False, timeout=DIES_WITHIN_S)
    assert died.returncode == -9
    assert progress(segment_long) == ([1] if point == "after_commit" else [])
    done = index_next(segment_long.ledger)
    assert done is not None
    assert done.segments == 1
    assert progress(segment_long) == [1]
    once = stored(segment_long)
    assert once
    list(reindex(segment_long.ledger))
    assert stored(segment_long) == once


def test_made_anew_it_is_the_same(indexed: Bank) -> None:
    """Even where rows were missing: `trident reindex` writes what the log says."""
    before = stored(indexed)
    engine = make_engine(os.environ["TRIDENT_DATABASE_URL"], statement_timeout_ms=5_000)
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('trident.tenant', '1', true)"))
        harm = "DELETE FROM search_index WHERE ledger_id = :ledger AND segment = 1"
        connection.execute(text(harm), {"ledger": indexed.ledger.ledger_id})
    engine.dispose()
    assert stored(indexed) != before
    assert [done.segments for done in reindex(indexed.ledger)] == [1, 2]
    assert stored(indexed) == before
    assert progress(indexed) == [2]


def test_one_consumer_at_a_time(segment_long: Bank) -> None:
    """Who meets another at work goes away."""
    with psycopg2.connect(os.environ["TRIDENT_DATABASE_URL"]) as other:
        lock = "SELECT pg_advisory_xact_lock(%s, %s)"
        other.cursor().execute(lock, (SEARCH_LOCK, segment_long.ledger.ledger_id))
        assert index_next(segment_long.ledger) is None
    other.close()
    assert progress(segment_long) == []


def test_its_lock_is_nobody_elses() -> None:
    """Neither accept's (0), a stage's nor that of the keepers of heads (6)."""
    assert SEARCH_LOCK not in {0, 6, *LOCKS.values()}


def test_what_is_everywhere_costs_four_bytes() -> None:
    """A term at one of sixteen positions or more is dense; an amount never is."""
    often, seldom = code_of("often"), code_of("seldom")
    same = code_of_amount(999)
    rows = {
        row.bucket: row
        for row in pack([*places(seldom, [3, 1, 3]), *places(same, range(DENSE))], [often])
    }
    assert sum(len(row.places) + len(row.dense) for row in rows.values()) == 4 * (2 + DENSE + 1)
    row = rows[Codes(often, often).buckets[0]]
    assert offsets_in(row, Codes(often, often)) is EVERYWHERE
    assert offsets_in(rows[seldom >> 20], Codes(seldom, seldom)) == [1, 3]


def packed(kind: str, body: str | None, *posted: tuple[int, str]) -> list[Row]:
    """The rows of a segment with one operation and these postings."""
    found = Offsets(1)
    found.add(1, kind, body)
    for posting in posted:
        found.add_posting(1, *posting)
    return found.packed()


def test_transfers_need_no_postings() -> None:
    """What a transfer with two postings posts, it says: so they are not read for the index."""
    body = '{"amount":5,"currency":"EUR","destination":"b","source":"a"}'
    assert packed("transfer", body) == packed("transfer", body, (5, "EUR"), (5, "EUR"))


def test_what_says_too_much_may_be_anything() -> None:
    """A body of many words, or too large to read, has four bytes and is looked at every time."""
    many = orjson.dumps({"description": " ".join(map(str, range(TERMS_MAX + 1)))}).decode()
    for body in (many, None):
        (row,) = packed("group", body)
        assert len(row.places) == 4
        for term in ("word zebra", "kind journal"):
            assert shared([Codes(code_of(term), code_of(term))], [row]) == {0}
    assert shared([EVERY_SEARCH], []) == ()


@pytest.mark.parametrize("amount", [1, 2, 3, 999, 2**20, 2**24 - 1, 2**24 + 1, 10**15, 9 * 10**18])
def test_amounts_are_in_the_order_of_their_codes(amount: int) -> None:
    """A greater amount never has a smaller code, nor a bucket that is not known."""
    assert code_of_amount(amount) <= code_of_amount(amount + 1)
    assert code_of_amount(amount) >> 20 in BUCKETS


def test_an_operation_that_nobody_foresaw_stops_nothing() -> None:
    """Whatever stands in a body where something else is expected is passed over."""
    body = '{"amount":"5","currency":7,"description":{"amount":-3},"metadata":[1,{"metadata":"x"}]}'
    assert packed("transfer", body)
