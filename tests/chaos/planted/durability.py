"""A Postgres that acknowledges before it has written, killed: refused, or else it loses money."""

import signal
import time
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

import models.db
from cli.stack import postgres
from cli.stack.home import Home
from cli.stack.register import read as read_processes
from models.db import app_engine, dispose_engines, raw_connection
from tests.bank import Bank, new_ledger
from tests.chaos.planted.real_servers import expect, owner, servers
from tests.chaos.planted.report import EscapedError

# Acknowledged before the kill: enough to take longer than one round of any background process,
# and less than the megabyte of WAL at which the WAL writer would be woken.
ACKNOWLEDGED = 300
UP_AGAIN_S = 60.0
LOOK_AGAIN_S = 0.1


def kill_postgres(home: Path) -> None:
    """SIGKILL for the server's processes all at once: stopped first, so that none acts alone."""
    (pid,) = [e.mark.pid for e in read_processes(Home(home).processes) if e.mark.name == "postgres"]
    server = psutil.Process(pid)
    family = [server, *server.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    for process in family:
        process.send_signal(signal.SIGKILL)


def lost_after_a_kill(template: Path | None) -> int:
    """How many acknowledged operations are missing once Postgres, killed under load, is back."""
    with servers(template) as home:
        bank = Bank(new_ledger())
        # What the start has written is on the disk, so that only what follows can be lost.
        owner("SET LOCAL synchronous_commit = on", "CREATE TABLE flushed ()")
        for number in range(ACKNOWLEDGED):
            last = bank.open(f"a{number}")
        kill_postgres(home)
        dispose_engines()
        deadline = time.monotonic() + UP_AGAIN_S
        while True:
            try:
                with raw_connection(app_engine()) as connection, connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                break
            except Exception:  # noqa: BLE001 - it starts, recovers, refuses: until it answers
                expect(time.monotonic() < deadline, "Postgres did not come back")
                time.sleep(LOOK_AGAIN_S)
        (row,) = bank.rows("SELECT count(*) FROM operations WHERE ledger_id = :ledger")
        return last.position - int(row[0])


def asynchronous() -> Any:
    """A server that acknowledges before it has written, with the longest delay that there is."""
    return mock.patch.dict(
        postgres.SETTINGS, {"synchronous_commit": "off", "wal_writer_delay": "10s"}
    )


def synchronous_commit_off(template: Path | None) -> str:
    """Such a server is refused; where it is not, it loses what was acknowledged."""
    expect(lost_after_a_kill(template) == 0, "acknowledged operations are lost without the bug")
    with asynchronous():
        try:
            with servers(template):
                raise EscapedError("a server with synchronous_commit = off was not refused")
        except models.db.UnsafeServer:
            pass
        required = {k: v for k, v in models.db.REQUIRED.items() if k != "synchronous_commit"}
        with mock.patch.dict(models.db.REQUIRED, required, clear=True):
            lost = lost_after_a_kill(template)
    expect(lost > 0, "nothing was lost")
    return f"{lost} of {ACKNOWLEDGED} acknowledged operations are missing"
