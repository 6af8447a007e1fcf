"""Balances, statements and reports over HTTP."""

import csv
import io
import json
from typing import Any

import pytest

from api import reports
from pipeline import statement
from pipeline.reports import exports, pdf, period
from tests.api.caller import WORLD, Caller, transfer
from tests.api.conftest import Bellman
from tests.api.test_openapi import faults

REPORTS = ("trial-balance", "balance-sheet", "income-statement")
QUERIES = ("balances", "accounts/a/balance", *(f"reports/{name}" for name in REPORTS))


@pytest.fixture
def books(api: Caller) -> Caller:
    """A month of a shop: sales, rent that was dated back, a customer's deposit and its return."""
    api.open("world", **WORLD)
    api.open("a", name="Ada")
    api.open("shop:sales:eu", type="income")
    api.open("shop:sales:us", type="income")
    api.open("shop:rent", type="expense", overdraft="unlimited")
    api.posted(transfer(10_000, description="=SUM(A1)"))
    api.posted(transfer(700, destination="shop:sales:eu", effective_date="2026-02-01"))
    api.posted(transfer(300, destination="shop:sales:us"))
    api.posted(transfer(250, source="shop:rent", destination="world", effective_date="2026-01-31"))
    api.posted(transfer(4_000, source="a", destination="world", effective_date="2026-02-10"))
    return api


def read(api: Caller, path: str) -> Any:
    """The answer's JSON."""
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)


def test_a_balance_at_a_time_and_by_effective_date(books: Caller) -> None:
    """What was accepted by then; what is dated by then, whenever it was accepted."""
    balance = read(books, "accounts/a/balance")
    assert balance == {
        "object": "balance",
        "ledger": books.ledger,
        "at": None,
        "effective": None,
        "position": 10,
        "complete": True,
        "account": "a",
        "type": "liability",
        "currency": "EUR",
        "balance": 6_000,
    }
    first, last = (read(books, f"accounts/a/postings?order={end}") for end in ("oldest", "newest"))
    deposit, returned = (page["data"][0]["accepted_at"] for page in (first, last))
    assert read(books, f"accounts/a/balance?at={deposit}")["balance"] == 10_000
    assert read(books, f"accounts/a/balance?at={returned}")["balance"] == 6_000
    assert read(books, "accounts/a/balance?at=2026-02-28")["balance"] == 0
    assert read(books, "accounts/a/balance?effective=2026-02-28")["balance"] == -4_000
    assert read(books, "accounts/a/balance?effective=2026-02-09")["balance"] == 0
    assert read(books, "accounts/a/balance?effective=9999-12-31")["balance"] == 6_000
    assert read(books, "accounts/a/balance?effective=0001-01-01")["balance"] == 0
    assert read(books, "accounts/a/balance?at=9999-12-31T23:59:59.999999Z")["balance"] == 6_000
    shown = read(books, "accounts/a/balance?at=2026-01-01T01:00:00%2B02:00")["at"]
    assert shown == "2025-12-31T23:00:00Z"


def test_the_hierarchy_of_codes(books: Caller) -> None:
    """Each level sums up what is below it; a prefix is of whole parts."""

    def rows(query: str) -> list[tuple[str, int, int | None]]:
        found = read(books, f"balances{query}")["rows"]
        return [(row["code"], row["accounts"], row["balance"]) for row in found]

    assert rows("") == [("a", 1, 6_000), ("shop", 3, None), ("world", 1, 6_750)]
    assert rows("?prefix=shop") == [
        ("shop", 3, None),
        ("shop:rent", 1, 250),
        ("shop:sales", 2, 1_000),
    ]
    assert rows("?prefix=shop:sales&depth=3&effective=2026-02-01") == [
        ("shop:sales", 2, 700),
        ("shop:sales:eu", 1, 700),
        ("shop:sales:us", 1, 0),
    ]
    assert rows("?prefix=sho") == []


def test_the_trial_balance_balances(books: Caller) -> None:
    """Each account on one side, summed up by type where a depth asks for it."""
    report = read(books, "reports/trial-balance?depth=1")
    rows = [(row["code"], row["type"], row["debit"], row["credit"]) for row in report["rows"]]
    assert rows == [
        ("a", "liability", 0, 6_000),
        ("shop", "expense", 250, 0),
        ("shop", "income", 0, 1_000),
        ("world", "asset", 6_750, 0),
    ]
    assert report["rows"][0]["name"] == "Ada"
    assert report["totals"] == [
        {"currency": "EUR", "debit": 7_000, "credit": 7_000, "balanced": True}
    ]


