"""Canaries: what is personal is nowhere in clear, whatever was done with it."""

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyotp
import pytest
import requests
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from models.keks import KekSource
from models.key_ring import ring_of
from models.sealed import TamperedError
from pipeline.identity.people import unseal
from pipeline.privacy.data_keys import DataKey, keys_of
from tests.acceptance.canaries import ADDRESS, AGENT, CANARIES, MAIL, NAME, WHENCE, owner_of, search
from tests.identity.post_office import PostOffice, ticket_in
from tests.identity.waiting import eventually

PASSWORD = "marmot trellis 58 quench"


def ask(
    env: dict[str, str],
    method: str,
    path: str,
    body: Any = None,
    key: str = "",
    token: str | None = None,
) -> Any:
    """A request whose user agent is a canary too, and so is where it comes from."""
    headers = {"Authorization": f"Bearer {token or env['TRIDENT_TOKEN']}", "User-Agent": AGENT}
    headers |= {"X-Forwarded-For": WHENCE}
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
    search(env, home, tmp_path, b'"subject":"c-1"')
    assert ask(env, "POST", "subjects/c-1/restrict").status_code == 200
    refused = ask(env, "POST", "ledgers/main/operations", pay("c-1"), "restricted")
    assert refused.status_code == 409
    exported = ask(env, "POST", "subjects/c-1/export")
    assert all(word.decode() in exported.text for word in CANARIES[:3])
    search(env, home, tmp_path, b'"subject":"c-1"')
    command(env, "subjects", "erase", "c-1", "--yes")
    refused = ask(env, "POST", "ledgers/main/operations", pay("c-1"), "erased")
    assert refused.status_code == 409
    assert NAME not in ask(env, "GET", "ledgers/main/operations?subject=c-1").text
    search(env, home, tmp_path, b'"subject":"c-1"')
    assert command(env, "verify").returncode == 0


def test_nothing_of_a_person_is_anywhere_in_clear(
    running: dict[str, str], office: PostOffice, tmp_path: Path
) -> None:
    """Name, e-mail address, whence they asked, second factor; and once erased nothing opens."""
    env = running
    home = Path(env["TRIDENT_HOME"])
    person, secrets = let_in(env, office)
    shown = ask(env, "GET", f"people/{person}").json()
    assert (shown["name"], shown["email"]) == (NAME, f"{MAIL}@example.com")
    fail_in_the_database(env)
    exported = ask(env, "POST", f"subjects/person:{person}/export")
    assert all(word.decode() in exported.text for word in (NAME.encode(), MAIL.encode()))
    assert WHENCE in exported.text
    assert AGENT in exported.text
    sealed = sealed_of(env, person)
    assert len(sealed) == 5
    search(env, home, tmp_path, person.encode(), [*secrets, WHENCE.encode()])
    assert ask(env, "POST", f"subjects/person:{person}/erase").status_code == 200
    search(env, home, tmp_path, person.encode(), [*secrets, WHENCE.encode()])
    assert ask(env, "GET", f"people/{person}").json()["email"] is None
    left = every_key(env)
    assert left
    for place, value in sealed.items():
        for key in left:
            with pytest.raises(TamperedError):
                unseal(key, 1, place, value[0], value[1])


def let_in(env: dict[str, str], office: PostOffice) -> tuple[str, list[bytes]]:
    """Somebody who was invited, came, signs in with a second factor, and was refused before."""
    whom: dict[str, Any] = {"email": f"{MAIL}@example.com", "name": NAME, "roles": ["reader"]}
    invited = ask(env, "POST", "people", whom).json()
    eventually(lambda: bool(office.to(whom["email"])), within_s=20)
    ticket = ticket_in(office.to(whom["email"])[0])
    brought = {"invitation_token": ticket, "password": PASSWORD}
    assert ask(env, "POST", "invitations/accept", brought).status_code == 200
    asked = {"tenant": "default", "email": whom["email"], "password": PASSWORD}
    assert ask(env, "POST", "sessions", {**asked, "password": MAIL}).status_code == 401
    token = ask(env, "POST", "sessions", asked).json()["access_token"]
    made = ask(env, "POST", "people/me/totp", {"password": PASSWORD}, token=token).json()
    secret, code = base64.b32decode(made["secret"]), pyotp.TOTP(made["secret"]).now()
    confirmed = ask(env, "POST", "people/me/totp/confirm", {"code": code}, token=token)
    assert confirmed.status_code == 200, confirmed.text
    codes = [one.encode() for one in confirmed.json()["codes"]]
    return str(invited["id"]), [ticket.encode(), secret, made["secret"].encode(), *codes]


def fail_in_the_database(env: dict[str, str]) -> None:
    """Statements that hold canaries: one that fails, one whose row is refused, one that is slow."""
    engine = owner_of(env)
    refused = f"INSERT INTO ledgers (tenant_id, name) VALUES (1, 'Not a name: {NAME}')"
    for statement in (f"SELECT 1 / length('') FROM pg_class WHERE '{NAME}' <> ''", refused):
        with pytest.raises(DatabaseError), engine.begin() as connection:
            connection.execute(text(statement))
    with engine.begin() as connection:
        connection.execute(text(f"SELECT pg_sleep(1.1), '{NAME}'"))
    engine.dispose()


def sealed_of(env: dict[str, str], person: str) -> dict[str, tuple[str, bytes]]:
    """By place what is sealed of somebody, and in which row."""
    engine = owner_of(env)
    found: dict[str, tuple[str, bytes]] = {}
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('trident.tenant', '1', true)"))
        for table, row, columns in (
            ("people", "person_id", ("email", "name", "totp_secret")),
            ("sessions", "session_id", ("address", "agent")),
        ):
            rows = f"SELECT * FROM {table} WHERE person_id = :person"
            for one in connection.execute(text(rows), {"person": person}).mappings():
                for column in columns:
                    place = "people.totp" if column == "totp_secret" else f"{table}.{column}"
                    found[place] = (one[row], bytes(one[column]))
    engine.dispose()
    return found


def every_key(env: dict[str, str]) -> list[DataKey]:
    """All data keys of the tenant that are left, unwrapped by who has its KEKs."""
    ring, engine = ring_of(KekSource(file=Path(env["TRIDENT_KEKS_FILE"]))), owner_of(env)
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('trident.tenant', '1', true)"))
        subjects = connection.execute(text("SELECT subject FROM data_keys")).scalars().all()
        keys = keys_of(connection, ring, 1, subjects).values()
    engine.dispose()
    return [key for key in keys if isinstance(key, DataKey)]


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
