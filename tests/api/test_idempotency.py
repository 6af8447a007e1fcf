"""The cases of idempotency, D1 to D16 and D23, each by two tenants at once: a test names its case.

Those about what stands in a body, D17 to D22, are in test_bodies.py.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
import requests

from models.db import app_engine, intake_engine, raw_connection
from models.ledger import LedgerRef
from pipeline.accept import ACCEPT_LOCK
from pipeline.drain import drain
from pipeline.stage import STAGES
from tests.api.caller import WORLD, Caller, new_key, operations_of, problem, token, transfer
from tests.api.conftest import Bellman
from tests.api.proxy import end_connections
from tests.api.server import serving
from tests.api.twins import Twins
from tests.bank import Bank

PARALLEL = 20
MANY = 150


@pytest.fixture
def api(twins: Twins) -> Twins:
    """Each case is tried by two tenants at once, with the same keys and the same bodies."""
    return twins


def test_without_a_key_nothing_is_stored(api: Caller, ledger: LedgerRef) -> None:
    """D1: no key on a POST that creates an operation is a 400; on every such route."""
    for path in ("operations", "accounts", "accounts/a/freeze", "accounts/a/close"):
        assert problem(api.post(path, {})) == (400, "idempotency_key_missing")
    assert problem(api.call("PATCH", "accounts/a", {})) == (400, "idempotency_key_missing")
    assert operations_of(ledger) == 0


@pytest.mark.parametrize(
    "key",
    ["", "k" * 256, "k\tk", "k\x7f", "schlüssel", "a,b", '"a', '"a" b', '"a","b"', '"a\\"', "  "],
)
def test_a_key_that_is_none_is_refused(api: Caller, ledger: LedgerRef, key: str) -> None:
    """D2: empty, over 255 characters, control or non-ASCII characters, two headers: 400.

    The server joins two headers with a comma, so a bare key with a comma is two keys.
    """
    assert problem(api.submit(transfer(), key)) == (400, "idempotency_key_invalid")
    assert operations_of(ledger) == 0


def test_keys_of_tridents_own_are_refused(api: Caller) -> None:
    """D2: the namespace of Trident's own operations cannot be used."""
    assert problem(api.submit(transfer(), "trident:expiry:1")) == (400, "idempotency_key_reserved")
    assert problem(api.submit(transfer(), '"trident:x"')) == (400, "idempotency_key_reserved")


@pytest.mark.parametrize(
    ("one", "other"), [("k-1", '"k-1"'), ('a"b\\c', '"a\\"b\\\\c"'), ('"x,y"', '"x,y"')]
)
def test_quotes_are_not_part_of_the_key(api: Caller, asleep: Bellman, one: str, other: str) -> None:
    """D3: `"k"` in quotes and bare `k` are the same key."""
    first, second = api.submit(transfer(), one), api.submit(transfer(), other)
    assert first.status_code == second.status_code == 202
    assert (first.json or {})["id"] == (second.json or {})["id"]
    assert second.headers["Idempotent-Replayed"] == "true"


def test_a_replay_of_a_final_operation(api: Caller, ledger: LedgerRef) -> None:
    """D4: the same operation with its outcome, marked as replayed; no new row."""
    api.open_two()
    first = api.submit(transfer(), "k", wait=10)
    assert "Idempotent-Replayed" not in first.headers
    for _ in range(3):
        again = api.submit(transfer(), "k")
        assert (again.status_code, again.json) == (200, first.json)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.headers["Location"] == first.headers["Location"]
    assert operations_of(ledger) == 3


