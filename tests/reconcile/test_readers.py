"""Files from outside: what is read of them, and that hostile ones are refused whole."""

import datetime as dt
import json
import re
import time
from typing import Any

import pytest

from cli.stack.root import ROOT
from pipeline.reconcile.errors import ReconcileError, Unreadable
from pipeline.reconcile.readers import mapping as mapping_schema
from pipeline.reconcile.readers.content import ExternalStatement
from pipeline.reconcile.readers.reading import format_of, read

TODAY = dt.date(2026, 11, 22)
EXAMPLES = ROOT / "examples"
CAMT = (EXAMPLES / "statement.camt053.xml").read_bytes()
OFX = (EXAMPLES / "statement.ofx").read_bytes()
CSV = (EXAMPLES / "statement.csv").read_bytes()
COLUMNS = {"booking_date": "Date", "amount": "Amount", "description": "Text", "id": "Id"}


def mapping(**more: Any) -> dict[str, Any]:
    """A mapping of Date, Amount, Text and Id, unless it says otherwise."""
    return mapping_schema.load({"columns": COLUMNS, **more})


def statement(data: bytes, currency: str = "USD", **how: Any) -> ExternalStatement:
    """The one statement of a file."""
    _, (found,) = read(data, currency=currency, today=TODAY, **how)
    return found


def fault(data: bytes, **how: Any) -> str:
    """Why the file is refused."""
    with pytest.raises(Unreadable) as caught:
        statement(data, **how)
    return str(caught.value)


def test_three_formats_say_the_same() -> None:
    """The bakery's October: dates, amounts and balances of each kind of file."""
    stored = mapping_schema.load(json.loads((EXAMPLES / "statement-mapping.json").read_text()))
    found = [statement(CAMT), statement(OFX), statement(CSV, mapping=stored)]
    assert [format_of(data) for data in (CAMT, OFX, CSV)] == ["camt.053", "ofx", "csv"]
    first, *others = [
        sorted((line.booking_date, line.amount) for line in one.lines) for one in found
    ]
    assert len(first) == 19
    assert others == [first, first]
    assert [one.closing_balance for one in found] == [-630_138] * 3
    assert [one.opening_balance for one in found] == [0, None, 0]


def test_camt_says_who_paid_what_and_why() -> None:
    """References, other side, text and the bank's id; of a batch each transaction."""
    lines = statement(CAMT).lines
    assert lines[0].references == ("2026-10-01-opening",)
    assert (lines[0].counterparty, lines[0].description) == ("Old Bank", "Balance brought over")
    batch = [line for line in lines if "BATCH-12" in line.references]
    assert [(line.amount, line.bank_id) for line in batch] == [
        (-62_831, "B202610006/1"),
        (-18_950, "B202610006/2"),
    ]
    assert batch[1].counterparty == "Safe & Sound Insurance"


@pytest.mark.parametrize("version", ["02", "04", "06", "08", "10", "13"])
def test_every_version_of_camt_is_read(version: str) -> None:
    """The parts that we read have not changed, but for `Pty` and `Sts/Cd`."""
    data = CAMT.replace(b"camt.053.001.08", f"camt.053.001.{version}".encode())
    if version < "08":
        data = re.sub(rb"</?Pty>", b"", data).replace(b"<Cd>BOOK</Cd>", b"BOOK")
    found = statement(data)
    assert len(found.lines) == 19
    assert found.lines[0].counterparty == "Old Bank"


def test_a_batch_whose_parts_do_not_sum_is_one_line() -> None:
    """Then only the entry's amount is certain; it bears all references."""
    data = CAMT.replace(b'<Amt Ccy="USD">189.50', b'<Amt Ccy="USD">189.49')
    (line,) = [line for line in statement(data).lines if "BATCH-12" in line.references]
    assert line.amount == -81_781
    assert {"2026-10-12-flour", "2026-10-12-insurance"} <= set(line.references)


