"""Canaries: words that no place of the stack may hold, and where to look for them."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
import requests
from sqlalchemy import Engine, create_engine, make_url

from cli.stack.datadir import SUPERUSER, binary

NAME, MAIL, ADDRESS, AGENT = (f"canary{word}7f3a9" for word in ("name", "mail", "address", "agent"))
CANARIES = [word.encode() for word in (NAME, MAIL, ADDRESS, AGENT)]
# Where the person's program is, as the proxy says that is trusted. The broker counts requests by
# it for two minutes, so that place is told apart.
WHENCE = "203.0.113.177"
BLOCK_BYTES = 1 << 20


def search(
    env: dict[str, str], home: Path, folder: Path, there: bytes, more: Sequence[bytes] = ()
) -> None:
    """No canary sings; `there` is stored in clear beside them, and so is found."""
    words = [*CANARIES, *more]
    dump = dumped(env, home)
    places = {"the dump": dump, "Flower": flower(env), "the broker": broker(env)}
    for place, content in places.items():
        assert [word for word in words if word in content] == [], place
    files = [*home.rglob("*"), *folder.rglob("*")]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    for path in files:
        assert [one for one in words if found(one, path)] == [], path
    assert there in dump
    assert any(found(there, path) for path in files)


def found(word: bytes, path: Path) -> bool:
    """Whether the file holds the word, wherever its blocks end."""
    try:
        with path.open("rb") as file:
            before = b""
            while block := file.read(BLOCK_BYTES):
                if word in before + block:
                    return True
                before = block[-len(word) :]
    except FileNotFoundError:  # the servers go on: files come and go
        return False
    return False


def dumped(env: dict[str, str], home: Path) -> bytes:
    """The database as pg_dump writes it, by its superuser: every row of every tenant."""
    url = make_url(env["TRIDENT_OWNER_DATABASE_URL"])
    secrets = json.loads((home / "secrets.json").read_text())
    told = {"PGPASSWORD": secrets[SUPERUSER], "PATH": os.environ["PATH"]}
    address = ["--host", str(url.host), "--port", str(url.port), "--username", SUPERUSER]
    done = subprocess.run(
        [binary("pg_dump"), *address, str(url.database)], env=told, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def owner_of(env: dict[str, str]) -> Engine:
    """The database, as its owner."""
    url = make_url(env["TRIDENT_OWNER_DATABASE_URL"]).set(drivername="postgresql+psycopg2")
    return create_engine(url)


def broker(env: dict[str, str]) -> bytes:
    """Every key of the broker with its value."""
    client: Any = redis.Redis.from_url(env["TRIDENT_BROKER_URL"])
    found = [(key, client.dump(key) or b"") for key in client.scan_iter()]
    client.close()
    return b"\n".join(part for pair in found for part in pair)


def flower(env: dict[str, str]) -> bytes:
    """What Flower shows of tasks and workers."""
    paths = ("api/tasks", "api/workers")
    return b"".join(
        requests.get(f"{env['TRIDENT_FLOWER_URL']}/{path}", timeout=10).content for path in paths
    )
