"""The mail errand: what waits in the outbox is sent, whoever dies or is away meanwhile."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from celery.exceptions import SoftTimeLimitExceeded

from cli.stack.ports import HOST
from models.db import tenant_writing
from models.mail import SMTP_URL
from models.settings import settings
from models.tenant import owner_writing
from pipeline import tenants
from pipeline.identity import people
from pipeline.privacy import subjects
from tasks import mail
from tasks.mail import AWAY_S, BUSY_KEY, MAIL, deliver, mail_task
from tasks.ring import broker
from tasks.smtp import AwayError
from tests.api.caller import token
from tests.identity.conftest import ADA, House
from tests.identity.mailing import forget, hurry, invite, kept
from tests.identity.post_office import PostOffice
from tests.identity.rude_office import Dripping

DELIVER = "from tasks.mail import deliver; deliver()"


def test_a_server_is_away_and_comes_back(house: House, office: PostOffice) -> None:
    """The mail waits for longer each time, and no errand asks for a while."""
    office.close()
    invite(house)
    broker().delete(BUSY_KEY)
    mail_task.run()
    assert kept(house) == [(None, 1, True)]
    assert 0 < broker().ttl(BUSY_KEY) <= AWAY_S
    hurry(house)
    with pytest.raises(AwayError):
        deliver()
    left = house.run("SELECT extract(epoch FROM next_at - now()) FROM mails").scalar_one()
    assert 100 < left <= 120
    office.start()
    hurry(house)
    mail_task.run()  # the server was away a moment ago
    assert office.came == []
    broker().delete(BUSY_KEY)
    mail_task.run()
    assert len(office.to(ADA)) == 1
    assert not broker().exists(BUSY_KEY)


def test_a_refused_receiver_is_given_up_at_once(house: House, office: PostOffice) -> None:
    """With an event for the admins, that names the reason and not the address; others get theirs.

    What is refused for now is tried again, until its time is up.
    """
    office.refuses = {"no@mail.example": "550 who?", "later@mail.example": "450 busy"}
    invited = [invite(house, f"{name}@mail.example")["id"] for name in ("no", "later", "ada")]
    deliver()
    assert [address for address, _ in office.came] == [ADA]
    assert kept(house) == [("given_up", 1, False), (None, 1, True), ("sent", 1, False)]
    (told,) = house.told("mail.given_up")
    assert told["target"] == f"person:{invited[0]}"
    assert (told["detail"]["reason"], told["detail"]["code"]) == ("recipient", 550)
    house.run("""
        INSERT INTO mails (tenant_id, mail_id, person_id, purpose, ticket, until_at)
        SELECT tenant_id, 'ma_00000000000000000000', person_id, purpose, ticket, now()
          FROM mails WHERE ended_at IS NULL
    """)
    deliver()
    assert len(house.told("mail.given_up")) == 2
    assert house.told("mail.given_up")[0]["detail"]["reason"] == "late"
    assert "mail.example" not in str(house.told("mail.given_up"))


def test_two_workers_send_it_once(house: House, office: PostOffice) -> None:
    """Each mail is claimed by one of them."""
    addresses = [f"p{number}@mail.example" for number in range(6)]
    for address in addresses:
        invite(house, address)
    with ThreadPoolExecutor(4) as threads:
        for one in [threads.submit(deliver) for _ in range(4)]:
            one.result()
    assert sorted(address for address, _ in office.came) == addresses


def test_an_errand_leaves_its_worker_to_others(
    house: House, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while; and rings for the next one if something is left."""
    invite(house)
    broker().delete(BUSY_KEY)
    with monkeypatch.context() as patched:
        patched.setattr(mail, "ENDS_AFTER_S", 0.0)
        assert deliver()
        mail_task.run()
    assert office.came == []
    assert broker().llen(MAIL) > 0
    assert not deliver()
    assert len(office.to(ADA)) == 1


def test_a_worker_is_killed_after_sending(house: House, office: PostOffice, tmp_path: Path) -> None:
    """It is sent again, under the same Message-ID."""
    invite(house)
    (tmp_path / "mail.after_sending").touch()
    environment = {**os.environ, "TRIDENT_CRASH_AT": str(tmp_path)}
    died = subprocess.run([sys.executable, "-c", DELIVER], env=environment, check=False)
    assert died.returncode == -signal.SIGKILL
    assert kept(house) == [(None, 1, True)]
    deliver()
    assert len(office.to(ADA)) == 1  # nobody takes it before its time
    hurry(house)
    deliver()
    first, second = office.to(ADA)
    assert first["Message-ID"] == second["Message-ID"]
    assert first.get_content() == second.get_content()
    assert kept(house) == [("sent", 2, False)]


