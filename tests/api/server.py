"""A real server: Granian in a process of its own, as the Procfile starts it."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import requests
from honcho.environ import parse_procfile

from cli.stack.apps import path
from cli.stack.ports import ANY, HOST, Port

ROOT = Path(__file__).parents[2]
# Two seconds on a machine of its own; the rest is for one that is busy with other tests.
UP_WITHIN_S = 60.0


class Server:
    """A running server and a client's calls to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, bearer: str) -> None:
        self.process = process
        self.url = url
        self._bearer = {"Authorization": f"Bearer {bearer}"}

    def post(self, path: str, body: Any, key: str, **headers: str) -> requests.Response:
        """POST JSON; raises requests' errors when the server dies under it."""
        every = {**self._bearer, "Idempotency-Key": key, **headers}
        return requests.post(self.url + path, json=body, headers=every, timeout=10)

    def get(self, path: str) -> requests.Response:
        """GET."""
        return requests.get(self.url + path, headers=self._bearer, timeout=10)

    def wait_for_death(self) -> None:
        """Until the process that serves has gone."""
        deadline = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < deadline:
            with suppress(psutil.NoSuchProcess):
                children = psutil.Process(self.process.pid).children(recursive=True)
                if any(child.status() != psutil.STATUS_ZOMBIE for child in children):
                    time.sleep(0.05)
                    continue
            return
        raise AssertionError("the server lives on")


@contextmanager
def serving(env: dict[str, str], bearer: str, log: Path) -> Iterator[Server]:
    """A server on a free port, up, as long as the context lasts."""
    with closing(Port(ANY)) as port, log.open("wb") as output:
        command = parse_procfile((ROOT / "Procfile").read_text()).processes["web"]
        told = {**os.environ, **env, "TRIDENT_PORT": str(port.number), "PATH": path()}
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"], cwd=ROOT, env=told, stdout=output, stderr=output
        )
        server = Server(process, f"http://{HOST}:{port.number}", bearer)
        try:
            _wait_until_up(server, log)
            yield server
        finally:
            _kill(process)


def _wait_until_up(server: Server, log: Path) -> None:
    deadline = time.monotonic() + UP_WITHIN_S
    while time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            if server.get("/healthz").ok:
                return
        time.sleep(0.05)
    raise AssertionError(f"the server does not come up:\n{log.read_text()}")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The process and those that it started: a worker outlives a killed master."""
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.kill()
    process.wait()
