"""`trident token`: what the token says."""

import datetime as dt
from typing import Any

import jwt
import pytest

from api.tokens import Principal, still_counts
from models.db import app_engine
from models.key_ring import key_ring
from models.signing_key import signing_keys
from tests.cli.conftest import Trident, told

ANYBODY = Principal("cli:ada", 1, frozenset(), b"")


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a token whose signature is right."""
    kid, key = signing_keys(app_engine()).signing(key_ring())
    assert jwt.get_unverified_header(token.strip())["kid"] == kid
    claims: dict[str, Any] = jwt.decode(
        token.strip(),
        key.public_key(),
        algorithms=["EdDSA"],
        audience="trident",
        issuer="trident",
    )
    return claims


def test_a_token_is_an_admins_for_an_hour(trident: Trident) -> None:
    """Without options: the user at this machine, the default tenant, everything, one hour."""
    result = trident("token")
    claims = claims_of(result.stdout)
    assert claims["sub"].startswith("cli:")
    assert (claims["tenant"], claims["roles"], claims["type"]) == (1, ["admin"], "access")
    assert claims["exp"] - claims["iat"] == 3600
    assert "limits" not in claims
    header = jwt.get_unverified_header(result.stdout.strip())
    assert (header["alg"], header["typ"]) == ("EdDSA", "at+jwt")


def test_a_token_says_what_it_was_asked_for(trident: Trident) -> None:
    """Roles, subject, tenant, lifetime and limits in minor units."""
    made = trident("tenants", "create", "tokens").stdout
    tenant = int(made.split()[-1].rstrip("."))
    options = f"--role submitter --role auditor --subject shop --tenant {tenant} --minutes 90"
    limits = "--limit USD:10000.00 --limit JPY:500"
    claims = claims_of(trident("token", *options.split(), *limits.split()).stdout)
    assert (claims["sub"], claims["tenant"]) == ("shop", tenant)
    assert claims["roles"] == ["submitter", "auditor"]
    assert dt.timedelta(seconds=claims["exp"] - claims["iat"]) == dt.timedelta(minutes=90)
    assert claims["limits"] == {"USD": 1_000_000, "JPY": 500}
    (event,) = told("token.created", tenant)
    expires = dt.datetime.fromtimestamp(claims["exp"], dt.UTC)
    assert event["detail"].pop("expires_at") == expires.isoformat()
    assert event["target"] == f"token:{claims['jti']}"
    assert event["actor"].startswith("cli:")
    assert event["detail"] == {
        "subject": "shop",
        "roles": ["submitter", "auditor"],
        "limits": {"USD": 1_000_000, "JPY": 500},
    }


def test_one_token_is_ended_before_its_time(trident: Trident) -> None:
    """By itself or by its id, once and for good; nobody else's, and other tokens go on."""
    ended, by_id, goes_on = (trident("token").stdout.strip() for _ in range(3))
    token_id = claims_of(by_id)["jti"]
    assert "refused within two seconds" in trident("token", "--revoke", ended).stdout
    assert token_id in trident("token", "--revoke", token_id).stdout
    assert "was revoked already" in trident("token", "--revoke", token_id).stdout
    for bearer, counts in ((ended, False), (by_id, False), (goes_on, True)):
        claims = claims_of(bearer)
        kid = jwt.get_unverified_header(bearer)["kid"]
        assert still_counts(app_engine(), ANYBODY, kid, claims["jti"]) is counts
    last, first = (event["target"] for event in told("token.revoked")[:2])
    assert (first, last) == (f"token:{claims_of(ended)['jti']}", f"token:{token_id}")
    refused = trident("token", "--revoke", "nonsense")
    assert (refused.exit_code, "takes a token, or its id" in refused.stderr) == (2, True)


def test_no_two_tokens_are_the_same(trident: Trident) -> None:
    """Each has an id of its own, by which it could be revoked."""
    first, second = (claims_of(trident("token").stdout) for _ in range(2))
    assert first["jti"] != second["jti"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "USD"], "--limit USD: '' is no decimal"),
        (["--limit", "USD:1.005"], "--limit USD:1.005: 1.005 has 3 decimals"),
        (["--limit", "10:USD"], "ISO 4217 does not list '10'"),
        (["--limit", "USD:-1"], "--limit USD:-1: it is below zero"),
        (["--role", "king"], "'king' is not one of"),
        (["--tenant", "987654"], "There is no tenant 987654."),
        (["--tenant", "nobody"], "No tenant 'nobody' is known."),
        (["--subject", "person:pe_0123456789abcdef0123"], "people sign in"),
        (["--subject", "Key:ak_3Kf09aQz1Bd"], "API keys ask for themselves"),
        (["--subject", "trident"], "Trident's own names are nobody's"),
        (["--hours", "721"], "is not in the range 0<=x<=720"),
        (["--hours", "720", "--minutes", "1"], "A token lasts 30 days at most"),
    ],
)
def test_an_impossible_token_is_refused(trident: Trident, words: list[str], message: str) -> None:
    """Exit 2, and no token."""
    result = trident("token", *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