def test_nothing_is_sent_to_who_is_gone(house: House, ada: str, office: PostOffice) -> None:
    """Disabled or erased before it was sent; nor in the name of a deleted tenant."""
    other = invite(house, "other@mail.example")
    with tenant_writing(house.tenant_id) as connection:
        subject = people.subject_of(other["id"])
        assert subjects.erase(connection, house.tenant_id, subject, "cli:test")
    forget(house)
    assert house.admin().call("DELETE", f"/v1/people/{ada}").status_code == 200
    assert kept(house) == [("withdrawn", 0, False), ("withdrawn", 0, False)]
    invite(house, "third@mail.example")
    with owner_writing() as connection:
        tenants.delete(connection, house.tenant_id, "cli:test")
    deliver()
    assert office.came == []
    assert kept(house)[-1] == ("withdrawn", 0, False)


def test_a_mail_goes_with_its_ticket(house: House, office: PostOffice) -> None:
    """Whoever is given a role gets nothing that others had sent before; nor does who was disabled,
    and is enabled again before anything was sent."""
    first, second = (invite(house, f"{name}@mail.example")["id"] for name in ("ada", "bob"))
    eve = house.caller(token(("owner",), house.tenant_id, "cli:eve"))
    more = {"roles": ["operator", "auditor"]}
    assert house.admin().call("PATCH", f"/v1/people/{first}", more).status_code == 200
    assert kept(house) == [(None, 0, True)] * 2
    more = {"roles": ["operator", "auditor", "reader"]}
    assert eve.call("PATCH", f"/v1/people/{first}", more).status_code == 200
    for status in ("disabled", "active"):
        assert eve.call("PATCH", f"/v1/people/{second}", {"status": status}).status_code == 200
    assert house.run("SELECT status FROM people").scalars().all() == ["invited"] * 2
    assert kept(house) == [("withdrawn", 0, False)] * 2
    assert house.run("SELECT count(*) FROM tickets WHERE used_at IS NULL").scalar_one() == 0


def test_no_ticket_is_sent_that_does_not_count(house: House, office: PostOffice) -> None:
    """It is looked at once more before it is sent, whoever has ended it."""
    invite(house)
    house.run("UPDATE tickets SET used_at = clock_timestamp()")
    assert not deliver()
    assert office.came == []
    assert kept(house) == [("withdrawn", 1, False)]


def test_no_tenant_keeps_the_others_waiting(
    house: House, office: PostOffice, other_tenant: int
) -> None:
    """Though the server hangs up on each of its mails, and they are older."""
    office.hates = {"hated@mail.example"}
    invite(house, "hated@mail.example")
    other = house._replace(tenant_id=other_tenant)
    invite(other)
    for _ in range(20):
        with suppress(AwayError):
            deliver()
        hurry(house)
        hurry(other)
        if office.to(ADA):
            break
    assert len(office.to(ADA)) == 1
    assert kept(house)[0][0] is None


def test_a_server_that_only_seems_to_answer_is_away(
    house: House, monkeypatch: pytest.MonkeyPatch, office: PostOffice
) -> None:
    """The errand ends in time, though every word of the server comes in time; the mail waits."""
    assert mail_task.soft_time_limit == mail.STOPS_AFTER_S
    assert mail.STOPS_AFTER_S < mail.app.conf.task_time_limit < mail.BUSY_S
    invite(house)
    broker().delete(BUSY_KEY)

    def stop(*_: object) -> None:
        raise SoftTimeLimitExceeded(mail.STOPS_AFTER_S)

    with Dripping() as dripping:
        monkeypatch.setenv(SMTP_URL, f"smtp://{HOST}:{dripping.port}")
        settings.cache_clear()
        # As a child of the pool is told.
        before = signal.signal(signal.SIGALRM, stop)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            mail_task.run()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    assert kept(house) == [(None, 1, True)]
    assert AWAY_S - 5 < broker().ttl(BUSY_KEY) <= AWAY_S
