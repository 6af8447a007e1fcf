"""Reconciliations over HTTP: import, match, review, book, and what is refused."""

import io
from typing import Any

import pytest

from models.ledger import LedgerRef
from tests.api.caller import Caller, new_key, operations_of, problem
from tests.api.test_openapi import faults

MAPPING = {
    "columns": {
        "booking_date": "Date",
        "amount": "Amount",
        "reference": "Reference",
        "description": "Text",
        "id": "Id",
    }
}
HERE = "reconciliations/bank"


def export(*rows: str) -> bytes:
    """A CSV file of a bank."""
    return "\n".join(["Date,Amount,Reference,Text,Id", *rows, ""]).encode()


@pytest.fixture
def desk(api: Caller) -> Caller:
    """A ledger with a bank account, income and fees, and a mapping `our-bank`."""
    api.open("bank", type="asset", overdraft="unlimited")
    api.open("income", type="income", overdraft="unlimited")
    api.open("fees", type="expense", overdraft="unlimited")
    assert api.call("PUT", "csv-mappings/our-bank", MAPPING).status_code == 200
    return api


def receive(desk: Any, amount: int, date: str = "2026-10-05", key: str = "") -> dict[str, Any]:
    """A payment that came in."""
    body = {
        "kind": "transfer",
        "source": "bank",
        "destination": "income",
        "amount": amount,
        "currency": "EUR",
        "effective_date": date,
    }
    answer = desk.submit(body, key=key or new_key(), wait=10)
    assert answer.json is not None
    assert answer.json["status"] == "posted"
    return dict(answer.json)


def take_in(desk: Any, data: bytes, query: str = "mapping=our-bank") -> Any:
    """Import a file."""
    return desk.post(f"{HERE}/statements?{query}", data, mimetype="text/csv")


def test_a_month_is_reconciled_to_the_cent(desk: Any) -> None:
    """Import, match, ignore, book: then nothing is left, and the balances explain each other."""
    order = receive(desk, 10_000, key="order-8123")
    receive(desk, 2_500, "2026-10-07")
    taken = take_in(
        desk,
        export(
            "2026-10-06,100.00,ORDER 8123,,a",
            "2026-10-08,25.00,,Card,b",
            "2026-10-31,-4.90,,Account fee,c",
        ),
    )
    assert taken.status_code == 201
    assert taken.json["data"][0]["lines"] == 3
    matched = desk.post(f"{HERE}/matches/automatic")
    assert matched.json["made"]["reference"] == matched.json["made"]["amount_and_date"] == 1
    assert matched.json["lines_left"] == 1
    before = desk.get(HERE).json
    assert (before["difference"], before["reconciled"]) == (490, False)
    assert before["explained_by"]["unmatched_lines"] == {"count": 1, "amount": -490}
    booked = desk.post(f"{HERE}/bookings", {"lines": [3], "against": "fees"})
    assert booked.status_code == 201
    assert booked.json["operation"]["postings"][0]["account"] == "fees"
    assert booked.json["operation"]["effective_date"] == "2026-10-31"
    assert (booked.json["match"]["rule"], booked.json["match"]["lines"]) == ("booked", [3])
    after = desk.get(HERE).json
    assert (after["books_balance"], after["difference"]) == (12_010, 0)
    listed = desk.get(f"{HERE}/postings?state=matched").json["data"]
    assert order["id"] in {one["operation"] for one in listed}


def test_booking_again_makes_no_second_operation(desk: Any, ledger: LedgerRef) -> None:
    """However often it is asked for: one operation, one match; undone, it is matched anew."""
    take_in(desk, export("2026-10-31,-4.90,,Account fee,c"))
    wish = {"lines": [1], "against": "fees"}
    first, second = (desk.post(f"{HERE}/bookings", wish) for _ in range(2))
    assert first.json["operation"]["id"] == second.json["operation"]["id"]
    assert first.json["match"] == second.json["match"]
    assert second.headers["Idempotent-Replayed"] == "true"
    many = operations_of(ledger)
    number = first.json["match"]["number"]
    undone = desk.post(f"{HERE}/matches/{number}/undo", {"reason": "wrong account"})
    assert undone.json["undone"]["reason"] == "wrong account"
    third = desk.post(f"{HERE}/bookings", wish)
    assert third.status_code == 201
    assert third.json["match"]["number"] > number
    other = desk.post(f"{HERE}/bookings", {"lines": [1], "against": "income"})
    assert problem(other) == (422, "idempotency_key_reused")
    assert operations_of(ledger) == many


