"""What a tenant has settled for itself, and how far the installation lets it go.

Both are documents of the same shape, and each member may be missing:

    currencies ───── operations may name these alone
    limits ───────── minor units by currency: what one operation may move, for whoever has no
                     limits of its own; a currency without one may then not be moved at all
    retention_days ─ for how long what is personal is kept at least
    retention ────── after how many days what has no use any more is erased by itself
    cors_origins ─── whose pages may call the API
    rate_limits ──── requests a minute, for the tenant, one of its keys, one address

What is in force is what both say: the narrower of the two.
"""

import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from marshmallow import RAISE, Schema, ValidationError, fields, validate

# ISO 4217 has some 180 currencies; a tenant with more origins has a proxy in front of them.
CURRENCIES_MAX = 200
ORIGINS_MAX = 50
ORIGIN_MAX_LENGTH = 255
# Ten years are what most tax law asks of books; a century is as good as for ever.
RETENTION_MAX_DAYS = 36_500
# As the greatest amount of one posting (pipeline/ledger.py).
LIMIT_MAX = 10**15
# More than any one machine answers in a minute.
RATE_MAX = 10_000_000
USUAL_PORTS = {"https": 443, "http": 80}
RATED = ("tenant", "key", "address")
# Subjects that no operation has named for so long; people who are disabled, or were invited and
# never came; sessions that ended; invitations and resets that were used or are too old; whence
# requests of nobody known came, which are sealed by the month.
RETAINED = ("personal_days", "people_days", "sessions_days", "tickets_days", "whence_days")
CURRENCY = re.compile(r"[A-Z]{3}")

Document = dict[str, Any]


class Settings(NamedTuple):
    """What is in force. None: nothing was said, so there is no bound."""

    currencies: frozenset[str] | None
    limits: dict[str, int] | None
    retention_days: int | None
    retention: dict[str, int]
    cors_origins: tuple[str, ...]
    rate_limits: dict[str, int]


def _check_origin(origin: str) -> None:
    """Scheme, host and perhaps a port, as browsers send them: small letters, no port that goes
    without saying, nothing behind."""
    try:
        parts = urlsplit(origin)
        whole = f"{parts.scheme}://{parts.netloc}"
        usual = USUAL_PORTS.get(parts.scheme)
        fine = usual is not None and bool(parts.hostname) and parts.port not in (0, usual)
    except ValueError:
        fine, whole = False, ""
    if (
        not fine
        or not whole == origin == origin.lower()
        or "@" in origin
        or not origin.isascii()
        or "*" in origin
    ):
        raise ValidationError("An origin is written https://shop.example, with nothing behind.")


def _currency() -> fields.String:
    return fields.String(
        validate=validate.Regexp(
            re.compile(rf"{CURRENCY.pattern}\Z"),
            error="A currency is three capital letters of ISO 4217, such as USD.",
        )
    )


class WholeNumber(fields.Integer):
    """An integer, and not `true`, which is one to Python."""

    def __init__(self, least: int, most: int, **more: Any) -> None:
        super().__init__(strict=True, validate=validate.Range(least, most), **more)

    def _validated(self, value: Any) -> int:
        if isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return super()._validated(value)


