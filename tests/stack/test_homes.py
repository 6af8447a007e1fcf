"""One stack in a home, any number of homes, and nothing left of a stack that was killed."""

import os
import signal

import psutil
import psycopg2
import pytest

from cli import stack
from cli.stack.errors import AlreadyRunning
from cli.stack.home import Home
from cli.stack.register import Entry, Mark, mark_of, write
from tests.stack.holding import SERVERS, all_gone, holding, wait_until


def test_a_second_stack_in_the_same_home_is_refused(made: Home) -> None:
    """The message says which process runs there and under which address."""
    with holding(made, "-c", SERVERS) as held:
        env = held.env()
        wait_until(lambda: env["TRIDENT_URL"] in made.lock.read_text())
        found = rf"process {held.process.pid}, at {env['TRIDENT_URL']}"
        with pytest.raises(AlreadyRunning, match=found), stack.servers(made.root):
            pass
        assert held.stop() == (0, "")


def test_a_stack_in_another_home_runs_beside_it(made: Home, servers: dict[str, str]) -> None:
    """Two homes have servers of their own, on ports of their own."""
    with stack.servers(made.root) as env:
        for name in ("TRIDENT_DATABASE_URL", "TRIDENT_BROKER_URL", "TRIDENT_URL"):
            assert env[name] != servers[name]
        psycopg2.connect(env["TRIDENT_DATABASE_URL"]).close()
        psycopg2.connect(servers["TRIDENT_DATABASE_URL"]).close()


def test_a_killed_stack_leaves_nothing_and_loses_nothing(made: Home) -> None:
    """After kill -9 of the supervisor its servers go, and the next start finds the data."""
    with holding(made, "-c", SERVERS) as held:
        remember(held.env()["TRIDENT_OWNER_DATABASE_URL"])
        family = held.family()
        held.kill()
        wait_until(lambda: all_gone(family))
    with stack.servers(made.root, any_ports=True) as env:
        assert recall(env["TRIDENT_OWNER_DATABASE_URL"]) == 42


def test_the_next_start_ends_what_the_warden_could_not(made: Home) -> None:
    """With supervisor and warden both killed, the next start ends their servers and recovers."""
    with holding(made, "-c", SERVERS) as held:
        remember(held.env()["TRIDENT_OWNER_DATABASE_URL"])
        family = held.family()
        warden = next(m.process() for m in family if "warden" in str(command_line(m)))
        assert warden is not None
        warden.send_signal(signal.SIGSTOP)
        held.kill()
        warden.kill()
        assert not all_gone(family)
        said: list[str] = []
        with stack.servers(made.root, any_ports=True, say=said.append) as env:
            assert all_gone(family)
            assert said[0].endswith("had left running: valkey, postgres")
            assert recall(env["TRIDENT_OWNER_DATABASE_URL"]) == 42


def test_a_killed_postgres_comes_back_with_its_data(made: Home) -> None:
    """kill -9 of Postgres costs a restart and no committed row."""
    with holding(made, "-c", SERVERS) as held:
        url = held.env()["TRIDENT_OWNER_DATABASE_URL"]
        remember(url)
        before = held.pid("postgres")
        assert before is not None
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: held.pid("postgres") not in (None, before))
        wait_until(lambda: answers(url))
        assert recall(url) == 42


def test_a_stranger_with_a_known_pid_is_not_ended(made: Home) -> None:
    """A pid in processes.json that belongs to somebody else by now is left alone."""
    me = mark_of("web", os.getpid())
    assert me is not None
    made.prepare()
    stranger = Mark("web", me.pid, me.created - 3600)
    write(made.processes, [Entry(stranger, 0, signal.SIGKILL, 1.0, [stranger])])
    with stack.servers(made.root, any_ports=True):
        assert me.process() is not None


def command_line(mark: Mark) -> list[str]:
    """What a process was started with."""
    return psutil.Process(mark.pid).cmdline()


def remember(url: str) -> None:
    """Commit a row."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    connection.close()


def recall(url: str) -> int:
    """Read it again."""
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        ((answer,),) = cursor.fetchall()
    connection.close()
    return int(answer)


def answers(url: str) -> bool:
    """Does the database take connections?"""
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True
