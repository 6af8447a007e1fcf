"""A file of operations, read and checked as a whole before anything of it is accepted.

What passed is kept in a temporary file, in the shape in which it will be fed: so a file of any size
is checked once, takes little memory, and may change or come through a pipe meanwhile.
"""

import io
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from cli.records import Record, csv_records, is_json, json_records
from cli.rows import BadRow, CsvRows, Fault, Form, JsonRows, Row

# So many faults say what is wrong with a file; the rest is only counted.
FAULTS_SHOWN_MAX = 20
# How often the checker reports how far it is: ten to twenty times a second.
REPORT_EVERY_ROWS = 2_000

OnChecked = Callable[[int], None]


class Malformed(Exception):
    """The file is not what an import takes; nothing of it was accepted. The message lists why."""

    def __init__(self, path: Path, faults: list[Fault], count: int, *, fatal: bool) -> None:
        self.faults = faults
        self.count = count
        self.fatal = fatal  # the header is wrong: no row can be read
        name = shown_name(path)
        lines = [f"{name}: {fault}" for fault in faults]
        if count > len(faults):
            lines.append(f"{name}: and {count - len(faults)} more")
        super().__init__("\n".join(lines))


class CheckedFile:
    """The rows of a file, all of them well formed, or passed over with a fault."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._end = 0
        self._places: dict[str, int] = {}  # where the first row of each identity begins
        self.names: Iterable[str] = ()
        self.count = 0
        self.faults: list[Fault] = []
        self.fault_count = 0

    def __iter__(self) -> Iterator[Row]:
        self._spool.seek(0)
        for line in self._spool:
            yield Row(*orjson.loads(line))

    def add(self, row: Row, form: Form) -> None:
        """Keep the row; raises BadRow if another of its identity has other content."""
        identity = form.identity(row)
        first = self._places.setdefault(identity, self._end)
        if first != self._end:
            twin = self._row_at(first)
            if (twin.kind, twin.body) != (row.kind, row.body):
                message = f"{identity!r} stands in line {twin.line} too, with other content."
                raise BadRow((form.unique, message))
        self._write(row)

    def pass_over(self, record: Record, faults: list[Fault], cells: list[str]) -> None:
        """Count the faults, and keep the cells of the record as of one that is no operation."""
        self.fault_count += len(faults)
        self.faults += faults[: FAULTS_SHOWN_MAX - len(self.faults)]
        cells = [_as_utf8(cell) for cell in cells]
        self._write(
            Row(record.line, "", "", "", cells, "; ".join(fault.within for fault in faults))
        )

    def _row_at(self, place: int) -> Row:
        self._spool.seek(place)
        row = Row(*orjson.loads(self._spool.readline()))
        self._spool.seek(self._end)
        return row

    def _write(self, row: Row) -> None:
        self._end += self._spool.write(orjson.dumps([*row]) + b"\n")
        self.count += 1


@contextmanager
def checked(
    path: Path, form: Form, *, skip_malformed: bool = False, on_checked: OnChecked | None = None
) -> Iterator[CheckedFile]:
    """The checked file at `path` (`-`: standard input), as long as the context lasts.

    `skip_malformed` passes over the rows that are malformed; the header never is. `on_checked`
    hears how many rows were looked at. Raises Malformed, and OSError where there is no such file.
    """
    with _opened(path) as file, tempfile.TemporaryFile() as spool:
        kept = CheckedFile(spool)
        fatal = _check(file, form, kept, on_checked or (lambda _rows: None))
        if fatal or (kept.fault_count and not skip_malformed):
            raise Malformed(path, kept.faults, kept.fault_count, fatal=fatal)
        yield kept


def shown_name(path: Path) -> str:
    """How messages call the file."""
    return "standard input" if str(path) == "-" else path.name


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader]:
    if str(path) == "-":
        stdin = io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))
        try:
            yield cast(io.BufferedReader, stdin)
        finally:
            stdin.detach()
    else:
        with path.open("rb") as file:
            yield file


def _check(file: io.BufferedReader, form: Form, kept: CheckedFile, on_checked: OnChecked) -> bool:
    """Look at every record; whether the file cannot be imported at all."""
    shape: CsvRows | JsonRows
    if is_json(file):
        records, shape = json_records(file), JsonRows(form)
    else:
        records = csv_records(file)
        header = next(records, Record(1, [], broken=None))
        try:
            shape = CsvRows(header, form)
        except BadRow as error:
            faults = [Fault(header.line, *fault) for fault in error.faults]
            kept.pass_over(header, faults, header.cells)
            return True
    kept.names = shape.names
    for record in records:
        _look(record, shape, kept)
        if kept.count % REPORT_EVERY_ROWS == 0:
            on_checked(kept.count)
    on_checked(kept.count)
    return False


def _look(record: Record, shape: CsvRows | JsonRows, kept: CheckedFile) -> None:
    try:
        if record.broken is not None:
            raise BadRow(record.broken)
        kept.add(shape.row(record), shape.form)
    except BadRow as error:
        kept.pass_over(record, _faults(record, shape, error), shape.cells(record))


def _faults(record: Record, shape: CsvRows | JsonRows, error: BadRow) -> list[Fault]:
    """Bytes that are no text come before what is wrong with the text."""
    unreadable = shape.unreadable(record)
    if unreadable is not None:
        return [Fault(record.line, unreadable, "The text is not UTF-8.")]
    return [Fault(record.line, shape.where(member), message) for member, message in error.faults]


def _as_utf8(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