@pytest.mark.parametrize(
    ("query", "assets", "liabilities", "result"),
    [
        ("", 6_750, 6_000, 750),
        ("?effective=2026-01-31", -250, 0, -250),
        ("?effective=2026-02-01", 450, 0, 450),
        ("?effective=2026-02-28", -3_550, -4_000, 450),
    ],
)
def test_the_balance_sheet_balances(
    books: Caller, query: str, assets: int, liabilities: int, result: int
) -> None:
    """With what is not closed yet as the current result."""
    (total,) = read(books, f"reports/balance-sheet{query}")["totals"]
    assert total == {
        "currency": "EUR",
        "assets": assets,
        "liabilities": liabilities,
        "equity": 0,
        "current_result": result,
        "balanced": True,
    }


def test_the_income_statement_of_a_period(books: Caller) -> None:
    """By effective date, February has the sale and not the rent of January."""
    report = read(
        books, "reports/income-statement?basis=effective&since=2026-02-01&until=2026-03-01&depth=2"
    )
    assert [(row["code"], row["balance"]) for row in report["income"]] == [("shop:sales", 700)]
    assert [(row["code"], row["balance"]) for row in report["expenses"]] == [("shop:rent", 0)]
    assert report["totals"] == [{"currency": "EUR", "income": 700, "expenses": 0, "result": 700}]
    (total,) = read(books, "reports/income-statement")["totals"]
    assert total["result"] == 750
    assert read(books, "reports/income-statement?until=2026-03-01")["totals"] == []


def test_a_statement_as_json(books: Caller) -> None:
    """Opening balance, lines, totals and closing balance of the period."""
    back = read(books, "accounts/a/statement?basis=effective&until=2026-03-01")
    assert back["opening_balance"] == 0
    assert back["closing_balance"] == -4_000
    assert back["totals"] == {"lines": 1, "debits": 4_000, "credits": 0}
    whole = read(books, "accounts/a/statement")
    lines = [(one["amount"], one["direction"], one["balance"]) for one in whole["lines"]]
    assert lines == [(10_000, "credit", 10_000), (4_000, "debit", 6_000)]
    since = whole["lines"][1]["accepted_at"]
    part = read(books, f"accounts/a/statement?since={since}")
    assert (part["opening_balance"], part["lines"]) == (10_000, whole["lines"][1:])
    until = read(books, f"accounts/a/statement?until={since}")
    assert (until["closing_balance"], until["lines"]) == (10_000, whole["lines"][:1])
    assert read(books, "accounts/a/statement?since=2026-01-01&until=2026-01-01")["lines"] == []


def test_a_statement_as_csv(books: Caller) -> None:
    """Decimals; a row for either balance; no text that a spreadsheet would take for a formula."""
    answer = books.get("accounts/a/statement", headers={"Accept": "text/csv"})
    assert answer.mimetype == "text/csv"
    assert f'filename="statement-{books.ledger}-a.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    shown = [(row["entry"], row["debit"], row["credit"], row["balance"]) for row in rows]
    assert shown == [
        ("opening", "", "", "0.00"),
        ("posting", "", "100.00", "100.00"),
        ("posting", "40.00", "", "60.00"),
        ("closing", "40.00", "100.00", "60.00"),
    ]
    assert rows[1]["description"] == "'=SUM(A1)"


def test_a_statement_as_pdf(books: Caller) -> None:
    """A document, named after the account; too many lines for one are refused."""
    answer = books.get("accounts/a/statement?format=pdf")
    assert answer.mimetype == "application/pdf"
    assert answer.data.startswith(b"%PDF-")
    assert "statement-" in answer.headers["Content-Disposition"]


