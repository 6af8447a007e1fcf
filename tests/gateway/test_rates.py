"""Counting requests: exact in one process, shared between many, and never waiting for Valkey."""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from api.gateway.rates import ANSWER_S, BREAKER_S, AwayError, Bound, OverError, Rates, _client
from tests.identity.waiting import eventually

_names = iter(range(1, 1000))
NOBODY = "redis://127.0.0.1:1/0"


class Clock:
    """A time that passes when it is told to: it begins with a minute."""

    def __init__(self) -> None:
        self.now = time.time() // 60 * 60

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The beginning of this minute."""
    return Clock()


@contextmanager
def counting(url: str, now: Callable[[], float] = time.time) -> Iterator[Rates]:
    """The counts of a process, as long as the context lasts."""
    rates = Rates(url, now)
    try:
        yield rates
    finally:
        rates.stop()


@pytest.fixture
def rates(environment: dict[str, str], clock: Clock) -> Iterator[Rates]:
    """The counts of a process."""
    with counting(environment["TRIDENT_BROKER_URL"], clock) as made:
        yield made


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a Valkey that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def bound(most: int, name: str = "key") -> Bound:
    """A bound for somebody whom nobody has counted."""
    return Bound(name, f"test-{time.time_ns()}-{next(_names)}", most)


def taken(rates: Rates, *bounds: Bound) -> int:
    """How many requests pass before one is refused."""
    for count in range(10_000):
        try:
            rates.take(bounds)
        except OverError:
            return count
    raise AssertionError("nothing is ever refused")


def test_so_many_and_no_more(rates: Rates) -> None:
    """The one after the last is refused, and said when to come back."""
    mine = bound(5)
    left = [rates.take([mine]).left for _ in range(5)]
    assert left == [4, 3, 2, 1, 0]
    with pytest.raises(OverError) as over:
        rates.take([mine])
    assert over.value.standing.bound is mine
    assert 60 < over.value.standing.seconds <= 120


def test_the_last_minute_slides(rates: Rates, clock: Clock) -> None:
    """No burst of two minutes' worth where two minutes meet; the wait that was said is enough."""
    mine = bound(60)
    clock.now += 59
    assert taken(rates, mine) == 60
    clock.now += 1
    assert taken(rates, mine) == 0
    clock.now += 30
    assert 29 <= taken(rates, mine) <= 31
    with pytest.raises(OverError) as over:
        rates.take([mine])
    clock.now += over.value.standing.seconds
    assert taken(rates, mine) >= 1


def test_what_is_refused_is_counted_nowhere(rates: Rates) -> None:
    """Neither under the bound that is used up nor under the others."""
    narrow, wide = bound(2), bound(10)
    assert taken(rates, narrow, wide) == 2
    for _ in range(20):
        with pytest.raises(OverError):
            rates.take([wide, narrow])
    assert taken(rates, wide) == 8


def test_processes_share_their_counts(environment: dict[str, str], clock: Clock) -> None:
    """What one has counted the other knows moments later, once it has asked about it itself."""
    url, mine = environment["TRIDENT_BROKER_URL"], bound(100)
    with counting(url, clock) as one, counting(url, clock) as two:
        for _ in range(60):
            one.take([mine])
        time.sleep(0.3)
        assert two.take([mine]).left == 99
        eventually(lambda: two._counts[mine.who].elsewhere == 60, within_s=5)
        assert two.take([mine]).left == 38


def test_log_ins_are_counted_by_all_at_once(environment: dict[str, str], clock: Clock) -> None:
    """Two processes let in as many as one would, whoever asks."""
    url, mine = environment["TRIDENT_BROKER_URL"], bound(7, "login")
    with counting(url, clock) as one, counting(url, clock) as two:
        for count in range(7):
            standing = (one, two)[count % 2].take_strictly(mine)
            assert standing.left == 6 - count
        for rates in (one, two):
            with pytest.raises(OverError):
                rates.take_strictly(mine)
        clock.now += 120
        assert one.take_strictly(mine).left == 6


def test_a_dead_valkey_holds_up_nobody(clock: Clock) -> None:
    """Requests are counted here alone, exactly; log-ins are refused, and most at no cost."""
    with counting(NOBODY, clock) as rates:
        mine = bound(500)
        began = time.perf_counter()
        assert taken(rates, mine) == 500
        for _ in range(500):
            with pytest.raises(AwayError):
                rates.take_strictly(bound(5, "login"))
        assert time.perf_counter() - began < 1


def test_a_silent_valkey_costs_its_timeout_once(silent: str, clock: Clock) -> None:
    """A request waits for nothing; of log-ins one a second waits, for as long as it takes."""
    with counting(silent, clock) as rates:
        rates.take([bound(5)])
        time.sleep(0.2)  # the thread that shares is waiting for an answer now, or has given up
        mine, slowest = bound(1_000), 0.0
        for _ in range(1_000):
            began = time.perf_counter()
            rates.take([mine])
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < ANSWER_S
        time.sleep(BREAKER_S)
        began = time.perf_counter()
        for _ in range(100):
            with pytest.raises(AwayError):
                rates.take_strictly(bound(5, "login"))
        assert time.perf_counter() - began < 2 * ANSWER_S + BREAKER_S / 2


def test_a_valkey_that_comes_back_is_told(environment: dict[str, str], clock: Clock) -> None:
    """What was counted meanwhile is not lost."""
    url, mine = environment["TRIDENT_BROKER_URL"], bound(100)
    with counting(url, clock) as rates, counting(url, clock) as other:
        real, rates._valkey = rates._valkey, _client(NOBODY, 0.1)
        for _ in range(10):
            rates.take([mine])
        time.sleep(0.3)
        rates._valkey.close()
        rates._valkey = real
        other.take([mine])
        eventually(lambda: rates._counts[mine.who].told == 10, within_s=5)
        rates.take([mine])
        other.take([mine])
        eventually(lambda: other._counts[mine.who].elsewhere >= 10, within_s=5)


def test_more_names_than_are_remembered(
    environment: dict[str, str], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of addresses takes no more memory, and what is asked after it is shared as before."""
    url, mine = environment["TRIDENT_BROKER_URL"], bound(100)
    monkeypatch.setattr("api.gateway.rates.COUNTED_MAX", 2)
    with counting(url, clock) as rates, counting(url, clock) as other:
        for _ in range(3):
            rates.take([bound(5), bound(5), bound(5)])
            assert len(rates._counts) <= 2 + 3
            eventually(lambda: not rates._untold, within_s=5)
        rates.take([mine])
        other.take([mine])
        eventually(lambda: rates._counts[mine.who].told == 1, within_s=5)
        other.take([mine])
        eventually(lambda: other._counts[mine.who].elsewhere == 1, within_s=5)
