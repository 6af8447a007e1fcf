"""How much mail a tenant may cause: what admins have sent is bounded by the day."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from models.mail import MAILS_A_DAY
from models.settings import settings
from pipeline.identity import refusals
from tests.api.caller import problem
from tests.identity.conftest import ADA, House
from tests.identity.mailing import forget, kept
from tests.identity.post_office import PostOffice

MOST = 3


@pytest.fixture
def few(office: PostOffice, monkeypatch: pytest.MonkeyPatch) -> None:
    """So many, and no more."""
    monkeypatch.setenv(MAILS_A_DAY, str(MOST))
    settings.cache_clear()


def invite(house: House, number: int) -> Any:
    """A try to invite somebody."""
    asked = {"email": f"p{number}@mail.example", "roles": ["reader"]}
    return house.admin().post("/v1/people", asked)


def test_admins_have_so_many_sent_in_a_day(house: House, few: None) -> None:
    """However many ask at once; what is one too many leaves no person, ticket, mail or event."""
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda number: invite(house, number), range(2 * MOST)))
    assert sorted(one.status_code for one in answers) == [201] * MOST + [429] * MOST
    (refused, *_) = (one for one in answers if one.status_code != 201)
    assert problem(refused) == (429, "mails_spent")
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
    for table in ("people", "tickets", "mails"):
        assert house.run(f"SELECT count(*) FROM {table}").scalar_one() == MOST
    assert len(house.told("person.invited")) == MOST


def test_an_invitation_that_is_offered_again_counts_again(house: House, few: None) -> None:
    """Else one person's mailbox could be filled; and what counted before goes on counting."""
    person = invite(house, 1).json["id"]
    again = f"/v1/people/{person}/password-reset"
    assert [house.admin().post(again).status_code for _ in range(MOST)] == [201, 201, 429]
    assert [outcome for outcome, *_ in kept(house)] == ["withdrawn", "withdrawn", None]


def test_strangers_take_nothing_from_the_admins(house: House, ada: str, few: None) -> None:
    """What they ask for does not count, and is sent when the admins have had theirs."""
    for _ in range(2):
        forget(house)
    assert [invite(house, number).status_code for number in range(MOST + 1)] == [201] * MOST + [429]
    forget(house)
    purposes = house.run("SELECT purpose FROM mails ORDER BY purpose").scalars().all()
    assert purposes == ["invitation"] * MOST + ["reset"] * 3


def test_a_flood_of_resets_is_told_by_its_number(
    house: House, office: PostOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What anybody may ask for without a token fills no log."""
    monkeypatch.setattr(refusals, "TOLD_A_MINUTE", 2)
    for _ in range(5):
        assert forget(house, ADA).status_code == 202
    assert len(house.told("person.reset_asked")) == 2
    monkeypatch.setattr(refusals, "MINUTE_S", 0.0)
    forget(house)
    newest, *_ = house.told("person.reset_asked")
    assert newest["detail"] == {"reason": "unknown", "left_out": 3}
