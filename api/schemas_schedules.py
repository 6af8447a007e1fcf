"""The shapes of schedules in answers, for the OpenAPI document; shown_schedules.py builds them."""

from marshmallow import Schema, fields, validate

from pipeline.schedules import OUTCOMES, STATES


def _text(description: str, *, nullable: bool = False) -> fields.String:
    api = {"description": description}
    return fields.String(required=True, allow_none=nullable, metadata=api)


def _time(description: str, *, nullable: bool = False) -> fields.DateTime:
    api = {"description": description}
    return fields.DateTime(required=True, allow_none=nullable, metadata=api)


class OccurrenceRejectionSchema(Schema):
    """Why what the schedule holds was refused this time."""

    code = _text("Stable, for programs.")
    detail = fields.Dict(required=True, metadata={"description": "What it was about."})
    message = _text("The same for people.")


class OccurrenceSchema(Schema):
    """One time of a schedule that has come."""

    operation = _text("The id of the operation that was made of it.")
    object = _text("`occurrence`")
    position = fields.Integer(required=True, metadata={"description": "Its place in the log."})
    number = fields.Integer(
        required=True,
        metadata={"description": "How often the schedule had changed; a pause leaves a gap."},
    )
    due_at = _time("When it was due.")
    accepted_at = _time("When it got its place, which is when it happened.")
    outcome = fields.String(
        required=True,
        validate=validate.OneOf(OUTCOMES),
        metadata={
            "description": "`accepted`: not posted yet. `ended`: no time was left, nothing happened"
            " but the end of the schedule."
        },
    )
    rejection = fields.Nested(OccurrenceRejectionSchema, required=True, allow_none=True)


class ScheduleStateSchema(Schema):
    """An operation that happens later."""

    id = _text("The id of the operation that made it.")
    object = _text("`schedule`")
    ledger = _text("The ledger that it belongs to.")
    position = fields.Integer(required=True, metadata={"description": "Its place in the log."})
    state = fields.String(
        required=True,
        validate=validate.OneOf(STATES),
        metadata={"description": "`active` and `paused` may change; the others are final."},
    )
    next_at = _time("When it happens next, if it does.", nullable=True)
    operation = fields.Dict(required=True, metadata={"description": "What happens."})
    at = _time("Its one time.", nullable=True)
    rule = _text("Its rule (RFC 5545).", nullable=True)
    starts_at = _time("Where the rule begins.", nullable=True)
    time_zone = _text("Whose wall clock the rule goes by; null is UTC.", nullable=True)
    description = _text("Yours.", nullable=True)
    metadata = fields.Dict(required=True, allow_none=True, metadata={"description": "Yours."})
    accepted_at = _time("When it was made.")
    last_occurrence = fields.Nested(OccurrenceSchema, required=True, allow_none=True)
