"""Personal data over HTTP: sealed before it is stored, opened for those who may see it."""

import itertools
import json
from typing import Any

import orjson
import pytest
from sqlalchemy import text

from models.db import owner_engine, set_tenant, tenant_writing
from models.ledger import LedgerRef
from pipeline.privacy.data_keys import destroy
from tests.api.caller import Caller, new_key, problem, transfer
from tests.bank import Bank

CANARY = "Ada Lovelace, Marylebone 12"
_numbers = itertools.count(1)


@pytest.fixture
def subject() -> str:
    """A reference that no other test uses."""
    return f"customer-{next(_numbers)}"


def about(subject: str, **members: Any) -> dict[str, Any]:
    """Personal data with the canary in it."""
    return {"subject": subject, "name": CANARY, **members}


def stored(ledger: LedgerRef) -> str:
    """All bodies of the log."""
    rows = Bank(ledger).rows("SELECT body::text FROM operations WHERE ledger_id = :ledger")
    return "\n".join(row[0] for row in rows)


def test_the_log_holds_it_sealed_and_readers_with_the_permission_see_it(
    api: Caller, ledger: LedgerRef, subject: str
) -> None:
    """In the log a ciphertext; for an operator in clear; for a reader that it is sealed."""
    api.open_two()
    made = api.posted(transfer(personal=about(subject)))
    assert made["personal"] == {"subject": subject, "sealed": True}
    assert CANARY not in stored(ledger)
    assert subject in stored(ledger)
    path = f"operations/{made['id']}"
    assert (api.get(path).json or {})["personal"] == about(subject)
    assert (api.get("operations").json or {})["data"][0]["personal"] == about(subject)
    reader = api.with_roles("reader")
    assert (reader.get(path).json or {})["personal"] == {"subject": subject, "sealed": True}
    assert CANARY not in reader.get("operations").text


def test_a_repetition_is_known_by_its_content(api: Caller, subject: str) -> None:
    """The same content is a replay, another one a conflict that names `personal` alone."""
    api.open_two()
    key = new_key()
    first = api.submit(transfer(personal=about(subject)), key)
    again = api.submit(transfer(personal=about(subject)), key)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.json or {})["id"] == (first.json or {})["id"]
    other = api.submit(transfer(personal=about(subject, name="Eve")), key)
    assert problem(other) == (422, "idempotency_key_reused")
    assert (other.json or {})["differs"] == ["personal"]
    assert CANARY not in other.text


def test_groups_schedules_and_bulk_are_sealed_too(
    api: Caller, ledger: LedgerRef, subject: str
) -> None:
    """Each place by itself; it opens where it stands."""
    api.open_two()
    inner = transfer(personal=about(subject, n=1))
    group = {"kind": "group", "operations": [transfer(), inner], "personal": about(subject, n=2)}
    made = api.posted(group)
    shown: Any = api.get(f"operations/{made['id']}").json
    assert shown["operations"][1]["personal"] == about(subject, n=1)
    assert shown["personal"] == about(subject, n=2)
    schedule = {"kind": "schedule", "operation": inner, "at": "2030-01-01T00:00:00Z"}
    api.submit(schedule)
    items = [
        {"idempotency_key": new_key(), **transfer(personal=about(f"{subject}-{n}"))}
        for n in range(3)
    ] + [{"idempotency_key": new_key(), **transfer()}]
    many: Any = api.post("operations/bulk", items).json
    assert many["accepted"] == 4
    assert CANARY not in stored(ledger)
    assert CANARY not in api.get("schedules").text


def test_an_account_shows_what_opened_and_last_changed_it(api: Caller, subject: str) -> None:
    """An update replaces it; one that was rejected does not; an account without has no member."""
    api.open("a")
    opened = {"code": "b", "type": "liability", "currency": "EUR", "personal": about(subject)}
    assert api.post("accounts", opened, key=new_key()).status_code == 201
    assert (api.get("accounts/b").json or {})["personal"] == about(subject)
    assert "personal" not in (api.get("accounts/a").json or {})
    changed = {"personal": about(subject, name="Ada King")}
    assert api.call("PATCH", "accounts/b", changed, key=new_key()).status_code == 200
    again = {**opened, "personal": about(subject, name="Eve")}
    assert api.post("accounts", again, key=new_key()).status_code == 409
    assert (api.get("accounts/b").json or {})["personal"]["name"] == "Ada King"
    listed: Any = api.with_roles("reader").get("accounts").json
    assert [one.get("personal") for one in listed["data"]] == [
        None,
        {"subject": subject, "sealed": True},
    ]