def test_a_statement_that_fails_half_way_says_so(
    books: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status was sent before: JSON does not parse, CSV ends with another row than `closing`."""
    monkeypatch.setattr(exports, "PIECE_LINES", 1)
    monkeypatch.setattr(statement, "BATCH_LINES", 1)
    last = statement.LINES.replace("p.amount, p.balance_after", "p.amount / (2 - p.version), 0", 1)
    monkeypatch.setattr(statement, "LINES", last)
    rows = books.get("accounts/a/statement?format=csv").text.splitlines()
    assert [row.split(",")[0] for row in rows] == ["entry", "opening", "posting", "error"]
    broken = books.get("accounts/a/statement").text
    assert broken.count("position") == 1
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)
    assert read(books, "accounts/a")["balance"] == 6_000


def test_the_format_is_negotiated(books: Caller) -> None:
    """JSON where nothing is asked for; 406 where nothing that there is would be accepted."""
    for accept, mimetype in (
        ("*/*", "application/json"),
        ("application/pdf;q=0.9, text/csv", "text/csv"),
        ("text/*", "text/csv"),
    ):
        answer = books.get("accounts/a/statement", headers={"Accept": accept})
        assert answer.mimetype == mimetype
    answer = books.get("accounts/a/statement", headers={"Accept": "image/png"})
    assert answer.status_code == 406
    assert answer.json is not None
    assert answer.json["code"] == "not_acceptable"


def test_what_waits_to_be_posted_is_said(books: Caller, asleep: Bellman) -> None:
    """`complete` is false while operations of the log that belong to it are not posted."""
    books.submit(transfer(1))
    for path in (*QUERIES, "accounts/a/statement"):
        assert read(books, path)["complete"] is False
    assert read(books, "accounts/a/balance?at=2026-01-01")["complete"] is True


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("accounts/a/balance?at=yesterday", "at"),
        ("accounts/a/balance?at=0001-01-01T00:00:00%2B14:00", "at"),
        ("accounts/a/balance?at=" + "9" * 5000, "at"),
        ("accounts/a/balance?effective=2026-02-30", "effective"),
        ("accounts/a/balance?effective=2026-02-01T00:00:00Z", "effective"),
        ("accounts/a/balance?at=2026-02-01&effective=2026-02-01", "effective"),
        ("accounts/a/balance?colour=red", "colour"),
        ("accounts/a/statement?since=x", "since"),
        ("accounts/a/statement?until=9999-12-31T23:59:59-14:00", "until"),
        ("accounts/a/statement?basis=effective&since=2026-02-01T00:00:00Z", "since"),
        ("accounts/a/statement?since=2026-02-02&until=2026-02-01", "until"),
        ("accounts/a/statement?basis=both", "basis"),
        ("accounts/a/statement?format=xlsx", "format"),
        ("balances?depth=0", "depth"),
        ("balances?depth=65", "depth"),
        ("balances?prefix=:", "prefix"),
        ("balances?prefix=%00", "prefix"),
        ("reports/trial-balance?depth=x", "depth"),
        ("reports/balance-sheet?since=2026-01-01", "since"),
        ("reports/income-statement?at=2026-01-01", "at"),
    ],
)
def test_a_wrong_parameter_is_named(api: Caller, path: str, param: str) -> None:
    """422, and which one."""
    api.open("a")
    answer = api.get(path)
    assert answer.status_code == 422, answer.text
    assert answer.json is not None
    assert (answer.json["code"], answer.json["param"]) == ("invalid_request", param)


def test_who_may_not_read_gets_no_report(books: Caller, stranger: Caller) -> None:
    """No role: 403. Another tenant: no such ledger. No such account: 404."""
    for path in (*QUERIES, "accounts/a/statement"):
        assert books.with_roles().get(path).status_code == 403
        assert books.with_roles("auditor").get(path).status_code == 200
        assert stranger.get(path).status_code == 404
    for path in ("accounts/nobody/balance", "accounts/nobody/statement"):
        answer = books.get(path)
        assert answer.json is not None
        assert (answer.status_code, answer.json["code"]) == (404, "unknown_account")


def test_what_would_be_too_large_is_refused(books: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to do instead."""
    monkeypatch.setattr(reports, "ROWS_MAX", 2)
    monkeypatch.setattr(period, "SORTED_MAX", 1)
    monkeypatch.setattr(pdf, "LINES_MAX", 1)
    for path, advice in (
        ("balances", "smaller depth"),
        ("reports/trial-balance", "smaller depth"),
        ("accounts/a/statement?basis=effective", "shorter period"),
        ("accounts/a/statement?format=pdf", "CSV"),
    ):
        answer = books.get(path)
        assert answer.status_code == 422
        assert answer.json is not None
        assert answer.json["code"] == "report_too_large"
        assert advice in answer.json["detail"]


def test_real_reports_are_as_documented(books: Caller) -> None:
    """No member is missing, none is undocumented, none of another type."""
    spec: Any = books.with_roles().get("/v1/openapi.json").json
    for path in (*QUERIES, "accounts/a/statement"):
        route = f"/v1/ledgers/{{ledger}}/{path}".replace("/a/", "/{code}/")
        documented = spec["paths"][route]["get"]["responses"]["200"]
        schema = documented["content"]["application/json"]["schema"]
        assert list(faults(spec, schema, read(books, path))) == [], path
