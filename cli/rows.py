"""From a record of a file to an operation in the API's shape, checked by the kind's own schema.

CSV cells become members (cells.py); an empty cell is an absent member.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

import orjson
from marshmallow import ValidationError, fields

from cli.cells import BadRow, Members, convert
from cli.records import Record, bad_byte
from cli.withheld import csv_cells, json_cells
from pipeline.currencies import currencies_of
from pipeline.idempotency import RESERVED, BadKey, check_key
from pipeline.kinds import OFFERED
from pipeline.kinds.kind import Kind
from pipeline.strict_json import canonical

KEY = "idempotency_key"
KIND = "kind"
# The columns that `FILE.rejected.csv` adds: such a file, corrected, can be imported as it is.
REJECTED = ("rejected_line", "rejected_code", "rejected_detail")


class Row(NamedTuple):
    """One operation of a file. `body` is canonical JSON; `cells` are as they came, but for what is
    personal.

    A malformed row that is passed over has a `fault` instead of key, kind and body.
    """

    line: int
    key: str
    kind: str
    body: str
    cells: list[str]
    fault: str = ""


class Fault(NamedTuple):
    """What is wrong, and where: in words such as `column 5 (amount)`."""

    line: int
    where: str
    message: str

    def __str__(self) -> str:
        return (
            f"line {self.line}, {self.within}"
            if self.where
            else f"line {self.line}: {self.message}"
        )

    @property
    def within(self) -> str:
        """Place and message within the line."""
        return f"{self.where}: {self.message}" if self.where else self.message


def _nested_members(kind: Kind) -> dict[str, bool]:
    """The members of the kind that do not fit into a cell, and whether they must be there."""
    members = kind.schema.fields.items()
    nested = fields.List | fields.Nested
    return {name: field.required for name, field in members if isinstance(field, nested)}


FLAT_MEMBERS = frozenset(
    name
    for kind in OFFERED.values()
    for name in kind.schema.fields.keys() - _nested_members(kind).keys()
)
NESTED_KINDS = frozenset(
    name for name, kind in OFFERED.items() if any(_nested_members(kind).values())
)


@dataclass(frozen=True)
class Form:
    """What a file is about: its columns, and how members become a key and a kind."""

    columns: frozenset[str]
    required: tuple[str, ...]
    address: Callable[[Members], tuple[str | None, str]]  # takes both out of the members
    unique: str  # the member that two rows of other content may not share
    identity: Callable[[Row], str]  # and how to read it
    currencies: frozenset[str] | None = None  # those of the tenant; None: any

    def row(self, line: int, cells: list[str], members: Members) -> Row:
        """The operation that these members are; raises BadRow."""
        key, kind = self.address(members)
        try:
            loaded = OFFERED[kind].schema.load(members)
            body = canonical(loaded)
        except ValidationError as error:
            raise BadRow(*sorted(flatten(error.messages))) from None
        except orjson.JSONEncodeError:
            raise BadRow(("", "The text is not UTF-8.")) from None
        if self.currencies is not None:
            for currency in currencies_of(kind, loaded):
                if currency not in self.currencies:
                    raise BadRow(("currency", f"{currency} is none of the tenant's currencies."))
        return Row(line, key or account_key(members["code"], body), kind, body.decode(), cells)


def of_operation(members: Members) -> tuple[str, str]:
    """The key and the kind that the row names."""
    kind = members.pop(KIND, None)
    if not isinstance(kind, str) or kind not in OFFERED:
        raise BadRow((KIND, f"A kind is one of {', '.join(OFFERED)}."))
    try:
        key = check_key(members.pop(KEY, None))
    except BadKey as error:
        raise BadRow((KEY, str(error))) from None
    if key.startswith(RESERVED):
        raise BadRow((KEY, f"Keys that begin with {RESERVED} are Trident's own."))
    return key, kind


def of_account(_members: Members) -> tuple[None, str]:
    """Opening an account; its key follows from its content."""
    return None, "open_account"


def account_key(code: str, body: bytes) -> str:
    """The same row is the same operation; a corrected one is another."""
    return f"account:{code}:{hashlib.sha256(body).hexdigest()[:16]}"


OPERATIONS = Form(
    FLAT_MEMBERS | {KEY, KIND, "amount_minor", "overdraft_minor"},
    (KEY, KIND),
    of_operation,
    KEY,
    attrgetter("key"),
)
ACCOUNTS = Form(
    frozenset(OFFERED["open_account"].schema.fields) | {"overdraft_minor"},
    ("code", "type", "currency", "overdraft"),
    of_account,
    "code",
    lambda row: str(orjson.loads(row.body)["code"]),
)


class CsvRows:
    """The rows of a CSV file whose header is this record; raises BadRow."""

    def __init__(self, header: Record, form: Form) -> None:
        self.names = header.cells
        self.form = form
        faults = [*_header_faults(self.names, form)] if self.names else [("", "The file is empty.")]
        if faults:
            raise BadRow(*faults)

    def row(self, record: Record) -> Row:
        """The operation of one record; raises BadRow."""
        cells = record.cells
        if len(cells) != len(self.names):
            raise BadRow(self._miscounted(cells))
        members = {name: cell for name, cell in zip(self.names, cells, strict=True) if cell}
        for name in REJECTED:
            members.pop(name, None)
        if members.get(KIND) in NESTED_KINDS:
            raise BadRow((KIND, f"A {members[KIND]} does not fit into columns: use NDJSON."))
        convert(members)
        return self.form.row(record.line, self.cells(record), members)

    def cells(self, record: Record) -> list[str]:
        """What may be written of the record."""
        return csv_cells(record, self.names)

    def where(self, name: str) -> str:
        """The place of a member's column in words; a member that has none is named alone."""
        for column in (name, f"{name}_minor"):
            if column in self.names:
                return f"column {self.names.index(column) + 1} ({column})"
        return name

    def unreadable(self, record: Record) -> str | None:
        """The place of a cell whose bytes are not UTF-8."""
        for column, cell in enumerate(record.cells, start=1):
            if bad_byte(cell) is not None:
                return f"column {column}"
        return None

    def _miscounted(self, cells: list[str]) -> tuple[str, str]:
        have, want = len(cells), len(self.names)
        place = f"column {min(have, want) + 1}"
        return place, f"The row has {have} cells; the header has {want}."


