"""Clocks that are wrong, of a machine or of the database, keep nobody out for long."""

import time
from typing import Any

import jwt
from sqlalchemy import text

from models.db import intake_engine, tenant_writing
from models.key_ring import key_ring
from models.signing_key import signing_keys
from models.token import LEEWAY_S, REFRESH
from pipeline.identity import lockout
from tests.api.caller import problem
from tests.identity.conftest import House

EMAIL = "ada@example.com"
AHEAD = "UPDATE {table} SET locked_until = now() + interval '5 hours'"


def test_a_refresh_token_of_a_clock_that_is_ahead(house: House) -> None:
    """As access tokens are: two machines of one house differ by some seconds."""
    house.person("operator", email=EMAIL)
    tokens = house.sign_in(EMAIL)
    for seconds, status in ((LEEWAY_S / 2, 200), (4 * LEEWAY_S, 401)):
        answer = house.refresh(made_ahead(tokens["refresh_token"], seconds))
        assert answer.status_code == status, answer.text


def made_ahead(token: str, seconds: float) -> str:
    """The same token, made by a machine whose clock is ahead."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    kid, key = signing_keys(intake_engine()).signing(key_ring())
    claims["iat"] = time.time() + seconds
    return jwt.encode(claims, key, "EdDSA", headers={"kid": kid, "typ": REFRESH})


def test_a_lock_ends_with_the_clock_that_was_ahead(house: House) -> None:
    """One that ends later than any can was not set by the clock of now."""
    house.person("operator", email=EMAIL)
    house.run(AHEAD.format(table="people"))
    house.sign_in(EMAIL)
    house.try_in("nobody@example.com")
    with tenant_writing(lockout.INSTALLATION) as connection:
        connection.execute(text(AHEAD.format(table="sign_in_addresses")))
    house.sign_in(EMAIL)
    right_now = "UPDATE people SET locked_until = now() + interval '14 minutes'"
    house.run(right_now)
    assert problem(house.try_in(EMAIL)) == (401, "sign_in_refused")
