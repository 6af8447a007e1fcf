"""The cases of idempotency that are about a body, D17 to D22: each test names its case."""

import pytest

from models.ledger import LedgerRef
from tests.api.caller import Caller, operations_of, problem, transfer
from tests.api.conftest import Bellman
from tests.api.twins import Twins


@pytest.fixture
def api(twins: Twins) -> Twins:
    """Each case is tried by two tenants at once, with the same keys and the same bodies."""
    return twins


def test_spelling_is_not_content(api: Caller, asleep: Bellman) -> None:
    """D17: members in another order, other white space, other escapes: the same fingerprint."""
    first = api.submit(transfer(description="é/"), "k")
    spelled = (
        b'\n{ "description" : "\\u00e9\\/",\t"currency":"EUR",  "amount" :100,'
        b'"destination":"a","kind":"transfer","source":"world"}\n'
    )
    again = api.submit(spelled, "k")
    assert again.status_code == 202
    assert (again.json or {})["id"] == (first.json or {})["id"]


def test_a_default_is_the_same_as_saying_it(api: Caller) -> None:
    """D17: an account without an overdraft and one with 0 are the same content."""
    body = {"kind": "open_account", "code": "a", "type": "asset", "currency": "EUR"}
    first = api.submit(body, "k")
    again = api.submit(body | {"overdraft": 0}, "k")
    assert (again.json or {})["id"] == (first.json or {})["id"]


def test_a_member_named_twice(api: Caller, ledger: LedgerRef) -> None:
    """D18: `{"amount":1,"amount":1000}` is a 400, at any depth."""
    for body in (b'{"amount":1,"amount":1000}', b'{"metadata":{"a":1,"a":2}}', b'[{"a":1,"a":1}]'):
        answer = api.submit(body)
        assert problem(answer) == (400, "malformed_body")
        assert "twice" in answer.text
    assert operations_of(ledger) == 0


@pytest.mark.parametrize(
    ("amount", "status"),
    [
        ("NaN", 400),
        ("Infinity", 400),
        ("-Infinity", 400),
        ("1e400", 400),
        ("1.0", 400),
        ("1e2", 400),
        ("true", 422),
        ('"1"', 422),
        ("null", 422),
        ("[1]", 422),
        ("01", 400),
        ("+1", 400),
    ],
)
def test_a_number_that_is_no_integer(
    api: Caller, ledger: LedgerRef, amount: str, status: int
) -> None:
    """D19: floats, infinities, booleans and strings are not amounts."""
    body = b'{"kind":"transfer","source":"a","destination":"b","currency":"EUR","amount":%s}'
    assert api.submit(body % amount.encode()).status_code == status
    assert operations_of(ledger) == 0


NESTED = [10, 100, 300, 400, 500, 900, 960, 980, 990, 1_000, 5_000, 100_000]


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":' + b"9" * 5_000 + b"}",
        b"x" * (2 * 1024 * 1024),
        b'{"description":"\xff"}',
        b'{"description":"\\ud800"}',
        b'{"description":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"description":"a\\u0000b"}',
        b'{"description":"a\x00b"}',
        b"",
        b"\xef\xbb\xbf{}",
        b"\x00",
        *(b"[" * depth + b'"\\u0041"' + b"]" * depth for depth in NESTED),
        *(b'{"a":' * depth + b'"\\u0041"' + b"}" * depth for depth in NESTED),
        *(b'{"metadata":' + b"[" * depth + b"]" * depth + b"}" for depth in NESTED),
    ],
    ids=lambda body: f"{body[:12]!r}-{len(body)}",
)
def test_hostile_json(api: Caller, ledger: LedgerRef, body: bytes) -> None:
    """D20: huge numbers, deep nesting, too many bytes, bad text: 400, 413 or 422, never 500."""
    answer = api.submit(body)
    assert answer.status_code in {400, 413, 422}
    assert answer.mimetype == "application/problem+json"
    merged = api.submit(b'{"kind":"transfer",' + body[1:] if body.startswith(b"{") else body)
    assert merged.status_code in {400, 413, 422}
    assert operations_of(ledger) == 0


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, 2**63 - 1, 2**63, -(2**63)])
def test_an_amount_out_of_range(api: Caller, ledger: LedgerRef, amount: int) -> None:
    """D21: 0, negative, 2^63, -2^63: 422 that names the amount."""
    answer = api.submit(transfer(amount))
    assert problem(answer) == (422, "invalid_request")
    assert (answer.json or {})["param"] == "amount"
    assert operations_of(ledger) == 0


@pytest.mark.parametrize("name", ["Amount", "id", "status", "idempotency_key", "reference"])
def test_an_unknown_member(api: Caller, ledger: LedgerRef, name: str) -> None:
    """D22: 422 that names it."""
    answer = api.submit(transfer() | {name: 1})
    assert problem(answer) == (422, "invalid_request")
    assert (answer.json or {})["param"] == name
    assert operations_of(ledger) == 0