class JsonRows:
    """The rows of an NDJSON file."""

    names: tuple[str, ...] = ("operation",)

    def __init__(self, form: Form) -> None:
        self.form = form

    def row(self, record: Record) -> Row:
        """The operation of one record; raises BadRow."""
        if not isinstance(record.value, dict):
            raise BadRow(("column 1", "Each line is a JSON object; this one is none."))
        return self.form.row(record.line, self.cells(record), dict(record.value))

    def cells(self, record: Record) -> list[str]:
        """What may be written of the record."""
        return json_cells(record)

    def where(self, name: str) -> str:
        """Members have names, and no place that would stay."""
        return f"member {name}" if name and " " not in name else name

    def unreadable(self, record: Record) -> str | None:
        """The place of a byte that is not UTF-8."""
        at = bad_byte(record.cells[0])
        return None if at is None else f"column {at + 1}"


def _header_faults(names: list[str], form: Form) -> Iterator[tuple[str, str]]:
    for place, name in enumerate(names, start=1):
        where = f"column {place} ({name})"
        if name in names[: place - 1]:
            yield where, f"The header names the column {name!r} twice."
        elif ";" in name:
            yield f"column {place}", "Cells are separated by commas, not by semicolons."
        elif name not in form.columns and name not in REJECTED:
            yield (
                where,
                f"The column {name!r} is unknown. Known: {', '.join(sorted(form.columns))}.",
            )
    for name in form.required:
        if name not in names:
            yield "", f"The header has no column {name!r}."


def flatten(messages: Any, path: str = "") -> list[tuple[str, str]]:
    """Marshmallow's messages as (member, message); members of members are joined by dots."""
    if isinstance(messages, dict):
        return [
            fault
            for name, inner in messages.items()
            for fault in flatten(inner, f"{path}.{name}" if path else str(name))
        ]
    return [(path, str(message)) for message in messages]
