"""A tenant's settings as words of a command line: `limits=EUR:10000.00`."""

from typing import Any

from cli.asking import Unfulfillable
from models.tenant_settings import TenantSettingsSchema
from pipeline import money

NUMBERS = ("retention_days",)
AMOUNTS = ("limits",)
COUNTS = ("rate_limits", "retention")


def read_changes(words: tuple[str, ...]) -> dict[str, Any]:
    """The settings that the words name, as a client would send them; raises Unfulfillable."""
    read: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in TenantSettingsSchema().fields:
            names = ", ".join(TenantSettingsSchema().fields)
            raise Unfulfillable(f"{word}: write NAME=VALUE; the names are {names}.")
        if name in read:
            raise Unfulfillable(f"{name} is given twice.")
        try:
            read[name] = _read(name, value) if value else None
        except ValueError as error:
            raise Unfulfillable(f"{word}: {error}") from None
    return read


def shown(name: str, value: Any) -> str:
    """The value of a setting as read_changes takes it."""
    if name in AMOUNTS:
        return ",".join(f"{code}:{money.show(most, code)}" for code, most in value.items())
    if name in COUNTS:
        return ",".join(f"{what}:{many}" for what, many in value.items())
    return str(value) if name in NUMBERS else ",".join(value)


def _read(name: str, value: str) -> Any:
    if name in NUMBERS:
        return _number(value)
    parts = [part.strip() for part in value.split(",")]
    if name in AMOUNTS:
        return {code: _amount(most, code) for code, most in map(_pair, parts)}
    if name in COUNTS:
        return {what: _number(many) for what, many in map(_pair, parts)}
    return parts


def _pair(part: str) -> tuple[str, str]:
    before, colon, after = part.partition(":")
    if not colon:
        raise ValueError(f"{part} is to be two parts with a colon between.")
    return before, after


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text} is no number.")
    return int(text)


def _amount(text: str, currency: str) -> int:
    try:
        return money.read(text, currency)
    except money.MoneyError as error:
        raise ValueError(str(error)) from None
