"""The records of a CSV or NDJSON file, with the line where each begins.

Nothing is judged here but what keeps a record from being read at all: quotes that do not end, JSON
that is none. Bytes that are not UTF-8 come through as lone surrogates, which cost nothing to carry;
`bad_byte` finds them when a record is refused.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, NamedTuple, TextIO

from pipeline.strict_json import INTEGER_MAX_DIGITS, JsonError, loads

# A cell holds at most metadata: 50 members of 564 characters. What is longer is a quote that
# nobody closed, and is noticed after so many characters instead of at the end of the file.
CELL_MAX_CHARACTERS = 64 * 1024
# Enough of the file to see what it is: white space, then `{` or a header.
PEEK_BYTES = 4096

CELL = re.compile(r'"(?:[^"]|"")*"(?=[,\r\n]|$)|[^",\r\n][^,\r\n]*|(?=[,\r\n]|$)')

# A string or a number of JSON: to find the number that is no integer.
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|NaN|-?Infinity')


class Broken(NamedTuple):
    """Why a record cannot be read: `where` in its line, in words."""

    where: str
    message: str


class Record(NamedTuple):
    """One record. `cells` are those of CSV, or the one text of a line of NDJSON."""

    line: int
    cells: list[str]
    value: Any = None  # NDJSON: the parsed JSON
    broken: Broken | None = None


def is_json(file: io.BufferedReader) -> bool:
    """Whether the file begins as JSON does."""
    start = file.peek(PEEK_BYTES).removeprefix(b"\xef\xbb\xbf").lstrip()
    return start.startswith((b"{", b"["))


def bad_byte(text: str) -> int | None:
    """Where in the text the first byte stands that is not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None


def csv_records(file: BinaryIO) -> Iterator[Record]:
    """The records of a CSV file, its header first. Empty lines are left out."""
    # The csv module sees to line ends by itself, and to those within quotes.
    with _text(file, newline="") as stream:
        yield from _csv_records(stream)


def _csv_records(stream: TextIO) -> Iterator[Record]:
    csv.field_size_limit(CELL_MAX_CHARACTERS)
    read: list[str] = []
    reader = csv.reader(_remembered(stream, read), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            text = "".join(read).rstrip("\r\n")
            yield Record(line, [text], broken=_broken_quotes(text))
        else:
            if any(cells):
                yield Record(line, cells)
        read.clear()


@contextmanager
def _text(file: BinaryIO, newline: str) -> Iterator[TextIO]:
    """The file as text, without its byte order mark. It stays open."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=newline)
    try:
        yield text
    finally:
        text.detach()


def _remembered(stream: Iterable[str], read: list[str]) -> Iterator[str]:
    for line in stream:
        read.append(line)
        yield line


def _broken_quotes(text: str) -> Broken:
    """Which cell it is that has no end, or goes on after it."""
    place = column = 0
    while match := CELL.match(text, place):
        if len(match[0]) > CELL_MAX_CHARACTERS:
            return Broken(
                f"column {column + 1}", f"A cell has up to {CELL_MAX_CHARACTERS} characters."
            )
        column += 1
        place = match.end() + 1
        if text[match.end() : place] != ",":
            break
    return Broken(
        f"column {column + 1}",
        "The quotes of this cell do not end where the cell does; a quote within it is doubled.",
    )


def json_records(file: BinaryIO) -> Iterator[Record]:
    """The lines of an NDJSON file. Empty lines are left out."""
    with _text(file, newline="\n") as stream:
        for line, text in enumerate(stream, start=1):
            if text.strip():
                yield _json_record(line, text.strip())


def _json_record(line: int, text: str) -> Record:
    try:
        return Record(line, [text], value=loads(text))
    except JsonError as error:
        return Record(line, [text], broken=_broken_json(text, error))


def _broken_json(text: str, error: JsonError) -> Broken:
    try:
        json.loads(text)
    except json.JSONDecodeError as fault:
        return Broken(f"column {fault.colno}", f"This is not JSON: {fault.msg}.")
    except (RecursionError, ValueError):
        pass
    number = next(filter(_is_bad_number, TOKEN.finditer(text)), None)
    return Broken("" if number is None else f"column {number.start() + 1}", str(error))


def _is_bad_number(token: re.Match[str]) -> bool:
    digits = token[0].lstrip("-")
    return digits[0] != '"' and (not digits.isdigit() or len(digits) > INTEGER_MAX_DIGITS)
