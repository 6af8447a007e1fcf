"""The shapes of schedules in answers, for the OpenAPI document; shown_schedules.py builds them."""

from marshmallow import Schema, fields

from api.schema_fields import choice, integer, says, text, time
from pipeline.schedules import OUTCOMES, STATES


class OccurrenceRejectionSchema(Schema):
    """Why what the schedule holds was refused this time."""

    code = text("Stable, for programs.")
    detail = fields.Dict(required=True, metadata=says("What it was about."))
    message = text("The same for people.")


class OccurrenceSchema(Schema):
    """One time of a schedule that has come."""

    operation = text("The id of the operation that was made of it.")
    object = text("`occurrence`")
    position = integer("Its place in the log.")
    number = integer("How often the schedule had changed; a pause leaves a gap.")
    due_at = time("When it was due.")
    accepted_at = time("When it got its place, which is when it happened.")
    outcome = choice(
        OUTCOMES,
        "`accepted`: not posted yet. `ended`: no time was left, nothing happened"
        " but the end of the schedule.",
    )
    rejection = fields.Nested(OccurrenceRejectionSchema, required=True, allow_none=True)


class ScheduleStateSchema(Schema):
    """An operation that happens later."""

    id = text("The id of the operation that made it.")
    object = text("`schedule`")
    ledger = text("The ledger that it belongs to.")
    position = integer("Its place in the log.")
    state = choice(STATES, "`active` and `paused` may change; the others are final.")
    next_at = time("When it happens next, if it does.", nullable=True)
    operation = fields.Dict(required=True, metadata=says("What happens."))
    at = time("Its one time.", nullable=True)
    rule = text("Its rule (RFC 5545).", nullable=True)
    starts_at = time("Where the rule begins.", nullable=True)
    time_zone = text("Whose wall clock the rule goes by; null is UTC.", nullable=True)
    description = text("Yours.", nullable=True)
    metadata = fields.Dict(required=True, allow_none=True, metadata=says("Yours."))
    accepted_at = time("When it was made.")
    last_occurrence = fields.Nested(OccurrenceSchema, required=True, allow_none=True)
