"""The published keys, and tokens whose key or tenant has gone."""

from collections.abc import Iterator
from typing import Any

import jwt
import pytest
from flask import Flask
from sqlalchemy import Engine, event

from api import tokens as tokens_module
from api.state import NAME
from models import signing_key
from models.db import app_engine, intake_engine, owner_engine
from models.key_ring import key_ring
from models.signing_key import rotate, signing_keys
from tests.api.caller import Caller, problem, token

JWKS = "/.well-known/jwks.json"


@pytest.fixture
def owner(environment: dict[str, str]) -> Iterator[Engine]:
    """The owner's engine."""
    with owner_engine() as engine:
        yield engine


def a_moment_later() -> None:
    """Let this process's last looks at the keys be longer ago than it may remember them."""
    for engine in (app_engine(), intake_engine()):
        signing_keys(engine)._looked_at -= signing_key.REMEMBERED_S


def test_anybody_can_verify_a_token_with_them(app: Flask, api: Caller) -> None:
    """The key that a token's header names is published, and verifies it in any library."""
    a_moment_later()
    bearer = token()
    answer: Any = Caller(app, "main", "").get(JWKS)
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=60"
    kid = jwt.get_unverified_header(bearer)["kid"]
    (found,) = [key for key in answer.json["keys"] if key["kid"] == kid]
    assert found == {**found, "kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA"}
    assert "d" not in found
    claims = jwt.decode(
        bearer, jwt.PyJWK(found), algorithms=["EdDSA"], audience="trident", issuer="trident"
    )
    assert claims["sub"] == "tests"


def test_nothing_is_sent_again_until_it_changes(api: Caller, owner: Engine) -> None:
    """304 by the ETag of an earlier answer; a rotation makes another one, with both keys."""
    a_moment_later()
    first: Any = api.get(JWKS)
    seen = {"If-None-Match": first.headers["ETag"]}
    same = api.get(JWKS, headers=seen)
    assert (same.status_code, same.data) == (304, b"")
    assert same.headers["ETag"] == first.headers["ETag"]
    kid = rotate(owner, key_ring())
    a_moment_later()
    changed: Any = api.get(JWKS, headers=seen)
    assert changed.status_code == 200
    kids = [key["kid"] for key in changed.json["keys"]]
    assert kids[0] == kid
    assert {key["kid"] for key in first.json["keys"]} < set(kids)


def test_a_token_outlives_a_rotation(api: Caller, owner: Engine) -> None:
    """What the key before has signed is taken, and so is what the new key signs, at once."""
    before = token()
    assert bearing(api, before).status_code == 200
    rotate(owner, key_ring())
    signing_keys.cache_clear()
    signing_keys(app_engine())._looked_at -= signing_key.REMEMBERED_S
    after = token()
    assert kid_of(after) != kid_of(before)
    assert bearing(api, after).status_code == 200
    assert bearing(api, before).status_code == 200


def test_a_revoked_key_ends_remembered_tokens(api: Caller, owner: Engine) -> None:
    """A token that was verified and remembered is refused once its key is revoked."""
    rotate(owner, key_ring())
    a_moment_later()
    bearer = token()
    assert bearing(api, bearer).status_code == 200
    rotate(owner, key_ring(), revoked=kid_of(bearer))
    tokens_are_due(api)
    for _ in range(2):
        assert problem(bearing(api, bearer)) == (401, "token_invalid")
    a_moment_later()
    assert bearing(api, token()).status_code == 200


def test_a_remembered_token_is_asked_for_again(
    app: Flask, api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within RECHECK_S nobody looks; then one request does, and what does not count is a 401."""
    asked: list[int] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM signing_keys WHERE kid" in statement:
            asked.append(1)

    bearer = token(subject="again")
    event.listen(intake_engine(), "before_cursor_execute", note)
    try:
        for _ in range(5):
            assert bearing(api, bearer).status_code == 200
        assert len(asked) == 1
        tokens_are_due(api)
        for _ in range(5):
            assert bearing(api, bearer).status_code == 200
        assert len(asked) == 2
    finally:
        event.remove(intake_engine(), "before_cursor_execute", note)
    assert tokens_module.RECHECK_S <= 2
    monkeypatch.setattr(tokens_module, "STANDS", tokens_module.text("SELECT :tenant < 0"))
    assert bearing(api, bearer).status_code == 200
    tokens_are_due(api)
    for _ in range(2):
        assert problem(bearing(api, bearer)) == (401, "token_invalid")


def tokens_are_due(api: Caller) -> None:
    """Every remembered token is to be looked at again."""
    for known in api.app.extensions[NAME].tokens._known.values():
        known.look_at = float("-inf")


def bearing(api: Caller, bearer: str) -> Any:
    """A request with this token."""
    return api.get("operations", headers={"Authorization": f"Bearer {bearer}"})


def kid_of(bearer: str) -> str:
    """The key that signed it."""
    return str(jwt.get_unverified_header(bearer)["kid"])
