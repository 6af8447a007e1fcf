"""E-mail addresses that look like another one's: nobody new has one, and whoever has keeps it."""

import pytest

from api.identity import sessions as routes
from tests.api.caller import problem
from tests.identity.conftest import House

PLAIN = "race@acme.test"
DISGUISED = (
    "race@acme.test\u200b",
    "race@ac\u00adme.test",
    "race@ac\ufe0fme.test",
    "race\u3164@acme.test",
    "race\u115f@acme.test",
    "\uff52ace@acme.test",
    "race@\uff41cme.test",
    "\ufb01n@acme.test",
    "r\u202eace@acme.test",
)


def test_nobody_is_invited_by_an_address_in_disguise(house: House) -> None:
    """Characters that are not seen, and variants of letters, are refused; letters of any script are
    not."""
    admin = house.admin()
    for odd in DISGUISED:
        answer = admin.post("/v1/people", {"email": odd, "roles": []})
        assert problem(answer) == (422, "invalid_request"), ascii(odd)
    for real in (PLAIN, "jos\u00e9@acme.test", "\u0436\u0443\u043a@acme.test"):
        answer = admin.post("/v1/people", {"email": real, "roles": []})
        assert answer.status_code == 201, answer.text


def test_whoever_has_such_an_address_still_signs_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it was given, and as nobody else."""
    monkeypatch.setattr(routes, "REFUSED_AFTER_S", 0.0)
    for email in (DISGUISED[0], DISGUISED[5]):
        house.person("reader", email=email)
        house.sign_in(email)
    assert problem(house.try_in(PLAIN)) == (401, "sign_in_refused")