@pytest.mark.parametrize(
    "personal",
    [
        "Ada",
        {},
        {"subject": 1},
        {"subject": "person:pe_1"},
        {"subject": "a b"},
        {"subject": "c", "sealed": True},
        {"subject": "c", "key": 1},
        {"subject": "c", "text": "x" * 4096},
        {"subject": "c", "number": -(10**19 - 1)},
    ],
)
def test_what_is_no_personal_data_is_refused(api: Caller, personal: Any) -> None:
    """A shape that is wrong, too large, or how Trident shows what it does not show."""
    answer = api.submit(json.dumps(transfer(personal=personal)).encode())
    assert problem(answer) == (422, "invalid_request")
    assert (answer.json or {})["param"].startswith("personal")


def test_a_trial_stores_nothing_and_knows_a_repetition(
    api: Caller, ledger: LedgerRef, subject: str
) -> None:
    """No key is made for a subject that is tried; what was accepted is replayed."""
    api.open_two()
    body = transfer(personal=about(subject))
    assert (api.post("operations/dry-run", body).json or {})["data"][0]["status"] == "posted"
    count = "SELECT count(*) FROM data_keys WHERE subject = :subject"
    assert Bank(ledger).rows(count, subject=f"subject:{subject}")[0][0] == 0
    key = new_key()
    api.submit(body, key)
    tried: Any = api.post("operations/dry-run", {"idempotency_key": key, **body}).json
    assert tried["data"][0]["status"] == "replayed"


def test_what_was_sealed_does_not_open_elsewhere(
    api: Caller, ledger: LedgerRef, subject: str
) -> None:
    """Under another operation's key, and changed by a bit: a problem, never garbage."""
    api.open_two()
    first, second = (api.posted(transfer(n, personal=about(subject))) for n in (1, 2))
    body = Bank(ledger).rows(
        "SELECT body::text FROM operations WHERE ledger_id = :ledger AND position = :position",
        position=first["position"],
    )[0][0]
    ciphertext = orjson.loads(body)["personal"]["sealed"]
    flipped = ("A" if ciphertext[20] != "A" else "B").join((ciphertext[:20], ciphertext[21:]))
    for copied in (ciphertext, flipped):
        tamper(ledger, second["position"], copied)
        answer = api.get(f"operations/{second['id']}")
        assert problem(answer) == (500, "personal_tampered")
        assert CANARY not in answer.text
    assert (api.get(f"operations/{first['id']}").json or {})["personal"] == about(subject)


def tamper(ledger: LedgerRef, position: int, ciphertext: str) -> None:
    """Change the log as only its owner can."""
    with owner_engine() as engine, engine.begin() as connection:
        set_tenant(connection, ledger.tenant_id)
        connection.execute(text("ALTER TABLE operations DISABLE TRIGGER operations_append_only"))
        changed = connection.execute(
            text(
                "UPDATE operations SET body = jsonb_set(body::jsonb, '{personal,sealed}',"
                " to_jsonb(CAST(:text AS text)))::json"
                " WHERE ledger_id = :ledger AND position = :position"
            ),
            {"text": ciphertext, "ledger": ledger.ledger_id, "position": position},
        )
        assert changed.rowcount == 1
        guard = "ALTER TABLE operations ENABLE ALWAYS TRIGGER operations_append_only"
        connection.execute(text(guard))


def test_an_erased_subject_is_shown_as_such_and_takes_nothing_new(
    api: Caller, ledger: LedgerRef, subject: str
) -> None:
    """409 for new operations and for repetitions, with the id of what the key made; books stay."""
    api.open_two()
    key, body = new_key(), transfer(personal=about(subject))
    made: Any = api.submit(body, key, wait=5).json
    with tenant_writing(ledger.tenant_id) as connection:
        assert destroy(connection, ledger.tenant_id, f"subject:{subject}")
    shown: Any = api.get(f"operations/{made['id']}").json
    assert set(shown["personal"]) == {"subject", "erased_at"}
    assert shown["amount"] == 100
    new = api.submit(body)
    assert problem(new) == (409, "subject_erased")
    assert "operation" not in (new.json or {})
    again = api.submit(body, key)
    assert problem(again) == (409, "subject_erased")
    assert (again.json or {})["operation"] == made["id"]
    assert problem(api.post("operations/dry-run", body)) == (409, "subject_erased")
    items = [{"idempotency_key": new_key(), **one} for one in (body, transfer())]
    many: Any = api.post("operations/bulk", items).json
    assert [one["status"] for one in many["data"]] == ["conflict", "accepted"]
