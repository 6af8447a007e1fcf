"""The supervisor: restarts what dies, gives up what never lives, and stops in order."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from cli.stack.child import LOG_LIMIT_BYTES, Spec, set_aside
from cli.stack.errors import NotUp
from cli.stack.home import Home
from cli.stack.register import Mark, mark_of, read
from cli.stack.supervisor import Supervisor, supervising
from tests.stack.holding import all_gone, wait_until

SLEEP = "import time; time.sleep(600)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up'); {SLEEP}"
# A master whose worker outlives it, as Granian's does.
MASTER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"


@pytest.fixture
def said() -> list[str]:
    """What the supervisor has said."""
    return []


@pytest.fixture
def supervisor(home: Home, said: list[str]) -> Iterator[Supervisor]:
    """A supervisor with nothing to do yet."""
    home.prepare()
    with supervising(home, said.append) as running:
        yield running


def spec(home: Home, name: str, code: str, rank: int = 0, grace_s: float = 10.0) -> Spec:
    """A process that runs a line of Python."""
    return Spec(
        name=name,
        command=[sys.executable, "-u", "-c", code],
        env=dict(os.environ),
        cwd=home.root,
        log=home.log(name),
        rank=rank,
        grace_s=grace_s,
    )


def test_a_killed_process_is_started_again(
    home: Home, supervisor: Supervisor, said: list[str]
) -> None:
    """After kill -9 the process runs again, and the cause has been said."""
    supervisor.start(spec(home, "web", SLEEP))
    first = supervisor.pid("web")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("web") not in (None, first))
    assert said[0].startswith("web was killed by SIGKILL; it is started again in 1 s")
    wait_until(lambda: len(said) == 2)
    assert said[1] == f"web was started again (pid {supervisor.pid('web')})"


def test_what_a_killed_process_started_goes_with_it(home: Home, supervisor: Supervisor) -> None:
    """A worker that would outlive its killed master is ended before the master starts again."""
    supervisor.start(spec(home, "web", MASTER))
    first = supervisor.pid("web")
    wait_until(lambda: family(home, supervisor))
    worker = family(home, supervisor)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: supervisor.pid("web") not in (None, first))
    assert all_gone(worker)


def family(home: Home, supervisor: Supervisor) -> list[Mark]:
    """The descendants of the only process, as processes.json has them."""
    with supervisor._lock:
        supervisor._write_down()
    return read(home.processes)[0].family


def test_pauses_grow(home: Home, supervisor: Supervisor, said: list[str]) -> None:
    """A process that keeps dying is started again after 1 s, then after 2 s."""
    supervisor.start(spec(home, "web", "raise SystemExit(7)"))
    wait_until(lambda: len([line for line in said if "ended with status 7" in line]) == 2)
    pauses = [line.split(" in ")[1].split(" s")[0] for line in said if "status 7" in line]
    assert pauses == ["1", "2"]


def test_a_process_that_never_comes_up_is_given_up(home: Home, supervisor: Supervisor) -> None:
    """After three deaths the start ends with the name of the log and its last lines."""
    supervisor.start(spec(home, "web", "raise SystemExit('no such module')"))
    with pytest.raises(
        NotUp, match=r"(?s)web does not start\. Its log, .*web\.log.*no such module"
    ):
        supervisor.wait_until("web", lambda: False, within_s=30)


def test_waiting_ends(home: Home, supervisor: Supervisor) -> None:
    """A process that lives and does not answer is given up at the deadline."""
    supervisor.start(spec(home, "web", SLEEP))
    with pytest.raises(NotUp, match="web is not up after 0 s"):
        supervisor.wait_until("web", lambda: False, within_s=0.1)


def test_processes_stop_rank_by_rank(home: Home, said: list[str]) -> None:
    """The database is told to stop only when the app processes have gone."""
    home.prepare()
    note = "import signal, time, pathlib\n"
    slow = note + (
        "def stop(*_):\n time.sleep(0.5); pathlib.Path('app-gone').touch(); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, stop); print('up'); time.sleep(600)"
    )
    base = note + (
        "def stop(*_):\n print('app gone:', pathlib.Path('app-gone').exists()); raise SystemExit\n"
        "signal.signal(signal.SIGTERM, stop); print('up'); time.sleep(600)"
    )
    with supervising(home, said.append) as supervisor:
        supervisor.start(spec(home, "postgres", base, rank=2))
        supervisor.start(spec(home, "web", slow))
        wait_until(lambda: all("up" in home.log(n).read_text() for n in ("web", "postgres")))
    assert home.log("postgres").read_text() == "up\napp gone: True\n"
    assert said == []


def test_who_does_not_go_is_killed(home: Home, said: list[str]) -> None:
    """A process that ignores TERM is killed when its grace is over."""
    home.prepare()
    with supervising(home, said.append) as supervisor:
        supervisor.start(spec(home, "web", STUBBORN, grace_s=0.3))
        wait_until(lambda: "up" in home.log("web").read_text())
        mark = mark_of("web", supervisor.pid("web") or 0)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert mark is not None
    assert all_gone([mark])


def test_a_second_ctrl_c_hurries_the_stop(home: Home, said: list[str]) -> None:
    """Ctrl-C during the stop ends the waiting for app processes and leaves none behind."""
    home.prepare()
    with supervising(home, said.append) as supervisor:
        supervisor.start(spec(home, "web", STUBBORN, grace_s=60))
        wait_until(lambda: "up" in home.log("web").read_text())
        mark = mark_of("web", supervisor.pid("web") or 0)
        threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
        began = time.monotonic()
    assert time.monotonic() - began < 10
    assert mark is not None
    assert all_gone([mark])


def test_an_adopted_process_goes_with_the_stack(home: Home, said: list[str]) -> None:
    """The command that a stack was started for is stopped with it if it is still there."""
    home.prepare()
    command = subprocess.Popen([sys.executable, "-c", SLEEP])
    with supervising(home, said.append) as supervisor:
        supervisor.adopt("command", command.pid)
        assert [entry.mark.pid for entry in read(home.processes)] == [command.pid]
    assert command.wait() == -signal.SIGTERM


def test_a_grown_log_is_set_aside(home: Home) -> None:
    """A log over its limit becomes NAME.log.1, and its writer goes on in an empty file."""
    home.prepare()
    with home.log("web").open("ab") as writer:
        writer.truncate(LOG_LIMIT_BYTES + 1)
        set_aside(home.log("web"))
        writer.write(b"next")
    assert home.log("web").read_bytes() == b"next"
    assert home.log("web").with_suffix(".log.1").stat().st_size == LOG_LIMIT_BYTES + 1