def test_after_a_rejection_something_else_may_be_booked(desk: Any) -> None:
    """A refused booking holds nothing; the next one has a key of its own."""
    take_in(desk, export("2026-10-31,-4.90,,Account fee,c"))
    refused = desk.post(f"{HERE}/bookings", {"lines": [1], "against": "nobody"})
    assert problem(refused) == (409, "unknown_account")
    assert desk.get(f"{HERE}/lines?state=unmatched").json["data"][0]["number"] == 1
    assert desk.post(f"{HERE}/bookings", {"lines": [1], "against": "fees"}).status_code == 201


def test_a_booking_that_is_not_posted_yet_is_matched_later(
    desk: Any, bellman: Any, ledger: LedgerRef
) -> None:
    """202 while no worker works; its line is held; matched when the rules run next."""
    take_in(desk, export("2026-10-31,-4.90,,Account fee,c"))
    bellman.awake = False
    booked = desk.post(f"{HERE}/bookings", {"lines": [1], "against": "fees"}, wait=0)
    assert (booked.status_code, booked.json["match"]) == (202, None)
    assert desk.get(HERE).json["bookings_on_their_way"] == 1
    held = desk.post(f"{HERE}/exclusions", {"lines": [1], "reason": "no"})
    assert problem(held) == (409, "being_booked")
    bellman.awake = True
    bellman.ring(ledger, 0)
    receive(desk, 1)
    made = desk.post(f"{HERE}/matches/automatic").json["made"]
    assert made["booked"] == 1


def test_a_difference_within_a_match_is_booked(desk: Any) -> None:
    """A payment came in less a fee: the journal explains it, and all three are one match."""
    order = receive(desk, 10_000)
    take_in(desk, export("2026-10-06,98.50,,Payout,a"))
    fee = {"account": "fees", "direction": "debit", "amount": 150, "currency": "EUR"}
    items = {"lines": [1], "postings": [{"operation": order["id"]}]}
    wrong = desk.post(f"{HERE}/bookings", {**items, "legs": [{**fee, "amount": 151}]})
    assert problem(wrong) == (422, "unbalanced_match")
    booked = desk.post(f"{HERE}/bookings", {**items, "legs": [fee], "description": "Card fee"})
    assert booked.status_code == 201
    assert booked.json["operation"]["kind"] == "journal"
    assert len(booked.json["match"]["postings"]) == 2
    left = desk.get(HERE).json
    assert (left["difference"], left["explained_by"]["unmatched_lines"]["count"]) == (0, 0)


def test_lines_come_with_suggestions(desk: Any) -> None:
    """The likeliest first: the reference with another amount before the amount alone."""
    named = receive(desk, 10_000, key="order-8123")
    same = [receive(desk, 9_850)["id"] for _ in range(2)]
    take_in(desk, export("2026-10-06,98.50,order-8123,,a"))
    assert desk.post(f"{HERE}/matches/automatic").json["lines_left"] == 1
    (line,) = desk.get(f"{HERE}/lines?state=unmatched&suggest=true").json["data"]
    found = [(one["operation"], one["reason"]) for one in line["suggestions"]]
    assert found[0] == (named["id"], "reference")
    assert {one for one, _ in found[1:]} == set(same)
    assert line["suggestions"][0]["difference"] == -150


