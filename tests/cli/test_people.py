"""`trident people`, and the first owner of a new tenant."""

import json

import pytest
from sqlalchemy import text

from models.db import tenant_writing
from models.key_ring import key_ring
from models.mail import MAIL_FROM, SMTP_URL
from models.settings import settings
from models.tenant import tenant_id_of
from pipeline.came_from import CameFrom
from pipeline.identity import passwords, tickets
from tasks.mail import MAIL
from tasks.ring import broker
from tests.cli.conftest import Trident

GOOD = "marmot trellis 58 quench"


def accept(token: str, purpose: str) -> str:
    """What the API does with it; the status of whoever chose a password."""
    ticket = tickets.read(token, purpose)
    with tenant_writing(ticket.tenant_id) as connection:
        person, _ = tickets.use(connection, key_ring(), ticket, passwords.hashed(GOOD))
    return person.status


def listed(trident: Trident, tenant: str) -> dict[str, dict[str, str]]:
    """The people of a tenant, by e-mail address."""
    found = json.loads(trident("people", "list", "--tenant", tenant, "--json").stdout)
    return {one["email"]: one for one in found}


def test_a_tenant_begins_with_an_owner(trident: Trident) -> None:
    """Whose invitation is the last line; from there on people invite each other."""
    made = trident("tenants", "create", "founders", "--owner-email", "ada@example.com")
    assert made.exit_code == 0, made.output
    token = made.stdout.splitlines()[-1]
    assert token.startswith(f"{tenant_id_of('founders')}.")
    assert accept(token, "invitation") == "active"
    ada = listed(trident, "founders")["ada@example.com"]
    assert (ada["roles"], ada["status"]) == ("owner", "active")
    last = trident("people", "disable", "ada@example.com", "--tenant", "founders")
    assert last.exit_code == 2
    assert "only active owner" in last.output


def test_people_are_invited_reset_and_disabled(trident: Trident) -> None:
    """Each by a line that is printed once; each an event."""
    assert trident("tenants", "create", "crew").exit_code == 0
    asked = ("bob@example.com", "--role", "operator", "--tenant", "crew")
    token = trident("people", "invite", *asked, "--name", "Bob").stdout.strip()
    assert accept(token, "invitation") == "active"
    again = trident("people", "invite", *asked)
    assert again.exit_code == 2
    assert "has this e-mail address" in again.output
    reset = trident("people", "reset", "BOB@example.com", "--tenant", "crew").stdout.strip()
    assert accept(reset, "reset") == "active"
    off = trident("people", "disable", "bob@example.com", "--tenant", "crew")
    assert off.stdout == "bob@example.com is disabled.\n"
    assert listed(trident, "crew")["bob@example.com"]["status"] == "disabled"
    told = json.loads(trident("events", "--tenant", "crew", "--json").stdout)
    assert [one["action"] for one in told][:5] == [
        "person.changed",
        "person.password_reset",
        "person.reset_offered",
        "person.accepted",
        "person.invited",
    ]
    assert "Bob" in trident("people", "list", "--tenant", "crew").stdout


def test_with_a_mail_server_nothing_is_printed(
    trident: Trident, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs the commands does not see what they send; it waits, sealed, and is rung for."""
    monkeypatch.setenv(SMTP_URL, "smtps://mail.example.com")
    monkeypatch.setenv(MAIL_FROM, "no-reply@example.com")
    settings.cache_clear()
    waiting = broker().llen(MAIL)
    made = trident("tenants", "create", "postal", "--owner-email", "ada@example.com")
    asked = ("bob@example.com", "--role", "operator", "--tenant", "postal")
    answers = [made, trident("people", "invite", *asked)]
    answers.append(trident("people", "reset", "bob@example.com", "--tenant", "postal"))
    assert [one.exit_code for one in answers] == [0, 0, 0], [one.output for one in answers]
    for answer, name in zip(answers, ("ada", "bob", "bob"), strict=True):
        assert answer.stdout.splitlines()[-1] == f"It is on its way to {name}@example.com."
    assert tickets.SHAPE.search("".join(one.output for one in answers)) is None
    assert broker().llen(MAIL) >= waiting + 3
    monkeypatch.setenv(SMTP_URL, "")  # where the server does not come back
    monkeypatch.setenv(MAIL_FROM, "")
    settings.cache_clear()
    shown = trident("people", "reset", "ada@example.com", "--tenant", "postal").stdout.strip()
    assert accept(shown, "invitation") == "active"
    with tenant_writing(tenant_id_of("postal")) as connection:
        kept = text("SELECT outcome, ticket IS NOT NULL FROM mails ORDER BY made_at")
        assert connection.execute(kept).all() == [
            ("withdrawn", False),
            ("withdrawn", False),
            (None, True),
        ]


def test_what_the_commands_cannot_do(trident: Trident) -> None:
    """A sentence and status 2."""
    assert trident("tenants", "create", "empty").exit_code == 0
    for command in ("disable", "reset"):
        answer = trident("people", command, "no@example.com", "--tenant", "empty")
        assert answer.exit_code == 2
        assert "Nobody has the e-mail address" in answer.output
    answer = trident("people", "invite", "nobody", "--role", "reader", "--tenant", "empty")
    assert answer.exit_code == 2
    assert "no e-mail address" in answer.output
    for odd in ("a@b", "a@example.com\r\nBcc: b@example.com"):
        answer = trident("people", "invite", odd, "--role", "reader", "--tenant", "empty")
        assert answer.exit_code == 2
        assert "no e-mail address" in answer.output
    asked = ("race@example.com\u200b", "--role", "reader", "--tenant", "empty")
    answer = trident("people", "invite", *asked)
    assert answer.exit_code == 2
    assert "characters that are seen" in answer.output


def test_whence_is_shown_when_asked_for(trident: Trident, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is personal, so only then; what commands did came from nowhere."""
    assert trident("tenants", "create", "watched").exit_code == 0
    origin = CameFrom("198.51.100.7", "curl")
    monkeypatch.setattr("pipeline.came_from._asked_from", lambda: origin)
    trident("tenants", "set", "watched", "retention_days=30")
    asked = ("events", "--tenant", "watched")
    shown = json.loads(trident(*asked, "--whence", "--json").stdout)
    assert [(one["address"], one["agent"]) for one in shown] == [origin, (None, None)]
    assert origin.address in trident(*asked, "--whence").stdout
    for form in ((), ("--json",), ("--csv",)):
        assert origin.address not in trident(*asked, *form).stdout
