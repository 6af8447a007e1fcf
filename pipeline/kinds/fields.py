"""The fields that kinds are made of: each says what is wrong with a value, in words for a person.

Shapes only: what needs no meaning and no state. A shape error is a 422 at the edge (or a line and
column in a file), and nothing is stored.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, missing, validate

from models.operation import parse_id
from pipeline.kinds import personals
from pipeline.ledger import AMOUNT_MAX
from pipeline.times import parse_time

CODE_MAX_LENGTH = 128
CODE_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@/-]*(:[A-Za-z0-9_][A-Za-z0-9_.@/-]*)*")
CURRENCY_PATTERN = re.compile(r"[A-Z]{3}")
DESCRIPTION_MAX_LENGTH = 500
# Metadata is for references, not for documents: the log keeps it for ever.
METADATA_MAX_MEMBERS = 50
METADATA_NAME_MAX_LENGTH = 64
METADATA_VALUE_MAX_LENGTH = 500
INTEGER_MAX = 2**63 - 1


class _Shape(fields.Field[Any]):
    """A field whose whole check is one function: value in, value out, or ValidationError."""

    def __init__(self, check: Any, api: Mapping[str, Any], **kwargs: Any) -> None:
        super().__init__(metadata={**api, **kwargs.pop("metadata", {})}, **kwargs)
        self._check = check

    def deserialize(
        self, value: Any, attr: str | None = None, data: Any = None, **kwargs: Any
    ) -> Any:
        """As any field's, without its detours: every operation passes some ten of these."""
        if value is missing and not self.required and self.load_default is missing:
            return value
        if value is missing or value is None:
            return super().deserialize(value, attr, data, **kwargs)
        return self._check(value)


def shape(check: Any, api: Mapping[str, Any], **kwargs: Any) -> fields.Field[Any]:
    """A field whose whole check is `check`; `api` is how OpenAPI describes it."""
    return _Shape(check, api, **kwargs)


def check_code(value: Any) -> str:
    """An account's code: `customers:42`."""
    if not isinstance(value, str):
        raise ValidationError("An account code is a string such as customers:42.")
    if len(value) > CODE_MAX_LENGTH or not CODE_PATTERN.fullmatch(value):
        raise ValidationError(
            f"{value[:40]!r} is no account code: parts of letters, digits and _ . @ / - joined by"
            f" colons, at most {CODE_MAX_LENGTH} characters."
        )
    return value


def check_currency(value: Any) -> str:
    """Three capital letters; whether ISO 4217 knows them is a question of meaning."""
    if not isinstance(value, str) or not CURRENCY_PATTERN.fullmatch(value):
        raise ValidationError("A currency is three capital letters of ISO 4217, such as USD.")
    return value