def test_the_same_file_again_changes_nothing(desk: Any) -> None:
    """200, `replayed`, and the same statement; as a part of a multipart body too."""
    data = export("2026-10-06,98.50,order-8123,,a")
    assert take_in(desk, data).status_code == 201
    again = take_in(desk, data)
    assert (again.status_code, again.json["replayed"]) == (200, True)
    with desk.app.test_client() as client:
        answer = client.post(
            f"/v1/ledgers/{desk.ledger}/{HERE}/statements",
            data={"file": (io.BytesIO(data), "a.csv")},
            headers={"Authorization": f"Bearer {desk.bearer}"},
        )
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("data", "query", "expected"),
    [
        (b"Date\n", "mapping=our-bank", (422, "malformed_statement")),
        (export("2026-10-32,1,,,a"), "mapping=our-bank", (422, "malformed_statement")),
        (export("2026-10-31,1,,,a"), "mapping=other", (404, "unknown_mapping")),
        (export("2026-10-31,1,,,a"), "", (404, "unknown_mapping")),
        (b"<Document/>", "", (422, "malformed_statement")),
        (b"", "", (422, "malformed_statement")),
        (b"\xff\xfe\x00", "mapping=our-bank", (422, "malformed_statement")),
        (b"x", "format=pdf", (422, "invalid_request")),
        (b"x" * (32 * 1024 * 1024 + 1), "mapping=our-bank", (413, "body_too_large")),
    ],
)
def test_a_file_is_refused_whole(
    desk: Any, data: bytes, query: str, expected: tuple[int, str]
) -> None:
    """Each with its problem, and nothing of it is stored."""
    assert problem(take_in(desk, data, query)) == expected
    assert desk.get(f"{HERE}/statements").json["data"] == []
    assert desk.get(f"{HERE}/lines").json["data"] == []


def test_every_fault_of_a_file_has_its_place(desk: Any) -> None:
    """Line, column and header, in `errors`."""
    answer = take_in(desk, export("2026-10-32,1,,,a", "2026-10-30,NaN,,,b"))
    assert [one["param"] for one in answer.json["errors"]] == [
        "line 2, column 1 (Date)",
        "line 3, column 2 (Amount)",
    ]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("matches", {"lines": [1], "postings": []}, (422, "unbalanced_match")),
        ("matches", {"lines": [7], "postings": []}, (404, "unknown_line")),
        ("matches", {"lines": [1.5]}, (400, "malformed_body")),
        ("matches", {"lines": ["1"]}, (422, "invalid_request")),
        ("matches", {"lines": [1], "postings": [{"operation": "op_x"}]}, (404, "unknown_posting")),
        ("exclusions", {"lines": [1]}, (422, "invalid_request")),
        ("exclusions", {"lines": [1], "reason": "\x00"}, (400, "malformed_body")),
        ("matches/9/undo", {"reason": "no"}, (404, "unknown_match")),
        ("bookings", {"lines": [], "against": "fees"}, (404, "unknown_line")),
        ("bookings", {"lines": [1]}, (422, "nothing_to_book")),
        ("bookings", {"lines": [1], "against": "bank"}, (422, "unbalanced_match")),
        ("matches/automatic", {"days": 365}, (422, "invalid_request")),
    ],
)
def test_what_cannot_be_done_is_refused(
    desk: Any, ledger: LedgerRef, path: str, body: Any, expected: tuple[int, str]
) -> None:
    """Each with its code; no operation comes of it, and the line stays unmatched."""
    take_in(desk, export("2026-10-31,-4.90,,Account fee,c"))
    many = operations_of(ledger)
    assert problem(desk.post(f"{HERE}/{path}", body)) == expected
    assert operations_of(ledger) == many
    assert len(desk.get(f"{HERE}/lines?state=unmatched").json["data"]) == 1


def test_reading_takes_a_reader_and_writing_an_operator(desk: Any) -> None:
    """A submitter may look, and change nothing; another tenant sees no account."""
    submitter = desk.with_roles("submitter")
    assert submitter.get(HERE).status_code == 200
    for path in ("matches/automatic", "matches", "exclusions", "bookings", "statements"):
        assert problem(submitter.post(f"{HERE}/{path}", {})) == (403, "forbidden")
    assert problem(submitter.call("PUT", "csv-mappings/x", MAPPING)) == (403, "forbidden")


