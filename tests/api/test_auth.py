"""Bearer tokens: which are accepted, and what every other one is answered with."""

import base64
import datetime as dt
import functools
import hmac
import time
import uuid
from collections.abc import Callable
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from sqlalchemy import Engine

from api import tokens as tokens_module
from api.state import NAME
from models.db import app_engine, intake_engine, make_engine
from models.key_ring import key_ring
from models.ledger import LedgerRef
from models.signing_key import signing_keys
from models.token import ACCESS, ALGORITHM, LONGEST
from tests.api.caller import Caller, problem, token, transfer
from tests.bank import Bank

ABSENT = object()


def claims(**changed: Any) -> dict[str, Any]:
    """Those of a good token, with some changed or left out."""
    now = int(time.time())
    every = {
        "sub": "tests",
        "tenant": 1,
        "roles": ["admin"],
        "iss": "trident",
        "aud": "trident",
        "iat": now,
        "exp": now + 60,
        "jti": str(uuid.uuid4()),
        "type": "access",
        **changed,
    }
    return {name: value for name, value in every.items() if value is not ABSENT}


def ours() -> tuple[str, Ed25519PrivateKey]:
    """The key that signs tokens just now, and its id."""
    return signing_keys(app_engine()).signing(key_ring())


def signed(
    of: dict[str, Any], *, key: Any = None, algorithm: str = ALGORITHM, **header: Any
) -> str:
    """A token with these claims; its header names our key unless it says otherwise."""
    kid, private_key = ours()
    headers = {"kid": kid, "typ": ACCESS, **header}
    return jwt.encode(
        of,
        private_key if key is None else key,
        algorithm,
        headers={name: value for name, value in headers.items() if value is not ABSENT},
    )


def part(value: Any) -> str:
    """One part of a token made by hand."""
    raw = value if isinstance(value, bytes) else orjson.dumps(value)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def status(api: Caller, bearer: str) -> int:
    """What a request with the token is answered with; a 401 is always a whole problem."""
    answer = api.get("operations", headers={"Authorization": f"Bearer {bearer}"})
    if answer.status_code == 401:
        problem: Any = answer.json
        assert problem["code"] == "token_invalid"
        assert problem["detail"]
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert len(bearer) < 8 or bearer not in answer.text
    return answer.status_code


def test_a_good_token_is_accepted_again_and_again(api: Caller) -> None:
    """By `trident token`'s own maker, and by hand."""
    good = signed(claims())
    assert [status(api, good) for _ in range(3)] == [200, 200, 200]
    assert status(api, token()) == 200


@pytest.mark.parametrize(
    "name", ["exp", "iat", "jti", "type", "sub", "tenant", "roles", "aud", "iss"]
)
def test_a_claim_that_is_missing(api: Caller, name: str) -> None:
    """Each required claim: without it a correctly signed token is a 401."""
    assert status(api, signed(claims(**{name: ABSENT}))) == 401


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("exp", -60),
        ("exp", "soon"),
        ("exp", None),
        ("exp", float("inf")),
        ("exp", {}),
        ("iat", 10**10),
        ("iat", "now"),
        ("nbf", 10**10),
        ("aud", "elsewhere"),
        ("aud", ["elsewhere"]),
        ("aud", 7),
        ("iss", "elsewhere"),
        ("type", "refresh"),
        ("type", None),
        ("type", ["access"]),
        ("sub", 7),
        ("sub", ""),
        ("sub", "a\x00b"),
        ("sub", "s" * 256),
        ("sub", "\ud800"),
        ("jti", 7),
        ("jti", ""),
        ("tenant", 0),
        ("tenant", -1),
        ("tenant", 2**31),
        ("tenant", 2**63),
        ("tenant", "1"),
        ("tenant", True),
        ("tenant", 1.0),
        ("tenant", [1]),
        ("roles", "admin"),
        ("roles", None),
        ("roles", {"admin": 1}),
        ("roles", [7]),
        ("roles", [["admin"]]),
        ("roles", [""]),
        ("roles", ["r"] * 33),
        ("limits", 7),
        ("limits", None),
        ("limits", {"EUR": "1"}),
        ("limits", {"EUR": 1.5}),
        ("limits", {"EUR": -1}),
        ("limits", {"EUR": True}),
        ("limits", {"EUR": 2**63}),
    ],
)
def test_a_claim_that_is_wrong(api: Caller, name: str, value: Any) -> None:
    """Correctly signed and still refused, never a 500."""
    if name == "exp" and value == -60:
        value = int(time.time()) - 60
    assert status(api, signed(claims(**{name: value}))) == 401


