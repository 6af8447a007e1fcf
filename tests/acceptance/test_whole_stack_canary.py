"""Canaries: what is personal is nowhere in clear, whatever was done with it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis
import requests
from sqlalchemy import create_engine, make_url, text

NAME, MAIL, ADDRESS, AGENT = (f"canary{word}7f3a9" for word in ("name", "mail", "address", "agent"))
CANARIES = [word.encode() for word in (NAME, MAIL, ADDRESS, AGENT)]
BLOCK_BYTES = 1 << 20


def ask(env: dict[str, str], method: str, path: str, body: Any = None, key: str = "") -> Any:
    """A request whose user agent is a canary too."""
    headers = {"Authorization": f"Bearer {env['TRIDENT_TOKEN']}", "User-Agent": AGENT}
    headers |= {"Prefer": "wait=10"} | ({"Idempotency-Key": key} if key else {})
    url = f"{env['TRIDENT_URL']}/v1/{path}"
    return requests.request(method, url, json=body, headers=headers, timeout=20)


def about(ref: str) -> dict[str, Any]:
    """Personal data with every canary in it."""
    return {"subject": ref, "name": NAME, "contact": {"mail": MAIL}, "addresses": [ADDRESS]}


def pay(ref: str, **members: Any) -> dict[str, Any]:
    """A transfer that names the subject."""
    body = {"kind": "transfer", "source": "bank", "destination": "ada", "currency": "EUR"}
    return {**body, "amount": 1, "personal": about(ref), **members}


def test_nothing_personal_is_anywhere_in_clear(running: dict[str, str], tmp_path: Path) -> None:
    """Not in files of servers and logs, tables, the broker, Flower, rejected rows: at no time."""
    env = running
    # Everything that the stack writes lies below it.
    home = Path(env["TRIDENT_HOME"])
    for code in ("bank", "ada"):
        body = {"code": code, "type": "liability", "currency": "EUR", "overdraft": "unlimited"}
        assert ask(env, "POST", "ledgers/main/accounts", body, f"open-{code}").status_code == 201
    use(env, tmp_path)
    search(env, home, tmp_path)
    assert ask(env, "POST", "subjects/c-1/restrict").status_code == 200
    refused = ask(env, "POST", "ledgers/main/operations", pay("c-1"), "restricted")
    assert refused.status_code == 409
    exported = ask(env, "POST", "subjects/c-1/export")
    assert all(word.decode() in exported.text for word in CANARIES[:3])
    search(env, home, tmp_path)
    command(env, "subjects", "erase", "c-1", "--yes")
    refused = ask(env, "POST", "ledgers/main/operations", pay("c-1"), "erased")
    assert refused.status_code == 409
    assert NAME not in ask(env, "GET", "ledgers/main/operations?subject=c-1").text
    search(env, home, tmp_path)
    assert command(env, "verify").returncode == 0


def use(env: dict[str, str], folder: Path) -> None:
    """All ways in: one, many, nested, wrong, tried, imported and rejected."""
    path = "ledgers/main/operations"
    paid = ask(env, "POST", path, pay("c-1"), "pay")
    assert paid.json()["status"] == "posted", paid.text
    assert ask(env, "POST", path, pay("c-1", amount="1"), "wrong").status_code == 422
    assert ask(env, "POST", path, pay("c-1", destination="no"), "no").json()["rejection"]
    assert ask(env, "POST", path, pay("c-1", amount=2), "pay").status_code == 422
    group = {"kind": "group", "operations": [pay("c-1"), pay("c-1")]}
    assert ask(env, "POST", path, group, "group").json()["status"] == "posted"
    later = {"kind": "schedule", "operation": pay("c-1"), "at": soon()}
    assert ask(env, "POST", path, later, "later").status_code == 200
    many = [{"idempotency_key": f"bulk-{n}", **pay(f"c-{n}")} for n in range(5)]
    assert ask(env, "POST", f"{path}/bulk", many).json()["accepted"] == 5
    assert ask(env, "POST", f"{path}/dry-run", pay("c-9")).status_code == 200
    opened = {"code": "b", "type": "liability", "currency": "EUR", "personal": about("c-1")}
    assert ask(env, "POST", "ledgers/main/accounts", opened, "open-b").status_code == 201
    rows = [pay("c-1"), pay("c-1", destination="no"), pay("c-1", amount="1")]
    lines = [json.dumps({"idempotency_key": f"row-{n}"} | row) for n, row in enumerate(rows)]
    file = folder / "ops.ndjson"
    file.write_text("\n".join([*lines, lines[0][:-1]]))
    command(env, "import", str(file), "--continue")
    file.unlink()
    assert (folder / "ops.ndjson.rejected.csv").exists()


def soon() -> str:
    """In a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))


def command(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """`trident` as a process of its own."""
    arguments = [sys.executable, "-m", "cli.main", *words]
    done = subprocess.run(arguments, env=env_of(env), capture_output=True, text=True, check=False)
    assert not any(word.decode() in done.stdout + done.stderr for word in CANARIES), done
    assert "Traceback" not in done.stderr, done.stderr
    return done


def env_of(env: dict[str, str]) -> dict[str, str]:
    """The stack's environment, and what a process needs beside it."""
    return {**os.environ, **env}


def search(env: dict[str, str], home: Path, folder: Path) -> None:
    """No canary sings."""
    tables = "\n".join(rows_of(env))
    assert "sealed" in tables
    places = {"tables": tables.encode(), "Flower": flower(env), "the broker": broker(env)}
    for place, content in places.items():
        assert [word for word in CANARIES if word in content] == [], place
    files = [*home.rglob("*"), *folder.rglob("*")]
    files = [path for path in files if path.is_file() and not path.is_symlink()]
    for path in files:
        assert [word for word in CANARIES if found(word, path)] == [], path
    # Had it been stored in clear, it would have been found: the reference is, which is not sealed.
    assert any(found(b'"subject":"c-1"', path) for path in files)


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


def rows_of(env: dict[str, str]) -> Iterator[str]:
    """Every row of every table, as a dump would have it."""
    url = make_url(env["TRIDENT_OWNER_DATABASE_URL"]).set(drivername="postgresql+psycopg2")
    engine = create_engine(url)
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('trident.tenant', '1', true)"))
        for table in connection.execute(text(tables)).scalars().all():
            yield from connection.execute(text(f'SELECT t::text FROM "{table}" t')).scalars()
    engine.dispose()


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
