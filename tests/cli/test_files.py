"""What a file of operations may look like, and what is said of one that does not."""

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cli.files import CheckedFile, Malformed, checked
from cli.rows import ACCOUNTS, OPERATIONS, Form, Row

HEADER = "idempotency_key,kind,source,destination,amount,currency,effective_date,description"
GOOD = "k1,transfer,a,b,12.50,EUR,2026-10-01,rent"


def rows_of(tmp_path: Path, content: bytes | str, form: Form = OPERATIONS) -> list[Row]:
    """The rows of a file that is well formed."""
    path = tmp_path / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with checked(path, form) as file:
        return list(file)


def faults_of(tmp_path: Path, content: bytes | str, form: Form = OPERATIONS) -> list[str]:
    """What is said of a file that is malformed."""
    with pytest.raises(Malformed) as caught:
        rows_of(tmp_path, content, form)
    return [str(fault) for fault in caught.value.faults]


def body_of(tmp_path: Path, header: str, line: str, form: Form = OPERATIONS) -> dict[str, Any]:
    """The body of the one row of a file."""
    (row,) = rows_of(tmp_path, f"{header}\n{line}\n", form)
    body: dict[str, Any] = json.loads(row.body)
    return body


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\n{GOOD}\n",
        f"{HEADER}\n{GOOD}",
        f"{HEADER}\r\n{GOOD}\r\n",
        f"\ufeff{HEADER}\r\n{GOOD}\r\n",
        f"\n{HEADER}\n\n{GOOD}\n\n,,,,,,,\n",
        f'{HEADER}\n"k1","transfer","a","b","12.50","EUR","2026-10-01","rent"\n',
    ],
    ids=["unix", "no end", "windows", "excel", "blank lines", "quotes"],
)
def test_all_spellings_of_a_file_are_the_same_operation(tmp_path: Path, content: str) -> None:
    """Byte order mark, line ends, blank lines and quotes make no difference."""
    (row,) = rows_of(tmp_path, content)
    assert (row.key, row.kind) == ("k1", "transfer")
    assert json.loads(row.body) == {
        "source": "a",
        "destination": "b",
        "amount": 1250,
        "currency": "EUR",
        "effective_date": "2026-10-01",
        "description": "rent",
    }


def test_csv_and_ndjson_spell_the_same_operation(tmp_path: Path) -> None:
    """A row and a line of JSON with the same content have the same canonical body."""
    line = {
        "kind": "transfer",
        "idempotency_key": "k1",
        "description": "rent",
        "amount": 1250,
        "currency": "EUR",
        "source": "a",
        "destination": "b",
        "effective_date": "2026-10-01",
    }
    (from_json,) = rows_of(tmp_path, "\n" + json.dumps(line) + "\r\n\n")
    (from_csv,) = rows_of(tmp_path, f"{HEADER}\n{GOOD}\n")
    assert from_json[1:4] == from_csv[1:4]


def test_an_empty_cell_is_an_absent_member(tmp_path: Path) -> None:
    """Optional columns may be left empty."""
    body = body_of(tmp_path, HEADER, "k1,transfer,a,b,12.50,EUR,,")
    assert body == {"source": "a", "destination": "b", "amount": 1250, "currency": "EUR"}


def test_a_cell_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    """Quoted text comes through as it is."""
    text = 'bread, "fresh"\nand milk'
    quoted = text.replace('"', '""')
    body = body_of(tmp_path, HEADER, f'k1,transfer,a,b,1,EUR,,"{quoted}"')
    assert body["description"] == text


def test_metadata_is_a_json_object(tmp_path: Path) -> None:
    """A cell may hold the object that the API takes."""
    header = "idempotency_key,kind,source,destination,amount_minor,currency,metadata"
    body = body_of(tmp_path, header, 'k1,transfer,a,b,7,EUR,"{""order"":""8123"",""n"":2}"')
    assert body["metadata"] == {"order": "8123", "n": 2}
    assert body["amount"] == 7


@pytest.mark.parametrize(
    ("overdraft", "stored"),
    [("none", 0), ("", 0), ("unlimited", "unlimited"), ("500.00", 50000), ("0.01", 1)],
)
def test_an_overdraft_is_none_unlimited_or_an_amount(
    tmp_path: Path, overdraft: str, stored: int | str
) -> None:
    """What a person writes becomes what the log stores."""
    body = body_of(
        tmp_path, "code,type,currency,overdraft", f"a,liability,EUR,{overdraft}", ACCOUNTS
    )
    assert body["overdraft"] == stored


def test_an_account_row_is_the_same_operation_whenever_it_is_read(tmp_path: Path) -> None:
    """The key follows from the content: the same row replays, a corrected one does not."""
    header = "code,type,currency,overdraft\n"
    (first,) = rows_of(tmp_path, f"{header}a,liability,EUR,none\n", ACCOUNTS)
    (again,) = rows_of(tmp_path, f"{header}a,liability,EUR,\n", ACCOUNTS)
    (other,) = rows_of(tmp_path, f"{header}a,liability,USD,none\n", ACCOUNTS)
    assert first.key == again.key != other.key


