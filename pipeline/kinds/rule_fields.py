"""The fields that rules are made of: names, patterns of codes, kinds that move money, roles."""

import re
from collections.abc import Callable
from typing import Any

from marshmallow import ValidationError, fields, validate

import pipeline.kinds as every_kind
from pipeline.kinds.fields import CODE_MAX_LENGTH, check_code, check_integer
from pipeline.kinds.kind import Kind, nothing_moves
from pipeline.ledger import AMOUNT_MAX
from pipeline.settings import ANY

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
BELOW = f":{ANY}"
ROLE_MAX_LENGTH = 64


def check_name(value: str) -> None:
    """Small letters, digits and hyphens."""
    if not NAME_PATTERN.fullmatch(value):
        raise ValidationError("A name is 1 to 63 small letters, digits and hyphens, such as large.")


def check_pattern(value: str) -> None:
    """A code, `prefix:*` for all below it, or `*` for every code."""
    if value != ANY:
        check_code(value.removesuffix(BELOW))


def moves(kind: Kind) -> bool:
    """Whether money moves by it, or by what it holds."""
    return kind.amounts is not nothing_moves


def check_kind(value: str, fits: Callable[[Kind], bool]) -> None:
    """A kind that clients submit and that fits the rule."""
    known = sorted(kind.name for kind in every_kind.OFFERED.values() if fits(kind))
    if value not in known:
        raise ValidationError(f"This rule is for one of the kinds {', '.join(known)}.")


def rule_name() -> fields.String:
    """The required name of a rule."""
    api = {"pattern": f"^{NAME_PATTERN.pattern}$"}
    return fields.String(required=True, validate=check_name, metadata=api)


def pattern(*, required: bool) -> fields.String:
    """An account's code, or a pattern of codes."""
    api = {"maxLength": CODE_MAX_LENGTH, "description": "A code, `prefix:*`, or `*` for all."}
    return fields.String(required=required, validate=check_pattern, metadata=api)


def kind_that(fits: Callable[[Kind], bool]) -> fields.String:
    """Optional, a kind that fits the rule."""
    return fields.String(validate=lambda value: check_kind(value, fits))


def role() -> fields.String:
    """Optional, a role of principals."""
    return fields.String(validate=validate.Length(1, ROLE_MAX_LENGTH))


def choice(choices: tuple[str, ...], *, otherwise: str) -> fields.String:
    """One of them; `otherwise` where it is not given."""
    return fields.String(load_default=otherwise, validate=validate.OneOf(choices))


def minor_units(what: str) -> fields.Field[Any]:
    """A required amount that may be zero."""
    api = {"minimum": 0, "maximum": AMOUNT_MAX, "format": "int64"}
    return fields.Integer(
        required=True,
        strict=True,
        validate=lambda value: check_integer(value, 0, AMOUNT_MAX, what),
        metadata=api,
    )


def count(least: int, most: int, **kwargs: Any) -> fields.Integer:
    """A number of something."""
    return fields.Integer(strict=True, validate=validate.Range(least, most), **kwargs)
