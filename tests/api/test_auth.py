"""Bearer tokens: which are accepted, and what every other one is answered with."""

import base64
import datetime as dt
import time
import uuid
from typing import Any

import jwt
import orjson
import pytest
from flask import Flask

from api import tokens as tokens_module
from api.state import NAME
from models.ledger import LedgerRef
from models.settings import settings
from tests.api.caller import Caller, token, transfer
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


def signed(
    of: dict[str, Any], *, key: str | None = None, algorithm: str = "HS256", **header: Any
) -> str:
    """A token with these claims; its header names our key unless it says otherwise."""
    headers = {"kid": "main", **header}
    return jwt.encode(
        of,
        settings().jwt_secret if key is None else key,
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


@pytest.mark.parametrize("name", tokens_module.REQUIRED)
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


def test_clocks_may_differ_by_seconds(api: Caller) -> None:
    """Ten seconds of leeway, no more."""
    now = int(time.time())
    assert status(api, signed(claims(exp=now - 5))) == 200
    assert status(api, signed(claims(exp=now - tokens_module.LEEWAY_S - 2))) == 401
    assert tokens_module.LEEWAY_S <= 30


@pytest.mark.parametrize("kid", [ABSENT, "other", "", None, 7, ["main"], "../../etc/passwd"])
def test_a_key_id_that_is_not_ours(api: Caller, kid: Any) -> None:
    """Unknown, missing or of another type: 401."""
    header = {"alg": "HS256", "typ": "JWT"} | ({} if kid is ABSENT else {"kid": kid})
    unsigned = f"{part(header)}.{part(claims())}"
    good = signed(claims())
    signature = jwt.api_jws.base64url_encode(
        jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(
            unsigned.encode(), settings().jwt_secret.encode()
        )
    ).decode()
    assert status(api, f"{unsigned}.{signature}") == 401
    assert status(api, good) == 200


def test_another_key_or_algorithm(api: Caller) -> None:
    """Only HS256 with our secret: no other key, no other hash, no `none`, no foreign key."""
    assert status(api, signed(claims(), key="x" * 64)) == 401
    assert status(api, signed(claims(), key="x" * 64, algorithm="HS512")) == 401
    assert status(api, signed(claims(), key=settings().jwt_secret * 2, algorithm="HS384")) == 401
    for algorithm in ("none", "None", "NONE", "RS256", "ES256", "", None, 7):
        header = {"alg": algorithm, "typ": "JWT", "kid": "main"}
        assert status(api, f"{part(header)}.{part(claims())}.") == 401
        assert status(api, f"{part(header)}.{part(claims())}.AAAA") == 401
    foreign: dict[str, Any] = {
        "jwk": {"kty": "oct", "k": part(b"x" * 64)},
        "jku": "https://evil.example/",
    }
    assert status(api, signed(claims(), key="x" * 64, **foreign)) == 401
    assert status(api, signed(claims(), x5u="https://evil.example/", key="y" * 64)) == 401


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
        f"{part({'alg': 'HS256', 'kid': 'main'})}.{part(b'[' * 5000)}.x",
        f"{part(b'[' * 5000)}.{part({})}.x",
        f"{part({'alg': 'HS256', 'kid': 'main'})}.{part(b'1' * 5000)}.x",
        f"{part({'alg': 'HS256', 'kid': 'main'})}.{part(b'NaN')}.x",
        f"{part({'alg': 'HS256', 'kid': 'main', 'crit': ['exp']})}.{part({})}.x",
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
    tokens = tokens_module.Tokens()
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
    free = {"/healthz", "/readyz", "/docs", "/v1/openapi.json"}
    with app.test_client() as client:
        for rule in app.url_map.iter_rules():
            if rule.rule in free:
                continue
            path = "".join(
                piece if not dynamic else "x" for dynamic, piece in rule._trace
            ).removeprefix("|")
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                assert client.open(path, method=method).status_code == 401, (method, path)
    assert NAME in app.extensions
