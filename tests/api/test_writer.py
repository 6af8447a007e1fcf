"""Group commit: what the writer does with good groups, bad data and lost connections."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from sqlalchemy import Engine

from api import writer as writer_module
from api.parcel import Unstored
from api.writer import Writer
from models.ledger import LedgerRef
from pipeline.receipt import Accepted, Reused
from tests.api.proxy import Proxy, end_connections
from tests.api.writing import BODY, Rung, locked, positions, submission


def test_what_waits_is_written_together(writer: Writer, ledger: LedgerRef, rung: Rung) -> None:
    """While one group waits for its lock, all that come are gathered into the next group."""
    with ThreadPoolExecutor(20) as pool:
        with locked(ledger):
            first = pool.submit(writer.put, ledger, submission())
            time.sleep(0.1)
            rest = [pool.submit(writer.put, ledger, submission()) for _ in range(19)]
            time.sleep(0.1)
        answers = [first.result(), *(one.result() for one in rest)]
    assert sorted(positions(answers)) == list(range(1, 21))
    times = {one.accepted_at for one in answers if isinstance(one, Accepted)}
    assert len(times) == 2
    assert rung.calls == [(ledger, 1), (ledger, 20)]


def test_an_idle_request_is_written_at_once(writer: Writer, ledger: LedgerRef) -> None:
    """No timer: the median of lone requests is far below any that a timer would give."""
    writer.put(ledger, submission())
    taken = []
    for _ in range(20):
        began = time.monotonic()
        writer.put(ledger, submission())
        taken.append(time.monotonic() - began)
    assert sorted(taken)[10] < 0.05


def test_a_replay_rings_no_bell(writer: Writer, ledger: LedgerRef, rung: Rung) -> None:
    """Only what is new has work to do."""
    writer.put(ledger, submission("k"))
    assert isinstance(writer.put(ledger, submission("k", BODY + b" ")), Reused)
    replay = writer.put(ledger, submission("k"))
    assert isinstance(replay, Accepted)
    assert replay.replayed
    assert rung.calls == [(ledger, 1)]


@pytest.mark.parametrize("bad", [[0], [3], [7], [0, 7], [2, 3, 4], list(range(8))])
def test_bad_data_stands_alone_in_the_end(
    writer: Writer, ledger: LedgerRef, rung: Rung, bad: list[int]
) -> None:
    """A submission that Postgres refuses is found by halving; the others are stored in order."""
    group = [submission(body=b"{" if n in bad else BODY) for n in range(8)]
    answers = writer.put_all(ledger, group)
    assert [n for n, one in enumerate(answers) if isinstance(one, Unstored)] == bad
    assert {one.code for one in answers if isinstance(one, Unstored)} == {"unstorable"}
    good = [one for one in answers if not isinstance(one, Unstored)]
    assert positions(good) == list(range(1, len(good) + 1))
    assert rung.calls == ([(ledger, len(good))] if good else [])


@pytest.mark.parametrize(
    "cuts",
    [["before"], ["after"], ["before", "after"], ["after", "after"], ["before", "before", "after"]],
)
def test_a_connection_lost_around_the_commit(
    writer: Writer, proxy: Proxy, ledger: LedgerRef, rung: Rung, cuts: list[str]
) -> None:
    """Whether the commit took place or not: stored once, and no replay to whoever asked first."""
    before = writer.put(ledger, submission("before"))
    proxy.cut(*cuts)  # type: ignore[arg-type] # the words of Moment
    group = [submission("a"), submission("before"), submission("b"), submission("a")]
    answers = writer.put_all(ledger, group)
    assert positions(answers) == [2, 1, 3, 2]
    assert [one.replayed for one in answers if isinstance(one, Accepted)] == [
        False,
        True,
        False,
        True,
    ]
    assert isinstance(before, Accepted)
    assert answers[1] == before._replace(replayed=True)
    assert rung.calls == [(ledger, 1), (ledger, 3)]
    assert positions([writer.put(ledger, submission("c"))]) == [4]


def test_a_doubt_outlives_a_later_failure(writer: Writer, proxy: Proxy, ledger: LedgerRef) -> None:
    """Lost at the commit, and then the lock is not to be had: it may have been stored, not busy."""
    with ExitStack() as stack:
        proxy.on_cut = lambda: stack.enter_context(locked(ledger))
        proxy.cut("after")
        answer = writer.put(ledger, submission("k"))
    assert isinstance(answer, Unstored)
    assert answer.code == "intake_timeout"
    retry = writer.put(ledger, submission("k"))
    assert isinstance(retry, Accepted)
    assert (retry.position, retry.replayed) == (1, True)


def test_an_idle_connection_that_died_is_replaced(
    writer: Writer, ledger: LedgerRef, environment: dict[str, str]
) -> None:
    """Postgres was restarted while nobody asked: the next request does not notice."""
    writer.put(ledger, submission())
    assert end_connections(environment["TRIDENT_DATABASE_URL"]) > 0
    assert positions([writer.put(ledger, submission())]) == [2]


def test_a_database_that_is_away(
    proxy: Proxy, engine: Engine, ledger: LedgerRef, rung: Rung
) -> None:
    """Nothing was sent, so nothing was stored: said at once, and over when it is back."""
    proxy.refusing = True
    writer = Writer(engine, rung, max_lag=1_000)
    began = time.monotonic()
    answer = writer.put(ledger, submission())
    assert isinstance(answer, Unstored)
    assert answer.code == "database_unavailable"
    assert time.monotonic() - began < 1
    proxy.refusing = False
    assert positions([writer.put(ledger, submission())]) == [1]
    writer.stop()


def test_a_database_that_goes_away_at_the_commit(
    proxy: Proxy, engine: Engine, ledger: LedgerRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If nobody can tell whether it was stored, that is what is said; a retry finds out."""
    monkeypatch.setattr(writer_module, "SINGLE_WITHIN_S", 0.7)
    writer = Writer(engine, Rung(), max_lag=1_000, threads=1)
    writer.put(ledger, submission())
    proxy.cut("after")
    proxy.refusing = True
    answer = writer.put(ledger, submission("k"))
    assert isinstance(answer, Unstored)
    assert answer.code == "intake_timeout"
    proxy.refusing = False
    retry = writer.put(ledger, submission("k"))
    assert isinstance(retry, Accepted)
    assert (retry.position, retry.replayed) == (2, True)
    writer.stop()
