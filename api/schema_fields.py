"""The members of answers, for the OpenAPI document: required, each with a sentence about it."""

from typing import Any

from marshmallow import fields, validate


def says(description: str, **more: Any) -> dict[str, Any]:
    """What the document says of a member."""
    return {"description": description, **more}


def minor(description: str, *, nullable: bool = False) -> fields.Integer:
    """An amount in minor units."""
    return integer(description, nullable=nullable, format="int64")


def integer(description: str, *, nullable: bool = False, **more: Any) -> fields.Integer:
    """A count, a number or a place."""
    api = says(description, **more)
    return fields.Integer(required=True, allow_none=nullable, metadata=api)


def text(description: str, *, nullable: bool = False, **more: Any) -> fields.String:
    """A text."""
    return fields.String(required=True, allow_none=nullable, metadata=says(description, **more))


def choice(choices: tuple[str, ...], description: str, *, nullable: bool = False) -> fields.String:
    """One of several words."""
    return fields.String(
        required=True,
        allow_none=nullable,
        validate=validate.OneOf(choices),
        metadata=says(description),
    )


def flag(description: str) -> fields.Boolean:
    """Whether or not."""
    return fields.Boolean(required=True, metadata=says(description))


def time(description: str, *, nullable: bool = False) -> fields.DateTime:
    """A moment."""
    return fields.DateTime(required=True, allow_none=nullable, metadata=says(description))


def day(description: str, *, nullable: bool = False) -> fields.Date:
    """A date."""
    return fields.Date(required=True, allow_none=nullable, metadata=says(description))
