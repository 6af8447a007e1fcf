"""What only a real server shows: raw headers, chunked bodies, encoded paths, threads, health."""

import http.client
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from models.ledger import LedgerRef
from tests.api.caller import LIABILITY, token, transfer
from tests.api.conftest import Bellman, work
from tests.api.proxy import Proxy, proxied
from tests.api.server import Server, serving
from tests.bank import new_ledger

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def proxy(environment: dict[str, str]) -> Iterator[Proxy]:
    """Between the server and Postgres."""
    with proxied(environment["TRIDENT_DATABASE_URL"]) as made:
        yield made


@pytest.fixture(scope="module")
def server(
    environment: dict[str, str], proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """One server for all tests here. Nobody answers at its broker's address."""
    env = {
        **environment,
        "TRIDENT_DATABASE_URL": proxy.url.render_as_string(hide_password=False),
        "TRIDENT_BROKER_URL": "redis://127.0.0.1:1/0",
    }
    log: Path = tmp_path_factory.mktemp("server") / "server.log"
    with serving(env, token(), log) as running:
        yield running
    assert "Traceback" not in log.read_text()


def raw(
    server: Server, method: str, path: str, headers: list[tuple[str, str | bytes]], body: bytes
) -> tuple[int, Any]:
    """A request with exactly these headers."""
    where = urlsplit(server.url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.putrequest(method, path)
        for name, value in [("Authorization", f"Bearer {token()}"), *headers]:
            connection.putheader(name, value)
        connection.endheaders()
        connection.send(body)
        answer = connection.getresponse()
        return answer.status, orjson.loads(answer.read())
    finally:
        connection.close()


def post_raw(
    server: Server, ledger: LedgerRef, *headers: tuple[str, str | bytes], body: Any = None
) -> tuple[int, Any]:
    """POST an operation with these headers."""
    sent = orjson.dumps(transfer()) if body is None else body
    every = [("Content-Type", "application/json"), ("Content-Length", str(len(sent))), *headers]
    return raw(server, "POST", f"/v1/ledgers/{ledger.name}/operations", every, sent)


def test_two_keys_are_refused(server: Server, ledger: LedgerRef) -> None:
    """D2 on the wire: two Idempotency-Key headers, bare or quoted, equal or not."""
    for one, two in (("a", "b"), ("a", "a"), ('"a"', '"b"'), ("a", '"a"'), ('"a"', "")):
        status, problem = post_raw(
            server, ledger, ("Idempotency-Key", one), ("Idempotency-Key", two)
        )
        assert (status, problem["code"]) == (400, "idempotency_key_invalid"), (one, two)


def test_a_key_in_another_alphabet_is_refused(server: Server, ledger: LedgerRef) -> None:
    """D2 on the wire: bytes that are not ASCII."""
    for key in ("schlüssel".encode(), b"\xff", b"\x80k"):
        status, problem = post_raw(server, ledger, ("Idempotency-Key", key))
        assert (status, problem["code"]) == (400, "idempotency_key_invalid")


def chunked(body: bytes, size: int) -> bytes:
    """The body in chunks, as HTTP/1.1 sends what has no length."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def test_a_body_without_a_length(server: Server, ledger: LedgerRef) -> None:
    """Read like any other, and refused like any other when it is too large."""
    where = f"/v1/ledgers/{ledger.name}/operations"
    headers: list[tuple[str, str | bytes]] = [
        ("Content-Type", "application/json"),
        ("Transfer-Encoding", "chunked"),
        ("Idempotency-Key", "chunked"),
    ]
    status, _ = raw(server, "POST", where, headers, chunked(orjson.dumps(transfer()), 7))
    assert status == 202
    large = chunked(b" " * (1024 * 1024 + 1), 65_536)
    status, problem = raw(server, "POST", where, headers, large)
    assert (status, problem["code"]) == (413, "body_too_large")


def test_headers_are_bounded(server: Server) -> None:
    """Line and headers have 64 KiB together: more is a 431, without a body, and harms nobody."""
    where = urlsplit(server.url)

    def status(query: int, header: int) -> int:
        with closing(http.client.HTTPConnection(where.hostname or "", where.port)) as connection:
            headers = {"X-Long": "x" * header}
            with suppress(BrokenPipeError, ConnectionResetError):  # it answers before it has all
                connection.request("GET", f"/healthz?{'q' * query}", headers=headers)
            return connection.getresponse().status

    assert (status(0, 60_000), status(60_000, 0)) == (200, 200)
    assert (status(0, 70_000), status(40_000, 40_000)) == (431, 431)
    assert status(0, 0) == 200


def test_encoded_paths(server: Server, ledger: LedgerRef) -> None:
    """%3A and %2F are colon and slash; bytes that are not UTF-8 name nothing."""
    here = f"/v1/ledgers/{ledger.name}/accounts"
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(
            server.post, here, {"code": "a/b:c", **LIABILITY}, "k", Prefer="wait=20"
        )
        time.sleep(0.5)
        work(ledger)
        assert opening.result().status_code == 201
    for path in ("a/b:c", "a%2Fb%3Ac", "a%2fb:c"):
        assert server.get(f"{here}/{path}").json()["code"] == "a/b:c"
        assert server.get(f"{here}/{path}/postings").json()["data"] == []
    for path in ("%FF", "%00", "a%2Fb", "a/b:c/"):
        assert server.get(f"{here}/{path}").status_code == 404


def test_waiting_requests_leave_threads_free(server: Server, bellman: Bellman) -> None:
    """Sixty wait and nobody works: others are answered at once all the same."""
    ledger = new_ledger()
    where = f"/v1/ledgers/{ledger.name}/operations"
    with ThreadPoolExecutor(60) as pool:
        waiting = [
            pool.submit(server.post, where, transfer(), f"w-{n}", Prefer="wait=2")
            for n in range(60)
        ]
        time.sleep(0.7)
        began = time.monotonic()
        assert server.post(where, transfer(), "other").status_code == 202
        assert time.monotonic() - began < 1
        answers = [one.result() for one in waiting]
    assert {answer.status_code for answer in answers} == {202}
    granted = sum("Preference-Applied" in answer.headers for answer in answers)
    assert granted == 48


def test_health_names_what_is_down(server: Server, proxy: Proxy, ledger: LedgerRef) -> None:
    """Without the broker it is degraded and accepts; without the database it is down."""
    assert server.get("/healthz").json() == {"status": "ok", "checks": {}}
    where = f"/v1/ledgers/{ledger.name}/operations"
    assert server.post(where, transfer(), "before").status_code == 202
    degraded = server.get("/readyz")
    assert degraded.status_code == 200
    assert degraded.json()["status"] == "degraded"
    found = degraded.json()["checks"]
    assert found.pop("broker").startswith("cannot be reached")
    assert found == {"database": "ok", "writer": "ok", "listener": "ok"}

    proxy.refusing = True
    proxy.drop_all()
    time.sleep(1.1)
    down = server.get("/readyz")
    assert down.status_code == 503
    assert down.json()["status"] == "down"
    assert down.json()["checks"]["database"].startswith("cannot be used")
    assert server.get("/healthz").status_code == 200
    refused = server.post(where, transfer(), "meanwhile")
    assert (refused.status_code, refused.json()["code"]) == (503, "database_unavailable")
    assert refused.headers["Retry-After"] == "1"

    proxy.refusing = False
    deadline = time.monotonic() + 10
    while server.get("/readyz").json()["checks"]["database"] != "ok":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert server.post(where, transfer(), "meanwhile").status_code == 202
