"""docs/people.md: its requests are made, and the answers are those."""

from typing import Any

import pytest

from api.identity import sessions as routes
from models.mail import MAIL_FROM, SMTP_URL
from models.settings import settings
from tests.api.written import ask, differences, examples
from tests.identity.conftest import GOOD, OTHER, House, code_of

PAGE = "people.md"
LEARNED = {
    "invitation_token": "$INVITATION",
    "access_token": "$ACCESS",
    "refresh_token": "$REFRESH",
    "token": "$RESET",
}


def test_the_examples_come_true(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request of the page, one after the other, gives what stands below it.

    Tokens are shown, so there is no mail; but for whoever asks for it.
    """
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    known = {
        '"tenant": "default"': f'"tenant": "{house.name}"',
        "$ADMIN": house.admin().bearer,
        "$PASSWORD": GOOD,
        "$NEW_PASSWORD": OTHER,
    }
    made = examples(PAGE)
    assert len(made) > 10
    for one in made:
        if one.path == "/v1/password-resets":
            monkeypatch.setenv(SMTP_URL, "smtps://mail.example.com")
            monkeypatch.setenv(MAIL_FROM, "no-reply@example.com")
            settings.cache_clear()
        bearer = one.headers.pop("Authorization", "").removeprefix("Bearer ")
        found: Any = ask(house.caller(known.get(bearer, "")), one, known)
        faults = differences(one.answer, found.json, known)
        assert faults == [], f"{one.method} {one.path} {found.text}"
        known |= {LEARNED[name]: value for name, value in found.json.items() if name in LEARNED}
        if "secret" in found.json:
            known["$CODE"] = code_of(found.json["secret"])
    monkeypatch.undo()
    settings.cache_clear()
