"""The whole stack as `make run` starts it: API, workers, beat and Flower together."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.identity.post_office import PostOffice, ticket_in
from tests.identity.waiting import eventually

WITHIN_S = 10.0


def post(env: dict[str, str], path: str, body: object, key: str) -> requests.Response:
    """A POST that waits until the operation is final."""
    headers = {
        "Authorization": f"Bearer {env['TRIDENT_TOKEN']}",
        "Idempotency-Key": key,
        "Prefer": "wait=10",
    }
    url = f"{env['TRIDENT_URL']}/v1/ledgers/main/{path}"
    return requests.post(url, json=body, headers=headers, timeout=15)


def test_an_operation_goes_from_the_api_to_the_ledger(running: dict[str, str]) -> None:
    """Accounts are opened and a transfer is posted by the workers while the request waits."""
    for code, overdraft in (("world", "unlimited"), ("customers:1", 0)):
        account = {"code": code, "type": "liability", "currency": "EUR", "overdraft": overdraft}
        assert post(running, "accounts", account, f"open-{code}").status_code == 201
    body = {
        "kind": "transfer",
        "source": "world",
        "destination": "customers:1",
        "amount": 125,
        "currency": "EUR",
    }
    answer = post(running, "operations", body, "first-payment")
    assert answer.status_code == 200
    assert answer.json()["status"] == "posted"
    assert all(answer.json()["timeline"].values())


def test_flower_shows_the_chain_by_stage(running: dict[str, str]) -> None:
    """Flower lists each stage's task with ledger and position, and keeps the sweeper out of it."""
    post(
        running,
        "accounts",
        {"code": "flower", "type": "asset", "currency": "EUR"},
        "open-flower",
    )
    stages = {"trident.validate", "trident.authorize", "trident.post"}
    stages |= {"trident.audit", "trident.notify"}
    end = time.monotonic() + WITHIN_S
    while True:
        tasks = requests.get(f"{running['TRIDENT_FLOWER_URL']}/api/tasks", timeout=5).json()
        if stages == {task["name"] for task in tasks.values()}:
            break
        assert time.monotonic() < end, tasks
        time.sleep(0.2)
    assert all("1/main up to " in task["args"] for task in tasks.values())


def test_flower_asks_for_its_password(running: dict[str, str]) -> None:
    """Without the generated password Flower shows nothing."""
    parts = urlsplit(running["TRIDENT_FLOWER_URL"])
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    for path in ("", "/tasks", "/api/tasks", "/workers"):
        assert requests.get(f"{bare}{path}", timeout=5).status_code == 401, path


def test_the_processes_log_json_into_the_home(running: dict[str, str]) -> None:
    """Each process of the Procfile has a log of its own."""
    logs = Path(running["TRIDENT_HOME"], "logs")
    assert {"web.log", "worker.log", "beat.log", "flower.log"} <= {p.name for p in logs.iterdir()}


def test_an_invitation_goes_from_the_api_to_its_receiver(
    running: dict[str, str], office: PostOffice
) -> None:
    """A worker sends it; it is not in the answer, and lets its receiver in."""
    bearer = {"Authorization": f"Bearer {running['TRIDENT_TOKEN']}"}
    url, body = f"{running['TRIDENT_URL']}/v1", {"email": "ada@mail.example", "roles": ["reader"]}
    answer = requests.post(f"{url}/people", json=body, headers=bearer, timeout=15)
    assert answer.status_code == 201, answer.text
    assert "invitation_token" not in answer.json()
    eventually(lambda: bool(office.came), within_s=WITHIN_S)
    (mail,) = office.to("ada@mail.example")
    chosen = {"invitation_token": ticket_in(mail), "password": "marmot trellis 58 quench"}
    accepted = requests.post(f"{url}/invitations/accept", json=chosen, timeout=15)
    assert accepted.json()["status"] == "active", accepted.text
