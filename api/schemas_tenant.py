"""The shapes of tenants and their events, for the OpenAPI document."""

from marshmallow import Schema, fields

from api.schema_fields import choice, flag, integer, says, text, time
from models.tenant_settings import TenantSettingsSchema
from pipeline.events import ACTIONS
from pipeline.kinds.event import OUTCOMES


class TenantSettingsInForceSchema(TenantSettingsSchema):
    """What is in force for a tenant: the narrower of its own settings and what is allowed."""

    # Of two lists with nothing in common none is left.
    currencies = fields.List(
        fields.String(), allow_none=True, metadata=says("Operations may name these alone.")
    )
    cors_origins = fields.List(fields.String(), metadata=says("Whose pages may call the API."))


class TenantSchema(Schema):
    """An organisation that shares the installation with others."""

    object = text("`tenant`")
    name = text("How the installation names it.")
    created_at = time("When it was made.")
    settings = fields.Nested(
        TenantSettingsSchema, required=True, metadata=says("What it has settled for itself.")
    )
    allowed = fields.Nested(
        TenantSettingsSchema,
        required=True,
        metadata=says("How far the installation lets it go; of days, the least."),
    )
    in_force = fields.Nested(
        TenantSettingsInForceSchema, required=True, metadata=says("The narrower of both.")
    )


class CameFromSchema(Schema):
    """Whence somebody asked."""

    address = text("Of the network.")
    agent = text("What their program calls itself.")


class EventSchema(Schema):
    """What somebody did, or was refused, beside the books."""

    object = text("`event`")
    id = text("Its own; it never changes.", example="op_00000000g0r008000001ab2c3d")
    position = integer("Its place in the log of events.")
    at = time("When.")
    action = choice(tuple(ACTIONS), "What was done or refused.")
    outcome = choice(OUTCOMES, "What came of it.")
    actor = text("Who: a person, a key, a command, or Trident itself.", example="cli:ada")
    target = text("To what.", nullable=True, example="ledger:main")
    detail = fields.Dict(required=True, metadata=says("What else there is to say, by action."))
    from_ = fields.Nested(
        CameFromSchema, data_key="from", metadata=says("Whence, for those who may see it.")
    )
    sealed = flag("It stands in a block of the audit chain.")
