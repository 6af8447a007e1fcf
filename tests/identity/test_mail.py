"""Invitations and resets by mail: their receivers see them, and nobody else."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from api.identity import tickets as routes
from models.db import tenant_writing
from pipeline.identity import forgotten, people
from pipeline.privacy import subjects
from tasks.mail import MAIL, deliver
from tasks.ring import broker
from tests.api.caller import problem
from tests.identity.conftest import ADA, GOOD, OTHER, House
from tests.identity.mailing import forget, invite, kept
from tests.identity.post_office import PostOffice, ticket_in
from tests.identity.waiting import eventually


@pytest.fixture
def others(house: House) -> dict[str, str]:
    """Somebody who is disabled, and somebody who is erased; made before mail is set."""
    made = {
        name: house.person("reader", email=f"{name}@mail.example") for name in ("off", "erased")
    }
    assert house.admin().call("DELETE", f"/v1/people/{made['off']}").status_code == 200
    with tenant_writing(house.tenant_id) as connection:
        subject = people.subject_of(made["erased"])
        assert subjects.erase(connection, house.tenant_id, subject, "cli:test")
    return made


def choose(house: House, ticket: str, password: str = OTHER) -> Any:
    """Somebody brings a reset."""
    brought = {"reset_token": ticket, "password": password}
    return house.caller().post("/v1/password-resets/accept", brought)


def everything(house: House) -> str:
    """Every row that the tenant has of people, and all that the broker keeps."""
    tables = ("people", "tickets", "mails", "sessions", "operations")
    rows = [row for one in tables for row in house.run(f"SELECT t::text FROM {one} t").scalars()]
    return f"{rows} {[broker().dump(key) for key in broker().scan_iter()]}"


def test_an_invitation_goes_by_mail_alone(
    house: House, office: PostOffice, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is in no answer, row, log or bell; it is sent once, works, and is kept no longer."""
    broker().delete(MAIL)
    answer = invite(house)
    assert answer["delivery"] == "mail"
    assert "invitation_token" not in answer
    eventually(lambda: broker().llen(MAIL) > 0, within_s=5)
    before = everything(house)
    assert kept(house) == [(None, 0, True)]
    deliver()
    deliver()
    (mail,) = office.to(ADA)
    ticket = ticket_in(mail)
    written = before + everything(house) + "".join(capfd.readouterr())
    for secret in (ticket, ticket.partition(".")[2], ticket.encode().hex(), ADA):
        assert secret not in written
    assert ticket not in str(answer)
    assert kept(house) == [("sent", 1, False)]
    brought = {"invitation_token": ticket, "password": GOOD}
    assert house.caller().post("/v1/invitations/accept", brought).status_code == 200
    house.sign_in(ADA)
    (told,) = house.told("person.invited")
    assert told["detail"]["delivery"] == "mail"


def test_whoever_forgot_a_password_chooses_another(
    house: House, ada: str, office: PostOffice
) -> None:
    """Without an admin; the other tickets that lie about count no more, and are not sent."""
    assert forget(house, ADA.upper()).status_code == 202
    deliver()
    forget(house)
    (mail,) = office.to(ADA)
    assert choose(house, ticket_in(mail)).status_code == 200
    house.sign_in(ADA, OTHER)
    deliver()
    assert len(office.to(ADA)) == 1
    assert kept(house) == [("sent", 1, False), ("withdrawn", 0, False)]
    assert problem(choose(house, ticket_in(mail), GOOD)) == (401, "ticket_invalid")
    assert [told["target"] for told in house.told("person.reset_asked")] == [f"person:{ada}"] * 2


def test_a_changed_password_ends_the_tickets(house: House, ada: str, office: PostOffice) -> None:
    """Whoever fears for their mail changes it, and what was sent there before is of no use."""
    forget(house)
    deliver()
    here = house.caller(house.sign_in(ADA)["access_token"])
    asked = {"password": GOOD, "new_password": OTHER}
    assert here.post("/v1/people/me/password", asked).status_code == 200
    (mail,) = office.to(ADA)
    assert problem(choose(house, ticket_in(mail))) == (401, "ticket_invalid")


def test_nobody_learns_who_there_is(
    house: House, ada: str, others: dict[str, str], office: PostOffice
) -> None:
    """Whoever is asked for, there is one answer; the tenant's admins see more."""
    invite(house, "ivy@mail.example")
    deliver()
    office.came.clear()
    names = ("ada", "nobody", "off", "ivy", "erased")
    answers = [forget(house, f"{name}@mail.example") for name in names]
    answers.append(forget(house._replace(name="no-such-tenant")))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.get_data() for answer in answers}) == 1
    deliver()
    assert [address for address, _ in office.came] == [ADA]
    told = [one.get("detail", {}).get("reason") for one in house.told("person.reset_asked")]
    assert told == ["unknown", "not_active", "not_active", "unknown", None]


def test_no_answer_comes_sooner(
    house: House, ada: str, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done for it cannot be told from its time."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.3)
    for email in (ADA, "nobody@mail.example"):
        began = time.monotonic()
        forget(house, email)
        assert time.monotonic() - began >= 0.3


def test_strangers_make_nobody_get_many_mails(house: House, ada: str, office: PostOffice) -> None:
    """Three an hour, however many ask at once; what an admin offers comes all the same."""
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(forget, house) for _ in range(8)]
        assert {one.result().status_code for one in asked} == {202}
    deliver()
    assert len(office.to(ADA)) == forgotten.AN_HOUR_MAX
    reasons = [one.get("detail", {}).get("reason") for one in house.told("person.reset_asked")]
    assert reasons.count("too_many") == 8 - forgotten.AN_HOUR_MAX
    offered: Any = house.admin().post(f"/v1/people/{ada}/password-reset").json
    assert (offered["delivery"], offered.get("token")) == ("mail", None)
    deliver()
    *strangers, admins = map(ticket_in, office.to(ADA))
    assert problem(choose(house, strangers[-1])) == (401, "ticket_invalid")
    forget(house)  # takes nothing away
    assert choose(house, admins).status_code == 200


@pytest.mark.parametrize("odd", ["a\0b", "\ud800", "%", "\u202e", "a@b\r\nBcc: c@d.e", "a" * 5_000])
def test_odd_texts_make_no_mail(house: House, office: PostOffice, odd: str) -> None:
    """Nor a 5xx."""
    for member in ("tenant", "email"):
        body = {"tenant": house.name, "email": ADA, member: odd}
        answer = house.caller().post("/v1/password-resets", json.dumps(body).encode())
        assert answer.status_code < 500, answer.text
    deliver()
    assert office.came == []


def test_without_a_server(house: House, ada: str) -> None:
    """Tickets are shown once, and nobody is promised mail."""
    assert problem(forget(house)) == (404, "mail_not_set")
    invited = invite(house, "other@mail.example")
    assert (invited["delivery"], invited["invitation_token"][:2]) == (
        "shown",
        f"{house.tenant_id}."[:2],
    )
    offered: Any = house.admin().post(f"/v1/people/{ada}/password-reset").json
    assert offered["delivery"] == "shown"
    assert choose(house, offered["token"]).status_code == 200
    assert kept(house) == []