FAULTS: list[tuple[str, str | bytes, list[str]]] = [
    ("empty", "", ["line 1: The file is empty."]),
    (
        "unknown column",
        f"{HEADER},color\n",
        ["line 1, column 9 (color): The column 'color' is unknown."],
    ),
    ("column twice", f"{HEADER},kind\n", ["line 1, column 9 (kind): The header names"]),
    (
        "semicolons",
        HEADER.replace(",", ";") + "\n",
        [
            "line 1, column 1: Cells are separated by commas",
            "line 1: The header has no column 'idempotency_key'",
            "line 1: The header has no column 'kind'",
        ],
    ),
    ("too few", f"{HEADER}\n{GOOD}\nk2,transfer\n", ["line 3, column 3: The row has 2 cells"]),
    ("too many", f"{HEADER}\n{GOOD},x\n", ["line 2, column 9: The row has 9 cells"]),
    (
        "decimals",
        f"{HEADER}\nk1,transfer,a,b,12.345,EUR,,\n",
        ["line 2, column 5 (amount): 12.345 has 3 decimals; EUR has 2."],
    ),
    (
        "zero",
        f"{HEADER}\nk1,transfer,a,b,0.00,EUR,,\n",
        ["line 2, column 5 (amount): An amount is from 1 to"],
    ),
    (
        "negative",
        f"{HEADER}\nk1,transfer,a,b,-5,EUR,,\n",
        ["line 2, column 5 (amount): An amount is from 1 to"],
    ),
    (
        "no currency",
        f"{HEADER}\nk1,transfer,a,b,5,,,\n",
        ["line 2, column 5 (amount): A decimal needs the row's currency"],
    ),
    (
        "unlisted currency",
        f"{HEADER}\nk1,transfer,a,b,5,XYZ,,\n",
        ["line 2, column 5 (amount): ISO 4217 does not list 'XYZ'"],
    ),
    (
        "two faults",
        f"{HEADER}\nk1,transfer,a b,b,5,EUR,2026-02-30,\n",
        [
            "line 2, column 7 (effective_date): A date is written YYYY-MM-DD",
            "line 2, column 3 (source): 'a b' is no account code",
        ],
    ),
    ("kind", f"{HEADER}\nk1,transfre,a,b,5,EUR,,\n", ["line 2, column 2 (kind): A kind is one of"]),
    (
        "journal",
        f"{HEADER}\nk1,journal,a,b,5,EUR,,\n",
        ["line 2, column 2 (kind): A journal does not fit into columns: use NDJSON."],
    ),
    (
        "no key",
        f"{HEADER}\n,transfer,a,b,5,EUR,,\n",
        ["line 2, column 1 (idempotency_key): An idempotency key is 1 to 255"],
    ),
    (
        "key of ours",
        f"{HEADER}\ntrident:1,transfer,a,b,5,EUR,,\n",
        ["line 2, column 1 (idempotency_key): Keys that begin with trident:"],
    ),
    (
        "key twice",
        f"{HEADER}\n{GOOD}\n\n{GOOD.replace('12.50', '12.51')}\n",
        ["line 4, column 1 (idempotency_key): 'k1' stands in line 2 too, with other content."],
    ),
    (
        "not UTF-8",
        f"{HEADER}\nk1,transfer,a,b,5,EUR,,café\n".encode("latin-1"),
        ["line 2, column 8: The text is not UTF-8."],
    ),
    (
        "NUL",
        f"{HEADER}\nk1,transfer,a,b,5,EUR,,x\0y\n",
        ["line 2, column 8 (description): Text holds no control characters."],
    ),
    (
        "text after a quote",
        f'{HEADER}\nk1,transfer,"a"b,b,5,EUR,,\nk2,transfer,a,b,0,EUR,,\n',
        [
            "line 2, column 3: The quotes of this cell do not end",
            "line 3, column 5 (amount): An amount is from 1 to",
        ],
    ),
    (
        "quote without end",
        f'{HEADER}\n{GOOD}\nk2,transfer,a,b,5,EUR,,"rent\nand more\n',
        ["line 3, column 8: The quotes of this cell do not end"],
    ),
    (
        "endless cell",
        f"{HEADER}\nk1,transfer,a,b,5,EUR,,{'x' * 70_000}\n",
        ["line 2, column 8: A cell has up to 65536 characters."],
    ),
    (
        "both amounts",
        "idempotency_key,kind,source,destination,amount,amount_minor,currency\n"
        "k1,transfer,a,b,5,500,EUR\n",
        ["line 2, column 6 (amount_minor): Give amount or amount_minor, not both."],
    ),
    (
        "minor units with a point",
        "idempotency_key,kind,source,destination,amount_minor,currency\nk1,transfer,a,b,5.0,EUR\n",
        ["line 2, column 5 (amount_minor): '5.0' is no integer in minor units."],
    ),
    (
        "minor units of zero",
        "idempotency_key,kind,source,destination,amount_minor,currency\nk1,transfer,a,b,0,EUR\n",
        ["line 2, column 5 (amount_minor): An amount is from 1 to"],
    ),
    ("JSON syntax", '{"kind": "transfer",}\n', ["line 1, column 21: This is not JSON"]),
    (
        "JSON float",
        '{"kind":"x"}\n{"amount": 12.5}\n',
        ["line 1, member kind", "line 2, column 12"],
    ),
    ("JSON name twice", '{"amount":1,"amount":1000}\n', ["line 1: The JSON names the member"]),
    ("JSON array", '[{"kind":"transfer"}]\n', ["line 1, column 1: Each line is a JSON object"]),
    ("JSON depth", "{" + '"a":{' * 100_000 + "\n", ["line 1: The JSON is nested too deeply."]),
    ("JSON NaN", '{"a":"NaN","b":NaN}\n', ["line 1, column 16: The JSON holds NaN"]),
    ("JSON digits", '{"a":' + "9" * 5000 + "}\n", ["line 1, column 6: The JSON holds an integer"]),
    ("JSON not UTF-8", b'{"kind":"\xff"}\n', ["line 1, column 10: The text is not UTF-8."]),
    (
        "JSON members",
        '{"kind":"transfer","idempotency_key":"k","source":"a","destination":"b","amount":"5",'
        '"currency":"EUR","extra":1}\n',
        ["line 1, member amount: An amount is an integer", "line 1, member extra: This member"],
    ),
    (
        "JSON journal",
        '{"kind":"journal","idempotency_key":"k","legs":[{"account":"a","direction":"up",'
        '"amount":1,"currency":"EUR"},{"account":"b","direction":"debit","amount":1,'
        '"currency":"EUR"}]}\n',
        ["line 1, member legs.0.direction: Must be one of"],
    ),
]


