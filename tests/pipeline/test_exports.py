"""A statement as CSV, JSON and PDF: whole, exact, and harmless in a spreadsheet."""

import base64
import csv
import datetime as dt
import io
import json
import re
import zlib
from uuid import UUID

import pytest

from models.ledger import LedgerRef
from pipeline import money
from pipeline.ledger import Account
from pipeline.reports import pdf
from pipeline.reports.exports import PIECE_LINES, as_csv, as_json, file_name, no_formula
from pipeline.reports.letters import printable, wrapped
from pipeline.reports.period import Statement
from pipeline.reports.too_large import TooLargeError
from pipeline.statement import Line

# What each page shows beside lines: six titles, and the two parts of its foot.
PAGE_FRAME = 8
NOON = dt.datetime(2026, 10, 1, 12, tzinfo=dt.UTC)


def statement(*descriptions: str, currency: str = "EUR", complete: bool = True) -> Statement:
    """One line of 10^15 minor units for each description."""
    account = Account(1, "customers:eu/42", "liability", currency, 0, name="Ada Żółć")
    amount = 10**15
    lines = [
        Line(
            account.code,
            currency,
            number,
            UUID(int=number),
            "transfer",
            f"=key-{number}",
            NOON,
            NOON,
            "2026-10-02",
            description,
            amount,
            0,
            True,
        )
        for number, description in enumerate(descriptions, start=1)
    ]
    end = 5 + amount * len(lines)
    ledger = LedgerRef(1, 1, "main")
    return Statement(ledger, account, "posting", NOON, None, complete, 5, end, lambda: iter(lines))


def test_csv_is_whole_whatever_its_length() -> None:
    """Every line once, in pieces; the last row has the totals."""
    many = 2 * PIECE_LINES + 1
    pieces = list(as_csv(statement(*["x"] * many)))
    assert len(pieces) == 3
    rows = list(csv.DictReader(io.StringIO(b"".join(pieces).decode())))
    assert [int(row["position"]) for row in rows[1:-1]] == list(range(1, many + 1))
    assert rows[-1]["credit"] == money.show(many * 10**15, "EUR")
    assert rows[-1]["balance"] == money.show(many * 10**15 + 5, "EUR")


@pytest.mark.parametrize("lines", [0, 1, PIECE_LINES, PIECE_LINES + 1])
def test_json_is_whole_whatever_its_length(lines: int) -> None:
    """One object, with amounts as they are asked for."""
    document = json.loads(b"".join(as_json(statement(*["x"] * lines))))
    assert len(document["lines"]) == document["totals"]["lines"] == lines
    assert document["closing_balance"] == 5 + lines * 10**15
    decimals = as_json(statement("x"), lambda minor: money.show(minor, "EUR"))
    assert json.loads(b"".join(decimals))["opening_balance"] == "0.05"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\n=1", "\uff1d1", "\nx"]
)
def test_no_text_is_a_formula(text: str) -> None:
    """It gets an apostrophe; other text stays as it is."""
    assert no_formula(text) == f"'{text}"
    (row,) = list(csv.DictReader(io.StringIO(b"".join(as_csv(statement(text))).decode())))[1:-1]
    assert row["description"] == f"'{text}"
    assert row["idempotency_key"] == "'=key-1"
    assert no_formula("rent = 5") == "rent = 5"


def test_a_files_name_is_harmless() -> None:
    """Letters, digits and hyphens: no slash, no colon."""
    assert file_name(statement(), "csv") == "statement-main-customers-eu-42.csv"


def shown(document: bytes) -> int:
    """How many pieces of text the pages show."""
    streams = re.findall(rb"stream\r?\n(.*?)\s*endstream", document, re.DOTALL)
    texts = [one for one in streams if one.endswith(b"~>")]  # fonts are not
    drawn = (zlib.decompress(base64.a85decode(b"<~" + one, adobe=True)) for one in texts)
    return sum(page.count(b" Tj") for page in drawn)


def pages(document: bytes) -> int:
    """How many pages it says that it has."""
    (count,) = re.findall(rb"/Count (\d+)", document)
    return int(count)


def test_a_pdf_shows_every_line_and_its_pages() -> None:
    """Five cells a line and a remark, beside the frame of each page."""
    documents = {many: pdf.as_pdf(statement(*["rent"] * many), NOON) for many in (1, 2, 100)}
    assert pages(documents[1]) == 1
    assert pages(documents[100]) == 4
    line = shown(documents[2]) - shown(documents[1])
    frame = shown(pdf.as_pdf(statement(), NOON))
    assert shown(documents[100]) == frame + 100 * line + 3 * PAGE_FRAME


@pytest.mark.parametrize(
    "description",
    [
        "x" * 500,
        "wide " * 100,
        "中文 😀 عربى",
        "\u202etxt",
        "",
        "a\nb\tc",
        "\u0301",
        "Ελλάς Łódź Ж",
    ],
)
def test_a_pdf_takes_any_text(description: str) -> None:
    """Long words are broken, unknown letters replaced."""
    document = pdf.as_pdf(statement(description, currency="JPY", complete=False), NOON)
    assert document.startswith(b"%PDF-")
    assert document.rstrip().endswith(b"%%EOF")


def test_letters_that_the_font_lacks_are_replaced() -> None:
    """European ones are there."""
    european = "ÄÖÜß Łódź Ελλάς Кузнецов Ğ ş ő ț ₴ € £ ¥"
    assert printable(european) == european
    assert printable("e\u0301") == "é"
    assert printable("中") == "\N{REPLACEMENT CHARACTER}"


def test_wrapped_text_loses_nothing() -> None:
    """Whatever the width, the words are the same."""
    text = "a bb " + "c" * 60 + " dd"
    for width in (20.0, 50.0, 500.0):
        lines = wrapped(text, "DejaVuSansCondensed", 8, width)
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_pdf_of_too_many_lines_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take seconds and memory, and nobody would print it."""
    monkeypatch.setattr(pdf, "LINES_MAX", 2)
    assert pdf.as_pdf(statement("a", "b"), NOON)
    with pytest.raises(TooLargeError, match="shorter period"):
        pdf.as_pdf(statement("a", "b", "c"), NOON)