def test_a_booking_takes_the_permission_of_its_kind(desk: Any, ledger: LedgerRef) -> None:
    """Who may reconcile and not transfer books nothing, and nothing is left on its way."""
    take_in(desk, export("2026-10-31,-4.90,,Account fee,c"))
    many, wish = operations_of(ledger), {"lines": [1], "against": "fees"}
    narrow = desk.with_roles("operator", scopes=["reconciliation.*", "operation.journal"])
    assert problem(narrow.post(f"{HERE}/bookings", wish)) == (403, "forbidden")
    assert operations_of(ledger) == many
    assert narrow.get(HERE).json["bookings_on_their_way"] == 0
    assert desk.post(f"{HERE}/bookings", {**wish, "against": "income"}).status_code == 201


def test_a_stranger_sees_nothing(desk: Any, stranger: Caller) -> None:
    """Another tenant has neither the ledger nor its reconciliation."""
    for path in (HERE, f"{HERE}/lines", f"{HERE}/matches", "csv-mappings"):
        assert problem(stranger.get(path)) == (404, "unknown_ledger")


def test_the_answers_are_as_documented(desk: Any) -> None:
    """One of each route, against the OpenAPI document."""
    spec: Any = desk.get("/v1/openapi.json").json
    order = receive(desk, 10_000)
    root = "/v1/ledgers/{ledger}/reconciliations/{code}"
    data = export("2026-10-06,100.00,,,a", "2026-10-07,-1.00,,,b", "2026-10-07,-2.00,,,c")
    items = {"lines": [1], "postings": [{"operation": order["id"]}]}
    mappings = "/v1/ledgers/{ledger}/csv-mappings"
    for answer, path, method in (
        (take_in(desk, data), f"{root}/statements", "post"),
        (desk.get(f"{HERE}/statements"), f"{root}/statements", "get"),
        (desk.get(f"{HERE}/lines?suggest=true"), f"{root}/lines", "get"),
        (desk.post(f"{HERE}/matches", items), f"{root}/matches", "post"),
        (desk.post(f"{HERE}/matches/automatic"), f"{root}/matches/automatic", "post"),
        (
            desk.post(f"{HERE}/exclusions", {"lines": [2], "reason": "x"}),
            f"{root}/exclusions",
            "post",
        ),
        (
            desk.post(f"{HERE}/bookings", {"lines": [3], "against": "fees"}),
            f"{root}/bookings",
            "post",
        ),
        (
            desk.post(f"{HERE}/matches/1/undo", {"reason": "x"}),
            f"{root}/matches/{{number}}/undo",
            "post",
        ),
        (desk.get(f"{HERE}/matches"), f"{root}/matches", "get"),
        (desk.get(f"{HERE}/postings"), f"{root}/postings", "get"),
        (desk.get(HERE), root, "get"),
        (desk.get("csv-mappings"), mappings, "get"),
        (desk.call("PUT", "csv-mappings/x", MAPPING), f"{mappings}/{{name}}", "put"),
        (take_in(desk, b"Date\n"), f"{root}/statements", "post"),
    ):
        documented = spec["paths"][path][method]["responses"][str(answer.status_code)]
        schema = documented["content"][answer.mimetype]["schema"]
        assert list(faults(spec, schema, answer.json)) == [], (path, method, answer.json)


def test_lists_come_in_pages(desk: Any) -> None:
    """Every line once, whatever the size of the page."""
    rows = [f"2026-10-06,{n}.00,,,id-{n}" for n in range(1, 8)]
    take_in(desk, export(*rows))
    seen: list[int] = []
    after = ""
    while True:
        answer = desk.get(f"{HERE}/lines?limit=3{after}").json
        seen += [one["number"] for one in answer["data"]]
        if not answer["has_more"]:
            break
        after = f"&after={answer['next']}"
    assert seen == list(range(1, 8))


def test_what_was_matched_otherwise_meanwhile_is_not_booked_again(desk: Any) -> None:
    """A booking whose match was undone, and whose line is now ignored, stays as it is."""
    take_in(desk, export("2026-10-31,-4.90,,Account fee,c"))
    wish = {"lines": [1], "against": "fees"}
    booked = desk.post(f"{HERE}/bookings", wish).json
    desk.post(f"{HERE}/matches/{booked['match']['number']}/undo", {"reason": "wrong"})
    desk.post(f"{HERE}/exclusions", {"lines": [1], "reason": "not ours"})
    assert problem(desk.post(f"{HERE}/bookings", wish)) == (409, "already_matched")