@pytest.mark.parametrize(
    "subject",
    [
        "person:pe_0123456789abcdef0123",
        "Person:pe_0123456789abcdef0123",
        " \uff50erson:x",
        "key:ak_3Kf09aQz1Bd",
        "trident",
        "trident:scheduler",
        "retention",
    ],
)
def test_a_subject_that_is_nobodys_to_name(api: Caller, subject: str) -> None:
    """People ask by their sessions and programs by their keys, whoever has made another token."""
    assert status(api, signed(claims(sub=subject))) == 401
    session = {"sid": "se_0123456789abcdef0123", "version": 1}
    assert status(api, signed(claims(sub=subject, **session))) == 401


def test_a_session_is_of_its_person(api: Caller) -> None:
    """A token of a session that is of no person is none."""
    session = {"sid": "se_0123456789abcdef0123", "version": 1}
    assert status(api, signed(claims(**session))) == 401


def test_a_token_lasts_a_month_at_most(api: Caller) -> None:
    """One that was made for longer counts not at all."""
    now, longest = int(time.time()), int(LONGEST.total_seconds())
    assert status(api, signed(claims(exp=now + longest))) == 200
    assert status(api, signed(claims(exp=now + longest + 1))) == 401


def test_clocks_may_differ_by_seconds(api: Caller) -> None:
    """Ten seconds of leeway, no more."""
    now = int(time.time())
    assert status(api, signed(claims(exp=now - 5))) == 200
    assert status(api, signed(claims(exp=now - tokens_module.LEEWAY_S - 2))) == 401
    assert tokens_module.LEEWAY_S <= 30


def by_hand(header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """A token of good claims with whatever header, which the library would not make."""
    unsigned = f"{part(header)}.{part(claims())}"
    return f"{unsigned}.{part(sign(unsigned.encode()))}"


@pytest.mark.parametrize(
    "kid", [ABSENT, "main", "other", "", None, 7, ["main"], {}, "../../etc/passwd", "' OR 1=1 --"]
)
def test_a_key_id_that_is_not_ours(api: Caller, kid: Any) -> None:
    """Unknown, missing or of another type: 401, though our key has signed it."""
    header = {"alg": ALGORITHM, "typ": ACCESS} | ({} if kid is ABSENT else {"kid": kid})
    assert status(api, by_hand(header, ours()[1].sign)) == 401
    assert status(api, by_hand({**header, "kid": ours()[0]}, ours()[1].sign)) == 200


def test_another_algorithm(api: Caller) -> None:
    """Only EdDSA: not `none` in any spelling, nor what the header names beside it."""
    kid, key = ours()
    others = ("none", "None", "NONE", "HS256", "RS256", "ES256", "Ed448", "eddsa", "", None, 7)
    for algorithm in others:
        header = {"alg": algorithm, "typ": ACCESS, "kid": kid}
        assert status(api, f"{part(header)}.{part(claims())}.") == 401
        assert status(api, f"{part(header)}.{part(claims())}.AAAA") == 401
        assert status(api, by_hand(header, key.sign)) == 401


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_secret_to_sign_with(api: Caller, algorithm: str) -> None:
    """Whoever has the public key, as everybody does, cannot sign with it, in whatever form."""
    kid, key = ours()
    public, digest = key.public_key(), f"sha{algorithm[2:]}"
    published: Any = api.get("/.well-known/jwks.json").json
    for secret in (
        public.public_bytes_raw(),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        published["keys"][0]["x"].encode(),
        b"",
    ):
        for said in (algorithm, ALGORITHM):
            header = {"alg": said, "typ": ACCESS, "kid": kid}
            forged = by_hand(header, functools.partial(_hmac, secret, digest))
            assert status(api, forged) == 401


def _hmac(secret: bytes, digest: str, message: bytes) -> bytes:
    return hmac.digest(secret, message, digest)


def test_another_key(api: Caller) -> None:
    """A key that is not ours, by its own algorithm or under our id, is a 401."""
    foreign, rsa = Ed25519PrivateKey.generate(), generate_private_key(65537, 2048)
    assert status(api, signed(claims(), key=foreign)) == 401
    assert status(api, signed(claims(), key=rsa, algorithm="RS256")) == 401
    assert status(api, signed(claims(), key="x" * 64, algorithm="HS512")) == 401


def test_a_key_that_the_token_brings_itself(api: Caller) -> None:
    """jwk, jku, x5u and x5c are never looked at, whether our key is named or none."""
    foreign = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(foreign.public_key().public_bytes_raw())}
    for brought in (
        {"jwk": jwk},
        {"jwk": {**jwk, "kid": ours()[0]}},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": [part(b"certificate")]},
    ):
        assert status(api, signed(claims(), key=foreign, **brought)) == 401
        assert status(api, signed(claims(), key=foreign, kid="evil", **brought)) == 401
        assert status(api, signed(claims(), key=foreign, kid=ABSENT, **brought)) == 401
        assert status(api, signed(claims(), **brought)) == 200


