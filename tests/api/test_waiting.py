"""`Prefer: wait=N`: who waits, for how long, and what happens when the listener is away."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from api.state import NAME
from api.waiting import WAIT, Listener, Watch
from models.db import intake_engine
from models.ledger import LedgerRef
from pipeline.drain import drain
from pipeline.receipt import Accepted
from tests.api.caller import Caller, transfer
from tests.api.conftest import Bellman, work
from tests.api.proxy import Proxy
from tests.bank import Bank


def test_the_wait_ends_with_the_outcome(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """200 as soon as it is final, long before the time is up."""
    with ThreadPoolExecutor(1) as pool:
        began = time.monotonic()
        waiting = pool.submit(api.submit, transfer(), wait=20)
        time.sleep(0.3)
        assert not waiting.done()
        work(ledger)
        answer = waiting.result()
    assert time.monotonic() - began < 5
    assert answer.status_code == 200
    assert answer.headers["Preference-Applied"] == "wait=20"
    assert (answer.json or {})["status"] == "rejected"  # there is no such account


def test_the_wait_ends_with_its_time(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """202 with the state that it has reached by then."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.submit, transfer(), wait=1)
        time.sleep(0.3)
        drain("validate", ledger)
        answer = waiting.result()
    assert answer.status_code == 202
    assert (answer.json or {})["status"] == "authorized"
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_a_replay_waits_too(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """What is final is answered at once; what is not is waited for."""
    api.submit(transfer(), "k")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.submit, transfer(), "k", wait=20)
        time.sleep(0.2)
        assert not waiting.done()
        work(ledger)
        assert waiting.result().status_code == 200
    began = time.monotonic()
    again = api.submit(transfer(), "k", wait=20)
    assert time.monotonic() - began < 2
    assert again.status_code == 200
    assert again.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("wait=5", "5"),
        ("WAIT=5", "5"),
        ('wait="5"', "5"),
        ("respond-async, wait=5", "5"),
        ("wait = 5 , respond-async", "5"),
        ("wait=5; foo", "5"),
        ("wait=-1", None),
        ("wait=", None),
        ("wait=1.5", None),
        ("wait=9999999999", None),
        ("await=5", None),
        ("return=minimal", None),
    ],
)
def test_the_preference_is_read_as_rfc_7240_says(header: str, seconds: str | None) -> None:
    """What cannot be understood is ignored."""
    found = WAIT.search(header)
    assert (found[1] if found else None) == seconds


def test_a_long_wait_is_granted_in_part(api: Caller) -> None:
    """At most 30 s, and the answer says so."""
    api.open_two()
    answer = api.submit(transfer(), wait=3600)
    assert answer.headers["Preference-Applied"] == "wait=30"


def test_no_wait_is_granted_beyond_the_cap(
    api: Caller, asleep: Bellman, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are always threads left that accept: the answer is 202 at once, and says no wait."""
    listener = Listener(intake_engine(), waiters_max=1)
    held = api.app.extensions[NAME]
    monkeypatch.setitem(
        api.app.extensions, NAME, type(held)(**{**vars(held), "listener": listener})
    )
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(api.submit, transfer(), wait=2)
        time.sleep(0.3)
        began = time.monotonic()
        answer = api.submit(transfer(), wait=2)
        assert time.monotonic() - began < 1
        assert answer.status_code == 202
        assert "Preference-Applied" not in answer.headers
        assert waiting.result().headers["Preference-Applied"] == "wait=2"
    listener.stop()


def test_a_listener_that_was_away_wakes_everybody(
    proxy: Proxy, engine: Engine, ledger: LedgerRef
) -> None:
    """What was told while it was away is not lost: those who wait look for themselves."""
    listener = Listener(engine)
    _until(lambda: listener.trouble() is None)
    with listener.watch(ledger, 20) as watch, ThreadPoolExecutor(1) as pool:
        assert watch is not None
        (receipt,) = Bank(ledger).accept(Bank(ledger).submission("transfer", _body()))
        assert isinstance(receipt, Accepted)
        waiting = pool.submit(watch.wait, receipt.position, time.monotonic() + 20)
        proxy.refusing = True
        proxy.drop_all()
        _until(lambda: "away" in (listener.trouble() or ""))
        work(ledger)
        assert not waiting.done()
        proxy.refusing = False
        assert waiting.result(timeout=10) is True
    assert listener.trouble() is None
    listener.stop()
    assert listener.trouble() == "its thread died"


def test_what_was_heard_before_the_wait_counts() -> None:
    """The word may come between the commit and the wait; other positions do not wake."""
    watch = Watch()
    watch.hear(7)
    assert watch.wait(7, time.monotonic() + 20) is True
    assert watch.wait(8, time.monotonic() + 0.01) is False
    watch.hear(9)
    assert watch.wait(8, time.monotonic() + 20) is True


def _body() -> dict[str, object]:
    body = transfer()
    del body["kind"]
    return body


def _until(true: Callable[[], bool], within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
