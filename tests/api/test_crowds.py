"""Group commit in a crowd: locks, deadlines, bounds, turns, and a writer that is dead."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from api import writer as writer_module
from api.parcel import Lines, Parcel, Unstored
from api.writer import Writer
from models.ledger import LedgerRef
from pipeline.receipt import Accepted, Behind
from tests.api.writing import Rung, locked, positions, submission
from tests.bank import Bank, new_ledger


def test_a_lock_that_is_not_to_be_had(writer: Writer, ledger: LedgerRef) -> None:
    """Postgres gives up on the lock before the request does: busy, and nothing is stored."""
    with locked(ledger):
        began = time.monotonic()
        answer = writer.put(ledger, submission())
        assert 1.5 < time.monotonic() - began < 2.9
    assert isinstance(answer, Unstored)
    assert answer.code == "ledger_busy"
    assert positions([writer.put(ledger, submission())]) == [1]


def test_one_ledgers_lock_stops_no_other(writer: Writer, ledger: LedgerRef) -> None:
    """While somebody holds one ledger's lock, another ledger's requests are answered."""
    others = [new_ledger() for _ in range(3)]
    with ThreadPoolExecutor(4) as pool, locked(ledger):
        waiting = pool.submit(writer.put, ledger, submission())
        time.sleep(0.05)
        began = time.monotonic()
        for other in others * 5:
            assert isinstance(writer.put(other, submission()), Accepted)
        assert time.monotonic() - began < 1
        assert not waiting.done()


def test_a_request_does_not_wait_for_ever(
    writer: Writer, ledger: LedgerRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its time is up while its group waits: it may have been stored, and a retry finds out."""
    monkeypatch.setattr(writer_module, "SINGLE_WITHIN_S", 0.2)
    with locked(ledger):
        answer = writer.put(ledger, submission("k"))
        assert isinstance(answer, Unstored)
        assert answer.code == "intake_timeout"
        late = writer.put(ledger, submission("abandoned"))
        assert isinstance(late, Unstored)
    monkeypatch.undo()
    again = writer.put(ledger, submission("k"))
    assert isinstance(again, Accepted)
    assert again.position == 1
    rows = Bank(ledger).rows("SELECT idempotency_key FROM operations WHERE ledger_id = :ledger")
    assert rows == [("k",)]  # what nobody waited for any more was not even begun


def test_a_full_line_refuses(engine: Engine, ledger: LedgerRef, rung: Rung) -> None:
    """Beyond the bound a request is told at once; a large one may come when nobody waits."""
    writer = Writer(engine, rung, max_lag=1_000, waiting_max=3)
    with ThreadPoolExecutor(4) as pool:
        with locked(ledger):
            begun = pool.submit(writer.put, ledger, submission())
            time.sleep(0.1)
            waiting = [pool.submit(writer.put, ledger, submission()) for _ in range(3)]
            time.sleep(0.1)
            refused = writer.put(ledger, submission())
        answers = [begun.result(), *(one.result() for one in waiting)]
    assert isinstance(refused, Unstored)
    assert refused.code == "intake_full"
    assert sorted(positions(answers)) == [1, 2, 3, 4]
    assert positions(writer.put_all(ledger, [submission() for _ in range(9)])) == list(range(5, 14))
    writer.stop()


def test_a_ledger_that_lags_takes_nothing_new(engine: Engine, ledger: LedgerRef) -> None:
    """Known keys are answered all the same."""
    writer = Writer(engine, Rung(), max_lag=2)
    answers = writer.put_all(ledger, [submission("a"), submission("b"), submission("c")])
    assert positions(answers[:2]) == [1, 2]
    assert answers[2] == Behind(2)
    replay = writer.put(ledger, submission("a"))
    assert isinstance(replay, Accepted)
    writer.stop()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_writer_is_noticed(engine: Engine, ledger: LedgerRef) -> None:
    """Whoever waited is answered, whoever comes later is refused at once, and health says so."""

    def deadly(_ledger: LedgerRef, _upto: int) -> None:
        raise SystemExit

    writer = Writer(engine, deadly, max_lag=1_000, threads=1)
    assert writer.trouble() is None
    answer = writer.put(ledger, submission())
    assert isinstance(answer, Unstored)
    assert answer.code == "internal_error"
    deadline = time.monotonic() + 2
    while writer.trouble() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "died" in (writer.trouble() or "")
    later = writer.put(ledger, submission())
    assert isinstance(later, Unstored)
    assert later.code == "intake_down"


def test_a_fault_of_ours_answers_and_goes_on(engine: Engine, ledger: LedgerRef) -> None:
    """A bug in the ringing ends one group, not the writer."""
    faults = itertools.count()

    def faulty(_ledger: LedgerRef, _upto: int) -> None:
        if next(faults) == 0:
            raise ValueError("a bug")

    writer = Writer(engine, faulty, max_lag=1_000, threads=1)
    answer = writer.put(ledger, submission("k"))
    assert isinstance(answer, Unstored)
    assert answer.code == "internal_error"
    again = writer.put(ledger, submission("k"))
    assert isinstance(again, Accepted)
    assert again.replayed
    writer.stop()


def test_a_stopped_writer_refuses(engine: Engine, ledger: LedgerRef) -> None:
    """What it took is written; what comes later is refused."""
    writer = Writer(engine, Rung(), max_lag=1_000)
    assert positions([writer.put(ledger, submission())]) == [1]
    writer.stop()
    answer = writer.put(ledger, submission())
    assert isinstance(answer, Unstored)
    assert answer.code == "intake_down"


def parcels(ledger: LedgerRef, *sizes: int) -> list[Parcel]:
    """A request of chunks of these sizes; of one single operation where the size is 0."""
    due = time.monotonic() + 60
    return [
        Parcel(ledger, [submission() for _ in range(size or 1)], due, chunk=bool(size))
        for size in sizes
    ]


def test_single_operations_pass_a_bulk_request() -> None:
    """Each group takes all the singles that wait and one chunk; chunks stay in their order."""
    lines, ledger = Lines(100), LedgerRef(1, 1, "one")
    bulk, singles = parcels(ledger, 5, 5, 1), parcels(ledger, 0, 0)
    lines.put(bulk)
    lines.put(singles)
    taken = []
    for _ in range(3):
        group = lines.take()
        assert group is not None
        taken.append(group.parcels)
        lines.give_back(ledger)
    assert taken == [[*singles, bulk[0]], [bulk[1]], [bulk[2]]]


def test_ledgers_take_turns() -> None:
    """A ledger with much to write gets every other group while another one waits."""
    lines, one, other = Lines(100), LedgerRef(1, 1, "one"), LedgerRef(2, 2, "other")
    lines.put(parcels(one, 2, 2, 2))
    lines.put(parcels(other, 2, 2))
    order = []
    for _ in range(5):
        group = lines.take()
        assert group is not None
        order.append(group.ledger)
        lines.give_back(group.ledger)
    assert order == [one, other, one, other, one]


def test_a_ledger_is_with_one_writer_at_a_time() -> None:
    """What comes while its group is written waits until the group is given back."""
    lines, ledger = Lines(100), LedgerRef(1, 1, "one")
    lines.put(parcels(ledger, 0))
    assert lines.take() is not None
    lines.put(parcels(ledger, 0))
    found: list[object] = []
    second = threading.Thread(target=lambda: found.append(lines.take()))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    lines.give_back(ledger)
    second.join(1)
    assert len(found) == 1
