"""Where production code connects to: servers that settings name, and nothing that a client does.

The running API is asked with addresses in all that it takes by
api/test_fuzz.py::test_no_route_asks_an_address_that_it_is_given.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parents[1]
FOLDERS = ("api", "cli", "models", "pipeline", "tasks")
# What opens a connection, or makes something that does, as the last words of what is called.
OPENING = {
    "create_engine",
    "psycopg2.connect",
    "from_url",
    "Redis",
    "Celery",
    "Connection",
    "boto3.client",
    "boto3.resource",
    "boto3.Session",
    "SMTP",
    "SMTP_SSL",
    "socket.socket",
    "create_connection",
    "open_connection",
}
# Each such place, and who says where to.
OPENED = {
    "api/gateway/rates.py redis.Redis.from_url": "TRIDENT_BROKER_URL",
    "cli/exporting.py boto3.client": "the command line's own user, by `--to s3://...`",
    "models/db.py create_engine": "TRIDENT_DATABASE_URL and its like",
    "models/key_ring.py boto3.client": "TRIDENT_KMS_KEY",
    "pipeline/heads.py boto3.client": "TRIDENT_HEADS_URL",
    "tasks/app.py Celery": "TRIDENT_BROKER_URL",
    "tasks/ring.py redis.Redis.from_url": "TRIDENT_BROKER_URL",
    "tasks/smtp.py smtplib.SMTP": "TRIDENT_SMTP_URL",
    "tasks/smtp.py smtplib.SMTP_SSL": "TRIDENT_SMTP_URL",
}
# Clients of whatever address they are given: there is no use for one in what clients reach.
CLIENTS = {"aiohttp", "ftplib", "httpx", "http.client", "requests", "urllib.request", "urllib3"}
# The stack that runs on one's own machine asks its processes whether they are up.
OWN_STACK = Path("cli/stack")


def sources() -> Iterator[tuple[Path, ast.Module]]:
    """Production code, file by file."""
    for folder in FOLDERS:
        for path in sorted((HERE / folder).rglob("*.py")):
            name = path.relative_to(HERE)
            if OWN_STACK not in name.parents:
                yield name, ast.parse(path.read_text())


def called(tree: ast.Module) -> Iterator[str]:
    """What is called, as it is written."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def opens(call: str) -> bool:
    """Whether it opens a connection."""
    last = call.split(".")
    return last[-1] in OPENING or ".".join(last[-2:]) in OPENING


def imported(tree: ast.Module) -> Iterator[str]:
    """The modules that are imported, wherever that stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{one.name}" for one in node.names)


def test_connections_are_opened_where_settings_name_the_server() -> None:
    """Nowhere else: a new place needs a name here, and who says where it leads."""
    found = {f"{name} {call}" for name, tree in sources() for call in called(tree) if opens(call)}
    assert found == set(OPENED)


def test_nothing_fetches_addresses() -> None:
    """No module that clients reach can ask for an address by HTTP or FTP."""
    found = [
        f"{name}: {module}"
        for name, tree in sources()
        for module in imported(tree)
        if module in CLIENTS
    ]
    assert found == []
