"""A person who is erased."""

from typing import Any

from sqlalchemy import text

from models.db import tenant_writing
from pipeline.identity.people import subject_of
from pipeline.privacy import subjects
from tests.identity.conftest import GOOD, House


def test_nobody_signs_in_as_who_was_erased(house: House) -> None:
    """Their sessions end, the password is of no use, and the address may be invited anew."""
    person = house.person("operator", email="gone@example.com")
    tokens = house.sign_in("gone@example.com")
    with tenant_writing(house.tenant_id) as connection:
        assert subjects.erase(connection, house.tenant_id, subject_of(person), "cli:test")
    assert house.try_in("gone@example.com").status_code == 401
    assert house.refresh(tokens["refresh_token"]).status_code == 401
    listed: Any = house.admin().get(f"/v1/people/{person}").json
    assert [listed[name] for name in ("status", "email", "name")] == ["erased", None, None]
    house.person("auditor", email="gone@example.com", password=GOOD)
    assert house.sign_in("gone@example.com")
    with tenant_writing(house.tenant_id) as connection:
        kept = text("SELECT email_hash, password_hash FROM people WHERE person_id = :person")
        assert connection.execute(kept, {"person": person}).all() == [(None, None)]