def check_integer(value: Any, least: int, most: int, what: str) -> int:
    """An integer (no bool, no float, no string) from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValidationError(f"{what} is an integer in minor units, such as 1250 for 12.50.")
    if not least <= value <= most:
        raise ValidationError(f"{what} is from {least} to {most} minor units; {value} is not.")
    return value


def check_amount(value: Any) -> int:
    """A positive amount in minor units."""
    return check_integer(value, 1, AMOUNT_MAX, "An amount")


def check_overdraft(value: Any) -> int | str:
    """Minor units that the balance may go below zero, or "unlimited"."""
    if value == "unlimited":
        return "unlimited"
    if isinstance(value, str):
        raise ValidationError('An overdraft is an integer in minor units, or "unlimited".')
    return check_integer(value, 0, AMOUNT_MAX, "An overdraft")


def check_text(value: Any, most: int) -> str:
    """Text of 1 to `most` characters, without control characters other than tab and newline."""
    if not isinstance(value, str):
        raise ValidationError("This is text.")
    if not 1 <= len(value) <= most:
        raise ValidationError(f"Text is of 1 to {most} characters; this one has {len(value)}.")
    if not value.isprintable() and any(ord(c) < ord(" ") and c not in "\t\n" for c in value):
        raise ValidationError("Text holds no control characters.")
    return value


def check_date(value: Any) -> str:
    """An ISO 8601 calendar date, YYYY-MM-DD."""
    try:
        if isinstance(value, str) and dt.date.fromisoformat(value).isoformat() == value:
            return value
    except ValueError:
        pass
    raise ValidationError("A date is written YYYY-MM-DD, such as 2026-11-22.")


def check_metadata(value: Any) -> dict[str, str | int | bool]:
    """A flat object of short strings, integers and booleans."""
    if not isinstance(value, dict) or len(value) > METADATA_MAX_MEMBERS:
        raise ValidationError(f"Metadata is an object of at most {METADATA_MAX_MEMBERS} members.")
    for name, member in value.items():
        if not 1 <= len(name) <= METADATA_NAME_MAX_LENGTH:
            raise ValidationError(
                f"A metadata name has 1 to {METADATA_NAME_MAX_LENGTH} characters."
            )
        if isinstance(member, str):
            fine = len(member) <= METADATA_VALUE_MAX_LENGTH
        else:
            fine = isinstance(member, int) and abs(member) <= INTEGER_MAX
        if not fine:
            raise ValidationError(
                f"Metadata {name!r} is a string of at most {METADATA_VALUE_MAX_LENGTH} characters,"
                " an integer or a boolean."
            )
    return value


def check_time(value: Any) -> str:
    """A moment of RFC 3339, spelled in UTC with a Z, to the microsecond at most."""
    try:
        if isinstance(value, str):
            return parse_time(value).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError):
        pass
    raise ValidationError(
        "A time is written as in RFC 3339, with its offset, such as 2026-11-22T12:00:00Z."
    )


def check_operation_id(value: Any) -> str:
    """The id of an operation, as Trident showed it."""
    if not isinstance(value, str) or parse_id(value) is None:
        raise ValidationError("An operation's id begins with op_; take it as Trident gave it.")
    return value


def check_flag(value: Any) -> bool:
    """true or false, nothing else."""
    if not isinstance(value, bool):
        raise ValidationError("This is true or false.")
    return value


def account_code(**kwargs: Any) -> fields.Field[Any]:
    """A required account code."""
    api = {"type": "string", "pattern": f"^{CODE_PATTERN.pattern}$", "maxLength": CODE_MAX_LENGTH}
    return _Shape(check_code, api, required=kwargs.pop("required", True), **kwargs)


def currency(*, required: bool = True) -> fields.Field[Any]:
    """A currency code."""
    return _Shape(check_currency, {"type": "string", "pattern": "^[A-Z]{3}$"}, required=required)


def amount(*, required: bool = True) -> fields.Field[Any]:
    """An amount in minor units."""
    api = {"type": "integer", "minimum": 1, "maximum": AMOUNT_MAX, "format": "int64"}
    return _Shape(check_amount, api, required=required)


def operation_id() -> fields.Field[Any]:
    """The required id of an operation of the same ledger."""
    return _Shape(check_operation_id, {"type": "string", "pattern": "^op_"}, required=True)


def time() -> fields.Field[Any]:
    """An optional moment."""
    return _Shape(check_time, {"type": "string", "format": "date-time"})


def flag() -> fields.Field[Any]:
    """Optional, true or false."""
    return _Shape(check_flag, {"type": "boolean"})


def overdraft(**kwargs: Any) -> fields.Field[Any]:
    """Minor units, or "unlimited"."""
    api = {
        "oneOf": [
            {"type": "integer", "minimum": 0, "maximum": AMOUNT_MAX, "format": "int64"},
            {"type": "string", "enum": ["unlimited"]},
        ]
    }
    return _Shape(check_overdraft, api, **kwargs)


def text(most: int = DESCRIPTION_MAX_LENGTH) -> fields.Field[Any]:
    """Optional text."""
    api = {"type": "string", "minLength": 1, "maxLength": most}
    return _Shape(lambda value: check_text(value, most), api)


def date() -> fields.Field[Any]:
    """An optional calendar date."""
    return _Shape(check_date, {"type": "string", "format": "date"})


def metadata() -> fields.Field[Any]:
    """An optional flat object."""
    api = {
        "type": "object",
        "maxProperties": METADATA_MAX_MEMBERS,
        "additionalProperties": {
            "oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]
        },
    }
    return _Shape(check_metadata, api)


def personal() -> fields.Field[Any]:
    """An optional object about one subject."""
    return _Shape(personals.check_personal, personals.API)


class OperationSchema(Schema):
    """What every kind has: unknown members are refused, so a typing error cannot be lost."""

    class Meta:
        unknown = RAISE

    error_messages = {  # noqa: RUF012 - marshmallow's own way of naming messages
        "unknown": "This member is unknown here.",
        "type": "An operation is a JSON object.",
    }
    effective_date = date()
    description = text()
    metadata = metadata()
    personal = personal()


def one_of(choices: tuple[str, ...], *, required: bool = True) -> fields.Field[Any]:
    """A choice."""
    return fields.String(required=required, validate=validate.OneOf(choices))
