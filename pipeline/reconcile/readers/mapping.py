"""A CSV mapping: which column of a bank's export is what, and how it writes dates and amounts.

{"columns": {"booking_date": "Buchungstag", "amount": "Betrag", "reference": "Kundenreferenz",
             "description": ["Buchungstext", "Verwendungszweck"]},
 "date_format": "DD.MM.YYYY", "decimal": ",", "thousands": ".", "delimiter": ";",
 "encoding": "iso-8859-1"}
"""

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate, validates_schema

# Decoders that are tables or UTF: no code that unpacks or guesses.
ENCODINGS = (
    "utf-8",
    "utf-16",
    "iso-8859-1",
    "iso-8859-2",
    "iso-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
)
DELIMITERS = (",", ";", "\t", "|")
SIGNS = ("credit_positive", "debit_positive")
COLUMN_MAX_LENGTH = 100
COLUMNS_MAX = 10
# Some banks print their address and the account over the table.
SKIP_LINES_MAX = 100
MAPPING_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")

DATE_PARTS = {
    "YYYY": r"(?P<year>[0-9]{4})",
    "YY": r"(?P<year>[0-9]{2})",
    "MM": r"(?P<month>[0-9]{2})",
    "M": r"(?P<month>[0-9]{1,2})",
    "DD": r"(?P<day>[0-9]{2})",
    "D": r"(?P<day>[0-9]{1,2})",
}
DATE_FORMAT = re.compile(r"(YYYY|YY|MM|M|DD|D)([-./ ]?)(YYYY|YY|MM|M|DD|D)\2(YYYY|YY|MM|M|DD|D)")


class Columns(fields.Field[Any]):
    """The name of a column, or of several whose texts belong together."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        names = [value] if isinstance(value, str) else value
        if (
            not isinstance(names, list)
            or not 1 <= len(names) <= COLUMNS_MAX
            or not all(isinstance(one, str) and 0 < len(one) <= COLUMN_MAX_LENGTH for one in names)
        ):
            raise ValidationError("A column is named by its header, several by a list of them.")
        return list(names)


def _column(*, required: bool = False) -> fields.String:
    return fields.String(
        required=required,
        validate=validate.Length(1, COLUMN_MAX_LENGTH),
        metadata={"description": "The header of the column."},
    )


def _columns(description: str) -> Columns:
    text = {"type": "string"}
    shape = {"oneOf": [text, {"type": "array", "items": text}], "description": description}
    return Columns(metadata=shape)


class ColumnsSchema(Schema):
    """Which column is what; `amount`, or `debit` and `credit`."""

    class Meta:
        unknown = RAISE

    booking_date = _column(required=True)
    value_date = _column()
    amount = _column()
    debit = _column()
    credit = _column()
    currency = _column()
    balance = _column()
    id = _column()
    reference = _columns("What identifies the payment: an end-to-end id, an invoice's number.")
    description = _columns("What a person reads.")
    counterparty = _column()
    counterparty_account = _column()

    @validates_schema
    def one_amount(self, data: dict[str, Any], **_: Any) -> None:
        """The amount stands in one signed column or in two without a sign."""
        two = {"debit", "credit"} & data.keys()
        if ("amount" in data) == bool(two):
            raise ValidationError("Name either `amount` or both `debit` and `credit`.", "amount")
        if len(two) == 1:
            raise ValidationError("Name both `debit` and `credit`.", "debit")


def check_date_format(value: str) -> None:
    """Day, month and year, each once, with one separator or none."""
    match = DATE_FORMAT.fullmatch(value)
    if match is None or {part[0] for part in match.group(1, 3, 4)} != {"D", "M", "Y"}:
        raise ValidationError("A date format is such as DD.MM.YYYY, D/M/YY or YYYY-MM-DD.")
    if not match[2] and {"D", "M"} & set(match.group(1, 3, 4)):
        raise ValidationError("Without a separator day and month have two digits: YYYYMMDD.")


def _choice(choices: tuple[str, ...], default: str, description: str) -> fields.String:
    return fields.String(
        load_default=default,
        validate=validate.OneOf(choices),
        metadata={"description": description},
    )


class MappingSchema(Schema):
    """How to read a bank's CSV export."""

    class Meta:
        unknown = RAISE

    columns = fields.Nested(ColumnsSchema, required=True)
    date_format = fields.String(
        load_default="YYYY-MM-DD",
        validate=check_date_format,
        metadata={"description": "Such as DD.MM.YYYY; two digits of a year are of this century."},
    )
    decimal = _choice((".", ","), ".", "What stands before the cents.")
    thousands = _choice(("", ".", ",", " ", "'"), "", "What stands between thousands, if anything.")
    sign = _choice(
        SIGNS, "credit_positive", "debit_positive: what the bank debits stands there without minus."
    )
    delimiter = _choice(DELIMITERS, ",", "What stands between cells.")
    encoding = _choice(ENCODINGS, "utf-8", "A byte order mark goes before it.")
    skip_lines = fields.Integer(
        load_default=0,
        strict=True,
        validate=validate.Range(0, SKIP_LINES_MAX),
        metadata={"description": "Lines before the header."},
    )

    @validates_schema
    def separators_differ(self, data: dict[str, Any], **_: Any) -> None:
        """One character cannot be both."""
        if data.get("decimal") == data.get("thousands"):
            raise ValidationError("`decimal` and `thousands` are the same.", "thousands")


def load(mapping: Any) -> dict[str, Any]:
    """The mapping with its defaults; raises marshmallow's ValidationError."""
    return dict(MappingSchema().load(mapping))


def date_pattern(date_format: str) -> re.Pattern[str]:
    """What a date of the format looks like, its parts named."""
    match = DATE_FORMAT.fullmatch(date_format)
    assert match is not None, date_format
    separator = re.escape(match[2])
    return re.compile(separator.join(DATE_PARTS[part] for part in match.group(1, 3, 4)))


def named_columns(columns: Mapping[str, Any]) -> list[str]:
    """All headers that the mapping names."""
    found: list[str] = []
    for value in columns.values():
        found += value if isinstance(value, list) else [value]
    return found