def test_a_replay_while_the_chain_runs(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """D5: the same 202 and id."""
    first, again = api.submit(transfer(), "k"), api.submit(transfer(), "k")
    assert (again.status_code, again.json) == (202, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert operations_of(ledger) == 1


def test_a_repeat_waits_for_the_first_request(
    api: Caller, asleep: Bellman, ledger: LedgerRef
) -> None:
    """D6: while the first is in flight (the accept lock is held), a second one waits for it."""
    with ThreadPoolExecutor(2) as pool, raw_connection(app_engine()) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT pg_advisory_lock(%s, %s)", (ACCEPT_LOCK, ledger.ledger_id))
        both = [pool.submit(api.submit, transfer(), "k") for _ in range(2)]
        threading.Event().wait(0.3)
        assert not any(one.done() for one in both)
        cursor.execute("SELECT pg_advisory_unlock(%s, %s)", (ACCEPT_LOCK, ledger.ledger_id))
        answers = [one.result() for one in both]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert len({(answer.json or {})["id"] for answer in answers}) == 1
    assert sorted("Idempotent-Replayed" in answer.headers for answer in answers) == [False, True]


def in_parallel(call: Callable[[int], Any]) -> list[Any]:
    """Twenty calls at the same moment."""
    gate = threading.Barrier(PARALLEL)

    def one(number: int) -> Any:
        gate.wait()
        return call(number)

    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(one, range(PARALLEL)))


def test_twenty_at_once_with_one_content(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """D7: one operation, 20 times the same id, 19 of them replays."""
    answers = in_parallel(lambda _: api.submit(transfer(), "k"))
    assert len({answer.json["id"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == PARALLEL - 1
    assert operations_of(ledger) == 1


def test_twenty_at_once_with_twenty_contents(
    api: Caller, asleep: Bellman, ledger: LedgerRef
) -> None:
    """D8: one operation; the other 19 get 422."""
    answers = in_parallel(lambda number: api.submit(transfer(number + 1), "k"))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * (PARALLEL - 1)
    assert operations_of(ledger) == 1


def test_another_content_names_what_differs(api: Caller, asleep: Bellman) -> None:
    """D9: 422 with the names of the members that differ, and never their old values."""
    api.submit(transfer(100, description="secret-before"), "k")
    changed = transfer(200, metadata={"a": 1}, effective_date="2026-01-01")
    other = api.with_roles("submitter", subject="somebody-else").submit(changed, "k")
    assert problem(other) == (422, "idempotency_key_reused")
    assert other.json is not None
    assert other.json["differs"] == ["amount", "description", "effective_date", "metadata"]
    assert "secret-before" not in other.text
    kind = {"kind": "freeze_account", "account": "a"}
    assert "kind" in (api.submit(kind, "k").json or {})["differs"]


def test_keys_of_two_ledgers_are_independent(api: Caller, ledger: LedgerRef) -> None:
    """D10: the same key on another ledger is another operation."""
    api.post("/v1/ledgers", {"name": f"{api.ledger}-second"})
    second = Caller(api.app, f"{api.ledger}-second")
    one, other = api.submit(transfer(), "k"), second.submit(transfer(200), "k")
    assert one.status_code == other.status_code == 202
    assert (one.json or {})["id"] != (other.json or {})["id"]
    assert operations_of(ledger) == 1


def test_keys_of_two_tenants_are_independent(
    api: Caller, stranger: Caller, ledger: LedgerRef
) -> None:
    """D11: the same key and ledger name at another tenant is independent; nothing is visible."""
    first: Any = api.submit(transfer(description="of A"), "k").json
    assert stranger.post("/v1/ledgers", {"name": api.ledger}).status_code == 201
    other: Any = stranger.submit(transfer(200), "k")
    assert other.status_code == 202
    assert other.json["id"] != first["id"]
    assert other.json["position"] == 1
    assert stranger.get(f"operations/{first['id']}").status_code == 404
    assert operations_of(ledger) == 1


def test_a_refused_request_leaves_its_key_free(
    api: Caller, asleep: Bellman, ledger: LedgerRef
) -> None:
    """D12: after 400, 401, 403 and 422 the corrected request is executed under the same key."""
    nobody, auditor = Caller(api.app, api.ledger, "no-token"), api.with_roles("auditor")
    assert api.submit(b"{", "k").status_code == 400
    assert nobody.submit(transfer(), "k").status_code == 401
    assert auditor.submit(transfer(), "k").status_code == 403
    assert api.submit(transfer(-1), "k").status_code == 422
    assert operations_of(ledger) == 0
    corrected = api.submit(transfer(), "k")
    assert corrected.status_code == 202
    assert "Idempotent-Replayed" not in corrected.headers


def test_a_rejection_stays(api: Caller) -> None:
    """D13: rejected for lack of funds, funds arrive: the same refusal; a new key works."""
    api.open("world", **WORLD)
    api.open("a")
    api.open("b")
    spend = transfer(100, source="a", destination="b")
    first = api.submit(spend, "k", wait=10)
    assert (first.json or {})["rejection"]["code"] == "insufficient_funds"
    api.posted(transfer(100))
    again = api.submit(spend, "k", wait=10)
    assert (again.status_code, again.json) == (200, first.json)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert api.posted(spend)["status"] == "posted"


def test_a_connection_lost_around_the_commit(
    api: Caller, asleep: Bellman, ledger: LedgerRef, servers: dict[str, str]
) -> None:
    """D14: the database ends our connections again and again; each request is executed once."""
    ended = 0
    with ThreadPoolExecutor(8) as pool:
        answering = [pool.submit(api.submit, transfer(), f"k-{n}") for n in range(MANY)]
        while not all(one.done() for one in answering):
            ended += end_connections(servers["TRIDENT_DATABASE_URL"])
            time.sleep(0.03)
    assert ended > 0
    intake_engine().dispose()
    answers = [one.result() for one in answering]
    unsure = [n for n, answer in enumerate(answers) if answer.status_code != 202]
    assert all(answers[n].status_code == 503 for n in unsure)
    assert not any("Idempotent-Replayed" in answer.headers for answer in answers)
    for number in unsure:
        assert api.submit(transfer(), f"k-{number}").status_code == 202
    assert operations_of(ledger) == MANY
    ids = {(api.submit(transfer(), f"k-{n}").json or {})["id"] for n in range(MANY)}
    assert len(ids) == MANY


def test_a_process_killed_at_its_commit(
    ledger: LedgerRef, environment: dict[str, str], tmp_path: Path
) -> None:
    """D15: killed before its commit and after it; retries elsewhere execute each once in total."""
    env = {**environment, "TRIDENT_CRASH_AT": str(tmp_path)}
    where = f"/v1/ledgers/{ledger.name}/operations"
    for number, point in enumerate(("accept.before_commit", "accept.after_commit")):
        (tmp_path / point).touch()
        with serving(env, token(), tmp_path / f"{point}.log") as server:
            with pytest.raises(requests.ConnectionError):
                server.post(where, transfer(), point)
            server.wait_for_death()
        assert operations_of(ledger) == number
    with serving(env, token(), tmp_path / "last.log") as server:
        after = server.post(where, transfer(), "accept.after_commit")
        assert (after.status_code, after.json()["position"]) == (202, 1)
        assert after.headers["Idempotent-Replayed"] == "true"
        before = server.post(where, transfer(), "accept.before_commit")
        assert (before.status_code, before.json()["position"]) == (202, 2)
        assert "Idempotent-Replayed" not in before.headers
        assert server.post(where, transfer(), "other").json()["position"] == 3
    assert operations_of(ledger) == 3


def test_a_flushed_broker_forgets_no_key(api: Caller, servers: dict[str, str]) -> None:
    """D16: Redis is flushed; the same operation comes back."""
    first = api.submit(transfer(), "k")
    with redis.Redis.from_url(servers["TRIDENT_BROKER_URL"]) as client:
        client.flushall()
    again = api.submit(transfer(), "k")
    assert (again.json or {})["id"] == (first.json or {})["id"]
    assert again.headers["Idempotent-Replayed"] == "true"


def test_a_stage_called_again_does_nothing(api: Caller, asleep: Bellman, ledger: LedgerRef) -> None:
    """D23: each stage called 3 times, and twice in parallel: one effect."""
    for body in (
        {"kind": "open_account", "code": "world", **WORLD},
        {"kind": "open_account", "code": "a", "type": "liability", "currency": "EUR"},
        *(transfer(n) for n in range(1, 51)),
    ):
        assert api.submit(body, new_key()).status_code == 202
    for stage in STAGES:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _, stage=stage: drain(stage, ledger), range(2)))
        for _ in range(3):
            drain(stage, ledger)
    account: Any = api.get("accounts/a").json
    assert (account["balance"], account["version"]) == (sum(range(1, 51)), 50)
    covered = Bank(ledger).rows(
        "SELECT stage, sum(to_position - from_position + 1) FROM runs"
        " WHERE ledger_id = :ledger GROUP BY stage"
    )
    assert {stage: int(rows) for stage, rows in covered} == dict.fromkeys(STAGES, 52)
