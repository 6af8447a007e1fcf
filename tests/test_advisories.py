"""`make check` fails on a known vulnerability, and says so where it could ask nobody."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.advisories import main

NONE: dict[str, Any] = {}
ONE = {
    "vulns": [
        {
            "id": "OSV-2026-1",
            "summary": "It gives money away.",
            "published": "2026-01-01T00:00:00Z",
            "affected": [
                {
                    "package": {"name": "six", "ecosystem": "PyPI"},
                    "ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "9.9"}]}],
                }
            ],
        }
    ]
}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """One dependency."""
    path = tmp_path / "requirements.lock"
    path.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    return path


class Service:
    """An advisory service on this machine that gives the same answer to all."""

    def __init__(self, status: int, answer: Any) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/query"

    def stop(self) -> None:
        """Answer no more."""
        if not self._thread.is_alive():
            return
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    """One that answers as the test's parameter says."""
    made = Service(*request.param)
    yield made
    made.stop()


def ask(lock: Path, url: str, tmp_path: Path) -> int:
    """What the check ends with."""
    return main(lock, "--osv-url", url, "--cache-dir", str(tmp_path / "cache"))


@pytest.mark.parametrize("service", [(200, NONE)], indirect=True)
def test_nothing_known_is_silence(
    lock: Path, service: Service, tmp_path: Path, capsys: Any
) -> None:
    """It passes, and prints nothing."""
    assert ask(lock, service.url, tmp_path) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("service", [(200, ONE)], indirect=True)
def test_a_finding_fails(lock: Path, service: Service, tmp_path: Path, capsys: Any) -> None:
    """It names the package, the advisory and the version that is mended."""
    assert ask(lock, service.url, tmp_path) == 1
    assert capsys.readouterr().out == "six 1.17.0: OSV-2026-1; fixed in: 9.9\n"


@pytest.mark.parametrize("service", [(503, NONE)], indirect=True)
def test_a_service_in_trouble_is_said(
    lock: Path, service: Service, tmp_path: Path, capsys: Any
) -> None:
    """In one line; it passes."""
    assert ask(lock, service.url, tmp_path) == 0
    assert capsys.readouterr().out.startswith("pip-audit: nothing is known, no advisory")


@pytest.mark.parametrize("service", [(200, NONE)], indirect=True)
def test_no_service_is_said(lock: Path, service: Service, tmp_path: Path, capsys: Any) -> None:
    """In one line, with the reason; it passes."""
    service.stop()
    assert ask(lock, service.url, tmp_path) == 0
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "no advisory service is reached" in told
    assert "refused" in told


@pytest.mark.parametrize("service", [(200, NONE)], indirect=True)
def test_a_lock_that_cannot_be_read_fails(
    lock: Path, service: Service, tmp_path: Path, capsys: Any
) -> None:
    """Not asking for a fault of our own is not passed over in silence."""
    lock.write_text("six\n")
    assert ask(lock, service.url, tmp_path) == 1
    assert "pip-audit failed" in capsys.readouterr().out
