"""The shapes of API keys, in requests and answers."""

import datetime as dt

from marshmallow import RAISE, Schema, ValidationError, fields, validate

from api.books import NAME_PATTERN
from api.schema_fields import says, text, time
from models.tenant_settings import CURRENCIES_MAX, CURRENCY, LIMIT_MAX, WholeNumber
from pipeline.identity.api_keys import GRACE_MAX_S, GRACE_S
from pipeline.permissions import ROLES, TABLE, is_scope

EXAMPLE = {"name": "web shop", "roles": ["submitter"], "ledgers": ["main"]}
NAME_MAX_LENGTH = 255
# More than a person lists by hand (as in tokens: api/claims.py).
LEDGERS_MAX = 256


def _check_scope(scope: str) -> None:
    if not is_scope(scope):
        raise ValidationError("No action of docs/permissions.md is this, or begins so.")


def _check_ahead(at: dt.datetime) -> None:
    if at <= dt.datetime.now(dt.UTC):
        raise ValidationError("This time is over.")


def _check_printable(name: str) -> None:
    if not name.isprintable():
        raise ValidationError("A name is printable text.")


class NewApiKeySchema(Schema):
    """What a key is called, and what it is for: never more than you may do yourself."""

    class Meta:
        unknown = RAISE

    name = fields.String(
        required=True,
        validate=[validate.Length(1, NAME_MAX_LENGTH), _check_printable],
        metadata=says("For people: which program has it."),
    )
    roles = fields.List(
        fields.String(validate=validate.OneOf(tuple(ROLES))),
        required=True,
        validate=validate.Length(1, len(ROLES)),
        metadata=says("What it may do."),
    )
    scopes = fields.List(
        fields.String(validate=_check_scope),
        allow_none=True,
        validate=validate.Length(1, len(TABLE)),
        metadata=says("Of that, only these actions, or beginnings such as `reports.*`."),
    )
    ledgers = fields.List(
        fields.String(validate=validate.Regexp(NAME_PATTERN)),
        allow_none=True,
        validate=validate.Length(1, LEDGERS_MAX),
        metadata=says("There are no other ledgers for it."),
    )
    limits = fields.Dict(
        keys=fields.String(validate=validate.Regexp(CURRENCY.pattern + r"\Z")),
        values=WholeNumber(0, LIMIT_MAX),
        allow_none=True,
        validate=validate.Length(1, CURRENCIES_MAX),
        metadata=says("Minor units by currency: what one operation may move, and no others."),
    )
    expires_at = fields.AwareDateTime(
        format="iso",
        allow_none=True,
        validate=_check_ahead,
        metadata=says("Until when it counts; null: until it is revoked."),
    )


class ApiKeyChangeSchema(NewApiKeySchema):
    """The members that change; null takes a bound away, if you have none yourself."""


class RotationSchema(Schema):
    """How a key gets a new secret."""

    class Meta:
        unknown = RAISE

    grace_s = WholeNumber(
        0,
        GRACE_MAX_S,
        load_default=GRACE_S,
        metadata=says("For how many seconds the secret before counts as well; 0: it ends now."),
    )


class ApiKeySchema(Schema):
    """A key with which a program asks."""

    object = text("`api_key`")
    id = text("Its own; it never changes.", example="ak_3Kf09aQz1Bd")
    name = text("For people.")
    roles = fields.List(fields.String(), required=True, metadata=says("What it may do."))
    scopes = fields.List(
        fields.String(), required=True, allow_none=True, metadata=says("Of that, only these.")
    )
    ledgers = fields.List(
        fields.String(), required=True, allow_none=True, metadata=says("It has no others.")
    )
    limits = fields.Dict(
        required=True, allow_none=True, metadata=says("What one operation may move, by currency.")
    )
    created_by = text("Who made it.", example="person:pe_…")
    known_to = fields.List(
        fields.String(),
        required=True,
        metadata=says("Who has seen a secret of it: none of them approves what it submits."),
    )
    created_at = time("When it was made.")
    expires_at = time("Until when it counts.", nullable=True)
    last_used_at = time("When it was last used, to the minute.", nullable=True)
    previous_until = time("Until when the secret before counts as well.", nullable=True)
    revoked_at = time("When it was revoked, for good.", nullable=True)


class ApiKeyWithSecretSchema(ApiKeySchema):
    """A key with its secret, which is shown this once."""

    key = text("The bearer token. Keep it: nobody can show it again.", example="tr_live_…")
