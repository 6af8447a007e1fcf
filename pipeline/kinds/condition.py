"""The shape of the conditions that a client may set for the accounts of its operation."""

from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validates_schema

from pipeline.kinds.fields import check_integer, shape
from pipeline.ledger import TOTAL_MAX


def _bound() -> fields.Field[Any]:
    api = {"type": "integer", "format": "int64"}
    return shape(lambda value: check_integer(value, -TOTAL_MAX, TOTAL_MAX, "A bound"), api)


def check_version(value: Any) -> int:
    """How many postings an account has had."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= TOTAL_MAX:
        raise ValidationError("A version is an integer, as the account shows it.")
    return value


class _Choices(Schema):
    """Members of which at least one is there: a condition that demands nothing is a mistake."""

    class Meta:
        unknown = RAISE

    @validates_schema
    def demands_something(self, data: Mapping[str, Any], **_: Any) -> None:
        """Not empty."""
        if not data:
            raise ValidationError(f"Name at least one of {', '.join(self.fields)}.")


class AtLeastSchema(_Choices):
    """From this amount up."""

    gte = _bound()


class BoundsSchema(_Choices):
    """Every bound that is named must hold."""

    gte = _bound()
    lte = _bound()
    eq = _bound()


class ConditionSchema(_Choices):
    """What an account must be like: minor units, on its normal side, before anything moves."""

    available = fields.Nested(AtLeastSchema)
    balance = fields.Nested(BoundsSchema)
    version = shape(check_version, {"type": "integer", "format": "int64", "minimum": 0})


class SidesSchema(_Choices):
    """Conditions for the accounts of a transfer."""

    source = fields.Nested(ConditionSchema)
    destination = fields.Nested(ConditionSchema)