@pytest.mark.parametrize("typ", [ABSENT, "JWT", "rt+jwt", "AT+JWT", "", None, 7, ["at+jwt"]])
def test_a_token_of_another_type(api: Caller, typ: Any) -> None:
    """What its header does not call an access token is none, though its claims do."""
    header = {"alg": ALGORITHM, "kid": ours()[0]} | ({} if typ is ABSENT else {"typ": typ})
    assert status(api, by_hand(header, ours()[1].sign)) == 401


def test_a_token_of_a_tenant_that_is_not_there(api: Caller) -> None:
    """A correctly signed token that speaks for nobody is a 401."""
    assert status(api, signed(claims(tenant=2**31 - 1))) == 401


def test_the_database_is_away_while_a_token_is_verified(
    app: Flask, api: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a 503 that asks to come again, never a 401 that would throw the token away."""
    monkeypatch.setattr(app.extensions[NAME].tokens, "_engine", _away())
    bearer = {"Authorization": f"Bearer {token()}"}
    assert problem(api.get("operations", headers=bearer)) == (503, "database_unavailable")


def _away() -> Engine:
    return make_engine("postgresql://nobody:x@127.0.0.1:1/none", statement_timeout_ms=1_000)


def test_a_changed_token(api: Caller) -> None:
    """Another role or tenant under the old signature is a 401."""
    header, _, signature = signed(claims()).split(".")
    assert status(api, f"{header}.{part(claims(tenant=2))}.{signature}") == 401
    assert status(api, f"{header}.{part(claims())}.{signature[::-1]}") == 401


@pytest.mark.parametrize(
    "bearer",
    [
        "x",
        ".",
        "..",
        "a.b.c",
        "....",
        f"{part(b'[')}.{part({})}.x",
        f"{part([])}.{part([])}.x",
        f"{part({'alg': 'EdDSA', 'kid': 'main'})}.{part(b'[' * 5000)}.x",
        f"{part(b'[' * 5000)}.{part({})}.x",
        f"{part({'alg': 'EdDSA', 'kid': 'main'})}.{part(b'1' * 5000)}.x",
        f"{part({'alg': 'EdDSA', 'kid': 'main'})}.{part(b'NaN')}.x",
        f"{part({'alg': 'EdDSA', 'kid': 'main', 'crit': ['exp']})}.{part({})}.x",
        f"{part(bytes([255, 254]))}.{part({})}.x",
        "é.é.é",
        "a" * 100_000,
    ],
    ids=lambda bearer: bearer[:24],
)
def test_what_is_no_token_at_all(api: Caller, bearer: str) -> None:
    """However it breaks the parsers: 401."""
    assert status(api, bearer) == 401


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic dTpw", "token", "bearer\t"]
)
def test_no_token(api: Caller, header: str | None) -> None:
    """401 with what to send; the scheme may be written in any case."""
    without = Caller(api.app, api.ledger, "")
    answer = without.get("operations", headers={} if header is None else {"Authorization": header})
    assert answer.status_code == 401
    assert (answer.json or {})["code"] == "token_missing"
    spelled = {"Authorization": f"bEARER {token()}"}
    assert without.get("operations", headers=spelled).status_code == 200


def test_a_remembered_token_expires(api: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was verified once is verified again when its time is up."""
    short = signed(claims(exp=int(time.time()) + 2))
    assert status(api, short) == 200
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    monkeypatch.setattr(jwt.api_jwt, "datetime", _Later)
    assert status(api, short) == 401


class _Later(dt.datetime):
    @classmethod
    def now(cls, tz: dt.tzinfo | None = None) -> "_Later":
        return super().now(tz) + dt.timedelta(seconds=60)


def test_few_tokens_are_remembered(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory of tokens is bounded, whoever sends them."""
    monkeypatch.setattr(tokens_module, "REMEMBERED_MAX", 3)
    tokens = tokens_module.Tokens(intake_engine())
    with app.app_context():
        for number in range(10):
            tokens.principal(signed(claims(sub=f"s-{number}")))
    assert len(tokens._known) == 3


def test_the_principal_is_stored_with_the_operation(api: Caller, ledger: LedgerRef) -> None:
    """Who it was, its roles sorted, its limits if it had any; nothing else of the token."""
    bearer = signed(claims(roles=["submitter", "admin", "admin"], limits={"USD": 5, "EUR": 7}))
    Caller(api.app, api.ledger, bearer).submit(transfer())
    api.submit(transfer())
    rows = Bank(ledger).rows(
        "SELECT principal::text FROM operations WHERE ledger_id = :ledger ORDER BY position"
    )
    assert rows[0][0] == '{"limits":{"EUR":7,"USD":5},"roles":["admin","submitter"],"sub":"tests"}'
    assert rows[1][0] == '{"roles":["admin","auditor","operator","submitter"],"sub":"tests"}'


def test_a_limit_of_the_token_is_kept(api: Caller) -> None:
    """What the token may not move is rejected by authorize."""
    api.open_two()
    limited = Caller(api.app, api.ledger, signed(claims(limits={"EUR": 99})))
    rejected: Any = limited.submit(transfer(100), wait=10).json
    assert rejected["rejection"]["code"] == "limit_exceeded"
    assert limited.posted(transfer(99))["status"] == "posted"


def test_every_route_wants_a_token(app: Flask) -> None:
    """But health and documentation, no address answers without one."""
    free = {"/healthz", "/readyz", "/docs", "/v1/openapi.json", "/.well-known/jwks.json"}
    # What brings a password, a refresh token, an invitation or a reset in its body.
    free_to_post = {"/v1/sessions", "/v1/sessions/refresh"}
    free_to_post |= {"/v1/invitations/accept", "/v1/password-resets/accept"}
    # What is answered alike whoever asks.
    free_to_post |= {"/v1/password-resets"}
    with app.test_client() as client:
        for rule in app.url_map.iter_rules():
            if rule.rule in free:
                continue
            path = "".join(
                piece if not dynamic else "x" for dynamic, piece in rule._trace
            ).removeprefix("|")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                if method == "POST" and rule.rule in free_to_post:
                    continue
                assert client.open(path, method=method).status_code == 401, (method, path)
    assert NAME in app.extensions