class TenantSettingsSchema(Schema):
    """What a tenant has settled for itself. A member that is null is taken away."""

    class Meta:
        unknown = RAISE

    error_messages = {  # noqa: RUF012 - marshmallow's own way of naming messages
        "unknown": "There is no such setting.",
        "type": "Settings are a JSON object.",
    }
    currencies = fields.List(
        _currency(),
        allow_none=True,
        validate=validate.Length(1, CURRENCIES_MAX),
        metadata={"description": "Operations may name these alone.", "example": ["EUR", "USD"]},
    )
    limits = fields.Dict(
        keys=_currency(),
        values=WholeNumber(0, LIMIT_MAX),
        allow_none=True,
        validate=validate.Length(1, CURRENCIES_MAX),
        metadata={
            "description": "Minor units by currency: what one operation may move, for whoever has"
            " no limits of its own. A currency without a limit may then not be moved at all.",
            "example": {"EUR": 1000000},
        },
    )
    retention_days = WholeNumber(
        1,
        RETENTION_MAX_DAYS,
        allow_none=True,
        metadata={
            "description": "For how many days what is personal is kept at least.",
            "example": 3650,
        },
    )
    retention = fields.Dict(
        keys=fields.String(validate=validate.OneOf(RETAINED)),
        values=WholeNumber(1, RETENTION_MAX_DAYS),
        allow_none=True,
        validate=validate.Length(1, len(RETAINED)),
        metadata={
            "description": "After how many days it is erased by itself: subjects that nothing names"
            " any more (`personal_days`), people who are disabled or never came (`people_days`),"
            " sessions that ended, used or expired invitations and resets (`tickets_days`), and"
            " whence programs and unknown people asked, by the month (`whence_days`).",
            "example": {"personal_days": 3650, "sessions_days": 90},
        },
    )
    cors_origins = fields.List(
        fields.String(validate=[validate.Length(max=ORIGIN_MAX_LENGTH), _check_origin]),
        allow_none=True,
        validate=validate.Length(1, ORIGINS_MAX),
        metadata={
            "description": "Whose pages may call the API.",
            "example": ["https://shop.example"],
        },
    )
    rate_limits = fields.Dict(
        keys=fields.String(validate=validate.OneOf(RATED)),
        values=WholeNumber(1, RATE_MAX),
        allow_none=True,
        validate=validate.Length(1, len(RATED)),
        metadata={
            "description": "Requests a minute: of the tenant, of one of its keys, of one address.",
            "example": {"tenant": 6000, "key": 600},
        },
    )


def changed(document: Document, changes: Document) -> Document:
    """The document with these members; one that is None is taken away."""
    merged = {**document, **changes}
    return {name: _sorted(merged[name]) for name in sorted(merged) if merged[name] is not None}


def in_force(own: Document, allowed: Document) -> Settings:
    """The narrower of both, member by member."""
    merged = {**allowed, **{name: _narrowed(name, own[name], allowed.get(name)) for name in own}}
    currencies = merged.get("currencies")
    return Settings(
        currencies=None if currencies is None else frozenset(currencies),
        limits=merged.get("limits"),
        retention_days=merged.get("retention_days"),
        retention={**allowed.get("retention", {}), **merged.get("retention", {})},
        cors_origins=tuple(merged.get("cors_origins", ())),
        rate_limits={**allowed.get("rate_limits", {}), **merged.get("rate_limits", {})},
    )


def beyond(own: Document, allowed: Document) -> dict[str, str]:
    """By member, what goes further than is allowed: what would be allowed."""
    return {
        name: f"The installation allows {_said(name, allowed[name])}."
        for name in own
        if name in allowed and _narrowed(name, own[name], allowed[name]) != own[name]
    }


def _narrowed(name: str, own: Any, allowed: Any) -> Any:
    if allowed is None:
        return own
    if name == "retention_days":
        return max(own, allowed)
    if name == "retention":
        return {what: max(days, allowed.get(what, days)) for what, days in own.items()}
    if name == "rate_limits":  # what nobody has bounded is without bound
        return {rated: min(most, allowed.get(rated, most)) for rated, most in own.items()}
    if name == "limits":
        return {code: min(most, allowed[code]) for code, most in own.items() if code in allowed}
    return [one for one in own if one in allowed]


def _said(name: str, allowed: Any) -> str:
    if name == "retention_days":
        return f"{allowed} days or more"
    if name == "retention":
        return "at least " + ", ".join(f"{one}: {days}" for one, days in sorted(allowed.items()))
    if isinstance(allowed, dict):
        return "at most " + ", ".join(f"{one}: {most}" for one, most in sorted(allowed.items()))
    return ", ".join(allowed)


def _sorted(value: Any) -> Any:
    """As it is stored: lists in order and without doubles, so that equal settings are equal."""
    return sorted(set(value)) if isinstance(value, list) else value