def test_the_reversal_of_a_debit_is_a_credit() -> None:
    """CdtDbtInd is that of the entry itself, and entries that are not booked do not count."""
    reversed_ = CAMT.replace(b"<Sts>", b"<RvslInd>true</RvslInd><Sts>", 1)
    assert statement(reversed_).lines[0].amount == 640_000
    pending = CAMT.replace(b"<Cd>BOOK</Cd>", b"<Cd>PDNG</Cd>", 1)
    assert "make -12701.38" in fault(pending)


def test_ofx_2_is_read_as_ofx_1() -> None:
    """The same elements, with all of them closed."""
    body = OFX[OFX.index(b"<OFX>") :].decode()
    closed = re.sub(r"<([A-Z]+)>([^<\n]+)(?!</)", r"<\1>\2</\1>", body)
    closed = re.sub(r"</([A-Z]+)></\1>", r"</\1>", closed).replace(
        "Safe & Sound", "Safe &amp; Sound"
    )
    header = '<?xml version="1.0"?><?OFX OFXHEADER="200" VERSION="211"?>\n'
    newer, older = statement((header + closed).encode()), statement(OFX)
    assert [line._replace(place="") for line in newer.lines] == [
        line._replace(place="") for line in older.lines
    ]


@pytest.mark.parametrize(
    ("row", "how", "amount"),
    [
        ("2026-10-31,-1250.34,x,1", {}, -125_034),
        ("2026-10-31,+7,x,1", {}, 700),
        ("2026-10-31,7.500,x,1", {}, 750),
        ('2026-10-31,"1.250,34",x,1', {"decimal": ",", "thousands": "."}, 125_034),
        ('2026-10-31,"1,234,567.8",x,1', {"thousands": ","}, 123_456_780),
        ("2026-10-31,1'250.34,x,1", {"thousands": "'"}, 125_034),
        ("2026-10-31,1\u00a0250.34,x,1", {"thousands": " "}, 125_034),
        ("2026-10-31,\u22125.00,x,1", {}, -500),
        ("2026-10-31,5.00,x,1", {"sign": "debit_positive"}, -500),
        ("31/10/26,5.00,x,1", {"date_format": "DD/MM/YY"}, 500),
        ("1.2.2026,5.00,x,1", {"date_format": "D.M.YYYY"}, 500),
        ("20261031,5.00,x,1", {"date_format": "YYYYMMDD"}, 500),
    ],
)
def test_amounts_and_dates_are_read_as_the_mapping_says(
    row: str, how: dict[str, Any], amount: int
) -> None:
    """Separators, signs and the order of the parts of a date."""
    data = f"Date,Amount,Text,Id\n{row}\n".encode()
    assert [line.amount for line in statement(data, mapping=mapping(**how)).lines] == [amount]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_and_byte_order_marks(encoding: str) -> None:
    """A mark goes before what the mapping says."""
    named = "iso-8859-1" if encoding == "iso-8859-1" else "utf-8"
    data = "Date,Amount,Text,Id\n2026-10-31,5,Café,1\n".encode(encoding)
    (line,) = statement(data, mapping=mapping(encoding=named)).lines
    assert line.description == "Café"


def test_debit_and_credit_may_have_columns_of_their_own() -> None:
    """One of them has an amount; a debit may or may not have a minus."""
    columns = {"booking_date": "Date", "debit": "Out", "credit": "In"}
    rows = b"Date,Out,In\n2026-10-31,5.00,\n2026-10-31,-6.00,\n2026-10-31,,7.00\n"
    stored = mapping_schema.load({"columns": columns})
    assert [line.amount for line in statement(rows, mapping=stored).lines] == [-500, -600, 700]
    assert "Either Out or In" in fault(b"Date,Out,In\n2026-10-31,1,2\n", mapping=stored)


