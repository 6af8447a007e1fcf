"""JSON as money needs it: no duplicate names, no floats, no NaN, no huge numbers, no deep nesting.

`json.loads` keeps the last of two equal names and turns 1e400 into infinity; a payment must not.
"""

import json
from typing import Any, NoReturn

import orjson

# 2^63 has 19 digits: whatever is longer is no amount, and int() is quadratic in its length.
INTEGER_MAX_DIGITS = 19


class JsonError(ValueError):
    """The text is not JSON that Trident accepts; the message says what and where."""


def loads(data: bytes | str) -> Any:
    """Parse one JSON document (UTF-8 bytes or text); raises JsonError."""
    try:
        text = data.decode("utf-8") if isinstance(data, bytes) else data
    except UnicodeDecodeError as error:
        raise JsonError(f"The body is not UTF-8: byte {error.start} is invalid.") from None
    try:
        value = DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise JsonError(
            f"The JSON is malformed: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from None
    except RecursionError:
        raise JsonError("The JSON is nested too deeply.") from None
    # A lone surrogate or a NUL can stand in JSON text only as an escape.
    if "\\u" in text:
        _check_text(value)
    return value


def canonical(value: Any) -> bytes:
    """The one spelling of a value: UTF-8, members sorted by name, no white space."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        name = next(n for n, _ in pairs if n in seen or seen.add(n))  # type: ignore[func-returns-value]
        raise JsonError(f"The JSON names the member {name!r} twice.")
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > INTEGER_MAX_DIGITS:
        raise JsonError(f"The JSON holds an integer of more than {INTEGER_MAX_DIGITS} digits.")
    return int(digits)


def _float(number: str) -> NoReturn:
    raise JsonError(
        f"The JSON holds the number {number[:40]}: amounts are integers in minor units,"
        " and no other number has a fraction or an exponent."
    )


def _constant(name: str) -> NoReturn:
    raise JsonError(f"The JSON holds {name}, which is not a number.")


# Made once: `json.loads` would make one for each document.
DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_float,
    parse_int=_integer,
    parse_constant=_constant,
)


def _check_text(value: Any) -> None:
    if isinstance(value, str):
        if "\x00" in value:
            raise JsonError("The JSON holds a NUL character (\\u0000), which no text may contain.")
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            raise JsonError("The JSON holds half of a surrogate pair.") from None
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_text(name)
            _check_text(member)
    elif isinstance(value, list):
        for item in value:
            _check_text(item)
