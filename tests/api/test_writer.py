"""Group commit: what the writer does with good groups, bad data, lost connections and crowds."""

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from api import writer as writer_module
from api.parcel import Answer, Lines, Parcel, Unstored
from api.writer import Writer
from models.db import app_engine, make_engine, raw_connection
from models.ledger import LedgerRef
from pipeline.accept import ACCEPT_LOCK, Accepted, Behind, Reused, Submission
from tests.api.caller import new_key
from tests.api.proxy import Proxy, end_connections, proxied
from tests.bank import ADMIN, Bank, new_ledger

BODY = b'{"amount":100,"currency":"EUR","destination":"a","source":"world"}'


def submission(key: str = "", body: bytes = BODY) -> Submission:
    """A transfer under a key of its own, unless one is given."""
    return Submission(key or new_key(), "transfer", body, ADMIN)


class Rung:
    """Remembers what was rung for."""

    def __init__(self) -> None:
        self.calls: list[tuple[LedgerRef, int]] = []

    def __call__(self, ledger: LedgerRef, upto: int) -> None:
        self.calls.append((ledger, upto))


@pytest.fixture
def proxy(environment: dict[str, str]) -> Iterator[Proxy]:
    """A proxy in front of Postgres."""
    with proxied(environment["TRIDENT_DATABASE_URL"]) as made:
        yield made


@pytest.fixture
def engine(proxy: Proxy) -> Iterator[Engine]:
    """An engine whose connections go through the proxy."""
    url = proxy.url.render_as_string(hide_password=False)
    made = make_engine(url, statement_timeout_ms=3_000)
    yield made
    made.dispose()


@pytest.fixture
def rung() -> Rung:
    """What the writer rang for."""
    return Rung()


@pytest.fixture
def writer(engine: Engine, rung: Rung) -> Iterator[Writer]:
    """A writer of its own for the test."""
    made = Writer(engine, rung, max_lag=1_000_000)
    yield made
    made.stop()


class Held:
    """Somebody else holds a ledger's accept lock."""

    def __init__(self, ledger: LedgerRef) -> None:
        self._ledger = ledger
        self._context = raw_connection(app_engine())

    def __enter__(self) -> None:
        self._connection = self._context.__enter__()
        self._run("SELECT pg_advisory_lock(%s, %s)")

    def __exit__(self, *_: object) -> None:
        self._run("SELECT pg_advisory_unlock(%s, %s)")
        self._context.__exit__(None, None, None)

    def _run(self, statement: str) -> None:
        self._connection.cursor().execute(statement, (ACCEPT_LOCK, self._ledger.ledger_id))


def positions(answers: Sequence[Answer]) -> list[int]:
    """Of accepted ones."""
    assert all(isinstance(one, Accepted) for one in answers), answers
    return [one.position for one in answers if isinstance(one, Accepted)]


def test_what_waits_is_written_together(writer: Writer, ledger: LedgerRef, rung: Rung) -> None:
    """While one group waits for its lock, all that come are gathered into the next group."""
    with ThreadPoolExecutor(20) as pool:
        with Held(ledger):
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


def test_a_lock_that_is_not_to_be_had(writer: Writer, ledger: LedgerRef) -> None:
    """Postgres gives up on the lock before the request does: busy, and nothing is stored."""
    with Held(ledger):
        began = time.monotonic()
        answer = writer.put(ledger, submission())
        assert 1.5 < time.monotonic() - began < 2.9
    assert isinstance(answer, Unstored)
    assert answer.code == "ledger_busy"
    assert positions([writer.put(ledger, submission())]) == [1]


def test_one_ledgers_lock_stops_no_other(writer: Writer, ledger: LedgerRef) -> None:
    """While somebody holds one ledger's lock, another ledger's requests are answered."""
    others = [new_ledger() for _ in range(3)]
    with ThreadPoolExecutor(4) as pool, Held(ledger):
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
    with Held(ledger):
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
        with Held(ledger):
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