@pytest.mark.parametrize(
    ("content", "expected"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_fault_is_named_by_line_and_column(
    tmp_path: Path, content: str | bytes, expected: list[str]
) -> None:
    """What is wrong is said where it is, and nothing else is."""
    found = faults_of(tmp_path, content)
    assert len(found) == len(expected), found
    for fault, beginning in zip(found, expected, strict=True):
        assert fault.startswith(beginning)


def test_a_file_of_another_kind_is_no_crash(tmp_path: Path) -> None:
    """Any bytes are a file that is malformed."""
    assert faults_of(tmp_path, gzip.compress(b"kind"))


def test_the_same_row_twice_is_the_same_operation(tmp_path: Path) -> None:
    """An equal row under an equal key is no fault: the log takes it once."""
    assert len(rows_of(tmp_path, f"{HEADER}\n{GOOD}\n{GOOD}\n")) == 2


def test_two_rows_may_not_open_one_account_in_two_ways(tmp_path: Path) -> None:
    """For accounts it is the code that stands for one content."""
    content = "code,type,currency,overdraft\na,liability,EUR,none\na,asset,EUR,none\n"
    assert faults_of(tmp_path, content, ACCOUNTS) == [
        "line 3, column 1 (code): 'a' stands in line 2 too, with other content."
    ]


def test_the_first_twenty_faults_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    """A file in which everything is wrong does not flood the terminal."""
    path = tmp_path / "many.csv"
    path.write_text(HEADER + "\n" + "k,transfer,a,b,0,EUR,,\n" * 321)
    with pytest.raises(Malformed) as caught, checked(path, OPERATIONS):
        pass
    assert (len(caught.value.faults), caught.value.count) == (20, 321)
    assert str(caught.value).endswith("many.csv: and 301 more")


def test_malformed_rows_can_be_passed_over(tmp_path: Path) -> None:
    """They stay in their places, with what is wrong with them, and no operation."""
    path = tmp_path / "some.csv"
    path.write_bytes(f"{HEADER}\n{GOOD}\nk2,transfer,a,b,0,EUR,,café\n".encode("latin-1"))
    with checked(path, OPERATIONS, skip_malformed=True) as file:
        good, bad = file
    assert (good.line, good.fault) == (2, "")
    assert (bad.line, bad.fault) == (3, "column 8: The text is not UTF-8.")
    assert bad.cells[0] == "k2"


def test_a_file_without_a_usable_header_is_never_passed_over(tmp_path: Path) -> None:
    """Without a header no row can be read."""
    path = tmp_path / "none.csv"
    path.write_text("name\nx\n")
    with pytest.raises(Malformed) as caught, checked(path, OPERATIONS, skip_malformed=True):
        pass
    assert caught.value.fatal


def test_rows_are_found_by_their_key_however_many_there_are() -> None:
    """A repeated key is compared with the row that had it first."""
    file = CheckedFile(io.BytesIO())
    for number in range(1000):
        file.add(Row(number, f"k{number}", "transfer", f'{{"n":{number}}}', []), OPERATIONS)
    file.add(Row(1001, "k500", "transfer", '{"n":500}', []), OPERATIONS)
    assert file.count == 1001