HEADER = b"Date,Amount,Text,Id\n"
FAULTS: list[tuple[str, bytes, str]] = [
    ("empty", b" \n", "line 1: The file is empty."),
    ("header", b"Date,Sum\n", "line 1: There is no column 'Amount'. There are: Date, Sum."),
    ("twice", b"Date,Amount,Amount,Text,Id\n", "line 1: There are two columns 'Amount'."),
    ("date", HEADER + b"2026-02-30,1,x,1\n", "line 2, column 1 (Date): '2026-02-30' is no date"),
    ("old", HEADER + b"1066-10-14,1,x,1\n", "line 2, column 1 (Date): 1066-10-14 is before 1900"),
    ("ahead", HEADER + b"2199-01-01,1,x,1\n", "line 2, column 1 (Date): 2199-01-01 is before"),
    ("nan", HEADER + b"2026-10-01,NaN,x,1\n", "line 2, column 2 (Amount): 'NaN' is no amount"),
    ("inf", HEADER + b"2026-10-01,-Infinity,x,1\n", "line 2, column 2 (Amount): '-Infinity' is"),
    ("exponent", HEADER + b"2026-10-01,1e5,x,1\n", "line 2, column 2 (Amount): '1e5' is no"),
    ("huge", HEADER + b"2026-10-01,99999999999999,x,1\n", "line 2, column 2 (Amount): 9999999"),
    ("long", HEADER + b"2026-10-01," + b"9" * 5000 + b",x,1\n", "line 2, column 2 (Amount): '999"),
    ("cents", HEADER + b"2026-10-01,1.005,x,1\n", "line 2, column 2 (Amount): 1.005 has more dec"),
    ("arabic", HEADER + "2026-10-01,٣,x,1\n".encode(), "line 2, column 2 (Amount): '٣' is no"),
    ("comma", HEADER + b'2026-10-01,"1,5",x,1\n', "line 2, column 2 (Amount): '1,5' is no amount"),
    ("quote", HEADER + b'2026-10-01,1,"x,1\n', "line 2: The record is no CSV"),
    ("nul", HEADER + b"2026-10-01,1,x\0y,1\n", "line 2: The record"),
    ("bytes", HEADER + b"2026-10-01,1,caf\xe9,1\n", "line 2: The text is not utf-8"),
    ("id", HEADER + b"2026-10-01,1,x," + b"9" * 300 + b"\n", "line 2: The bank's id of a line"),
    ("no lines", HEADER, "line 1: The statement has neither lines nor a date."),
    ("doctype", b"<?xml version='1.0'?><!DOCTYPE x []><x/>", "line 1: The XML has a document type"),
    (
        "bomb",
        b'<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Document>&b;</Document>',
        "line 1: The XML has a document type",
    ),
    (
        "external",
        b'<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]><Document>&x;</Document>',
        "line 1: The XML has a document type",
    ),
    (
        "utf-16 bomb",
        '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x []><x/>'.encode("utf-16"),
        "line 1: The XML has a document type",
    ),
    ("entity", CAMT.replace(b"Old Bank", b"&x;"), "line 16, column 36: This is not XML: Entity"),
    ("depth", b"<Document>" * 100_000, "line 1, column"),
    ("no end", CAMT[:2000], "line 4"),
    ("other xml", b"<html/>", "line 1: There is no statement"),
    ("camt.054", CAMT.replace(b"camt.053", b"camt.054"), "line 1: The file is camt.054.001.08;"),
    ("sum", CAMT.replace(b"6301.38", b"6301.39"), "line 5, element Stmt: The opening balance 0.00"),
    ("currency", CAMT.replace(b'"USD">2850', b'"EUR">2850'), "line 22, element Ntry/Amt: The am"),
    ("direction", CAMT.replace(b">DBIT<", b">DEBT<", 1), "line 9, element Bal/CdtDbtInd: This is"),
    ("no date", CAMT.replace(b"BookgDt", b"Bookd").replace(b"ValDt", b"Val"), "line 10, element N"),
    ("xml nan", CAMT.replace(b">2850.00", b">NaN"), "line 22, element Ntry/Amt: 'NaN' is no"),
    ("minus", CAMT.replace(b">2850.00", b">-2850.00"), "line 22, element Ntry/CdtDbtInd"),
    ("ofx amount", OFX.replace(b"-2850.00", b"1e3"), "line 32, element STMTTRN/TRNAMT: '1e3' is"),
    ("ofx date", OFX.replace(b"20261002", b"20261302"), "line 31, element STMTTRN/DTPOSTED: '2026"),
    ("ofx id", OFX.replace(b"<FITID>B202610002\n", b""), "line 29, element STMTTRN/FITID: This"),
    ("ofx tag", OFX.replace(b"RENT", b"< RENT"), "line 35: There is a < that begins no tag."),
    ("ofx end", OFX.replace(b"</STMTRS>", b""), "line 1"),
    ("ofx currency", OFX.replace(b"<CURDEF>USD", b"<CURDEF>X"), "line 23, element STMTTRN/TRNAMT"),
    ("ofx nothing", b"OFXHEADER:100\n\n<OFX>\n</OFX>", "line 1: There is no statement"),
    ("ofx bomb", b"<?xml version='1.0'?><!DOCTYPE a><OFX/>", "line 1: The XML has a document"),
    (
        "ofx correction",
        OFX.replace(b"<FITID>B202610002", b"<CORRECTACTION>REPLACE\n<FITID>B202610002"),
        "line 33, element STMTTRN/CORRECTACTION: The bank changes a line",
    ),
]


