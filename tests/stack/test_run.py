"""`trident run`: the whole stack, left running or for one command."""

import json
import os
import signal
import sys
import urllib.request

import psutil

from cli.stack.home import Home
from tests.stack.holding import Held, all_gone, holding, wait_until

RUN = ("-m", "cli.main", "run")
NAMES = {"postgres", "valkey", "web", "worker", "beat", "flower"}

SHOW_ENVIRONMENT = """
import json, os, sys, urllib.request
urllib.request.build_opener().open(os.environ["TRIDENT_URL"] + "/readyz")
print(json.dumps({k: v for k, v in os.environ.items() if k.startswith("TRIDENT_")}))
sys.exit(7)
"""
# Dies by a signal of its own when it gets ours.
DIE_WHEN_INTERRUPTED = """
import os, signal, sys, time
signal.signal(signal.SIGINT, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
print("up", flush=True)
time.sleep(600)
"""


def test_the_stack_is_whole_heals_and_ends(made: Home) -> None:
    """All processes run; killed ones come back; Ctrl-C ends every one of them, with status 0."""
    with holding(made, *RUN) as held:
        env = held.env()
        assert is_up(env)
        assert {name for name in NAMES if held.pid(name)} == NAMES
        told = psutil.Process(held.pid("flower")).environ()
        assert told["TRIDENT_BROKER_URL"] == env["TRIDENT_BROKER_URL"]
        assert not told["TRIDENT_DATABASE_URL"]
        kill_and_wait(held, "web", "worker")
        wait_until(lambda: is_up(env))
        family = held.family()
        held.process.send_signal(signal.SIGINT)
        status, output = held.stop()
    assert status == 0
    assert all_gone(family)
    assert not made.env.exists()
    for name in ("TRIDENT_URL", "TRIDENT_FLOWER_URL", "TRIDENT_TOKEN", "TRIDENT_HOME"):
        assert env[name] in output
    assert "worker was killed by SIGKILL; it is started again in 1 s" in output


def kill_and_wait(held: Held, *names: str) -> None:
    """kill -9 these processes and wait until others have their places."""
    before = {name: held.pid(name) for name in names}
    for pid in before.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(held.pid(name) not in (None, pid) for name, pid in before.items()))


def is_up(env: dict[str, str]) -> bool:
    """Is the API ready?"""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{env['TRIDENT_URL']}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_a_command_gets_the_environment_and_gives_its_status(made: Home) -> None:
    """COMMAND finds a ready API in its environment; the output is its own, and so is the status."""
    with holding(made, *RUN, "--", sys.executable, "-c", SHOW_ENVIRONMENT) as held:
        status, output = held.stop()
    assert status == 7, output
    env = json.loads(output.splitlines()[-1])
    assert env["TRIDENT_HOME"] == str(made.root)
    names = {"URL", "TOKEN", "DATABASE_URL", "BROKER_URL", "FLOWER_URL"}
    assert {f"TRIDENT_{name}" for name in names} <= env.keys()
    assert not made.env.exists()


def test_signals_go_to_the_command_and_its_death_is_our_status(made: Home) -> None:
    """A SIGINT sent to us reaches COMMAND, and COMMAND's death by signal 9 makes our status 137."""
    command = (*RUN, "--", sys.executable, "-c", DIE_WHEN_INTERRUPTED)
    with holding(made, *command) as held:
        held.wait_for_line("up")
        held.process.send_signal(signal.SIGINT)
        status, _ = held.stop()
        assert status == 128 + signal.SIGKILL


def test_an_unknown_command_starts_nothing(home: Home) -> None:
    """A COMMAND that does not exist gives 127 and a sentence, before anything is started."""
    with holding(home, *RUN, "--", "no-such-command") as held:
        assert held.stop() == (127, "trident: no-such-command: not found\n")
    assert not home.logs.exists()
