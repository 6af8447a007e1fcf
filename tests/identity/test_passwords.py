"""Passwords: which are refused, and that judging one costs nobody else their time."""

import re
import time
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.identity import lockout, passwords
from tests.api.caller import problem
from tests.identity.conftest import GOOD, OTHER, House

ROOT = Path(__file__).parents[2]
# Of a password in documentation.
PRINTED = re.compile(r'"(?:new_)?password"\s*:\s*"([^"]*)"')
ADA = ("ada@example.com", "Ada Lovelace")
# What judging takes at most, of a core: 0.15 s, and several times that where others share it.
JUDGED_S = 1.0
# All that may stand for a letter.
LEET = "4@8({[<369&#!1/|0$5+7%2"
# The digits, and the two marks that stand for most letters.
FEW = "0123456789|+"


@pytest.mark.parametrize(
    "weak",
    [
        "x",
        "xK4 trellis!",
        "marmot trellis 58 quench " * 6,
        "ada@example.com 7",
        "Ada Lovelace 1815",
        "ada.lovelace@1815",
        "password1234",
        "P@ssw0rd!2024",
        "qwertyuiop12",
        "!QAZ2wsx#EDC",
        "!QAZ@WSX#EDC",
        "aaaaaaaaaaaaaaaa",
        "\U0001d41a" * 16,
        "p\u200ba\u200bssword1234",
        "\uff30\uff41\uff53\uff53\uff57\uff4f\uff52\uff441234",
        "____----....    ",
        "correct horse battery staple",
        "c0rrect-horse-battery-staple-1",
        "Summer2023!!",
        "Winter2026!!#1",
        "Monday.123456",
        "ChangeMe123!",
        "Butterfly83746192",
        "thisismypassword",
        "this-is-my-p@$$word",
        "monkey dragon football",
        "ledger-owner-2026",
        "Acme12345678!",
        "acme-owner-2026",
        "mandolin harbor 49 quilts",
        "viaduct nutmeg 71 lantern!",
    ],
)
def test_a_weak_password_is_refused(weak: str) -> None:
    """Common, guessable, printed, too short or long, or what everybody knows of its owner."""
    with pytest.raises(passwords.WeakPasswordError):
        passwords.check(weak, ADA, ["acme"])


@pytest.mark.parametrize(
    "good",
    [GOOD, OTHER, "river stone lamp cloud", "qzvkjwmxhtbn", "k7#Vq!m2$Lp9&x", "жаворонок лён"],
)
def test_a_good_password_is_taken(good: str) -> None:
    """Words by chance, letters by chance, marks by chance, in any script."""
    passwords.check(good, ADA, ["acme"])


@pytest.mark.parametrize(
    "hostile",
    [
        LEET * 5,
        LEET[:20] * 2,
        LEET[::-1] * 5,
        FEW * 10,
        FEW[::-1] + FEW + FEW[::-1] + FEW,
        "i0|86ta7e3@4ei905a659i1si1062|@7t2oaa@28",
        "11112011" * 16,
        "aab" * 42,
        "aabbccddeeffgghhiijjkkllmmnnooppqqrrssttuuvvwwxxyyzz" * 2,
        "\ufdfa" * 100,
        "\u0130" * 100,
    ],
)
def test_judging_takes_little_whatever_the_text(hostile: str) -> None:
    """A text of all marks that stand for letters took five seconds of a core, and all others'."""
    known = [*ADA, *(LEET for _ in range(20))]
    began = time.thread_time()
    with suppress(passwords.WeakPasswordError):
        passwords.check(hostile[: passwords.MAX_CHARACTERS], ADA, known)
    assert time.thread_time() - began < JUDGED_S


def test_no_password_of_the_documentation_is_taken(house: House) -> None:
    """Whoever copies one from a page or from the OpenAPI document is refused."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    texts = [page.read_text() for page in pages] + [house.admin().get("/v1/openapi.json").text]
    found = {one for text in texts for one in PRINTED.findall(text) if not one.startswith("$")}
    assert found, "no password is printed; the documents are not read as they should be"
    for one in found:
        with pytest.raises(passwords.WeakPasswordError):
            passwords.check(one, [])


def test_a_new_password_is_judged_for_its_owner_alone(house: House) -> None:
    """Who does not know the present one is told so, and each such try is counted."""
    house.person("reader", email="ada@example.com")
    caller = house.caller(house.sign_in("ada@example.com")["access_token"])
    path, asked = "/v1/people/me/password", {"new_password": LEET * 3}
    for _ in range(lockout.PERSON_FREE):
        wrong = caller.post(path, {**asked, "password": "not the one at all"})
        assert problem(wrong) == (401, "sign_in_refused")
    assert problem(caller.post(path, {**asked, "password": GOOD})) == (401, "sign_in_refused")
    house.run("UPDATE people SET locked_until = now()")
    assert problem(caller.post(path, {**asked, "password": GOOD})) == (422, "weak_password")
    tenants = f"{house.name} {house.name.upper()}"
    named = caller.post(path, {"password": GOOD, "new_password": tenants})
    assert problem(named) == (422, "weak_password")


def test_too_many_at_once_are_told_to_come_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold neither threads nor memory: 503, whoever they are, and whatever they choose."""
    house.person("reader", email="ada@example.com")
    caller = house.caller(house.sign_in("ada@example.com")["access_token"])
    invited = house.admin().post("/v1/people", {"email": "bob@example.com", "roles": []})
    ticket = (invited.json or {})["invitation_token"]
    monkeypatch.setattr(passwords._places, "acquire", lambda blocking: False)
    busy = (503, "sign_in_busy")
    assert problem(house.try_in("ada@example.com")) == busy
    asked = {"password": GOOD, "new_password": "weak weak weak"}
    assert problem(caller.post("/v1/people/me/password", asked)) == busy
    brought = {"invitation_token": ticket, "password": "weak weak weak"}
    assert problem(caller.post("/v1/invitations/accept", brought)) == busy