@pytest.mark.parametrize(("data", "says"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_a_hostile_or_broken_file_is_refused(data: bytes, says: str) -> None:
    """Whole, at once, with the place of the fault."""
    began = time.monotonic()
    assert fault(data, mapping=mapping()).startswith(says)
    assert time.monotonic() - began < 5


def test_all_faults_of_a_csv_file_are_counted_and_twenty_listed() -> None:
    """A file in which everything is wrong does not flood anybody."""
    with pytest.raises(Unreadable) as caught:
        statement(HEADER + b"x,y,z,1\n" * 1000, mapping=mapping())
    assert (len(caught.value.faults), caught.value.count) == (20, 1000)
    assert str(caught.value).endswith("and 980 more")


def test_many_tags_without_an_end_cost_seconds() -> None:
    """What makes careless patterns quadratic is read once."""
    for data in (
        b"OFXHEADER:100\n\n" + b"<A" * 1_000_000,
        b"<" * 3_000_000,
        b"<A><![CDATA[" * 9**5,
    ):
        began = time.monotonic()
        fault(data, mapping=mapping())
        assert time.monotonic() - began < 10


def test_csv_without_a_mapping_is_no_guess() -> None:
    """Nobody can know which column is what."""
    with pytest.raises(ReconcileError, match="by which mapping"):
        statement(CSV)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"columns": {"booking_date": "Date"}},
        {"columns": {**COLUMNS, "debit": "Out"}},
        {"columns": {**COLUMNS, "extra": "x"}},
        {"columns": COLUMNS, "date_format": "%d"},
        {"columns": COLUMNS, "date_format": "DD.DD.YYYY"},
        {"columns": COLUMNS, "date_format": "DMYYYY"},
        {"columns": COLUMNS, "encoding": "zip"},
        {"columns": COLUMNS, "delimiter": "::"},
        {"columns": COLUMNS, "decimal": ",", "thousands": ","},
        {"columns": COLUMNS, "skip_lines": 10**9},
        {"columns": {**COLUMNS, "description": []}},
    ],
)
def test_a_mapping_that_cannot_be_meant_is_refused(bad: dict[str, Any]) -> None:
    """When it is stored, not when a file is read by it."""
    with pytest.raises(mapping_schema.ValidationError):
        mapping_schema.load(bad)


def test_texts_are_made_harmless_and_short() -> None:
    """Control characters go, lines become one, and what is too long is cut."""
    data = HEADER + b'2026-10-01,1,"a\nb\x1b[2Jc",1\n' + b"2026-10-01,2," + b"x" * 900 + b",2\n"
    lines = statement(data, mapping=mapping()).lines
    assert lines[0].description == "a b[2Jc"
    assert len(lines[1].description or "") == 500
