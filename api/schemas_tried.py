"""The shapes of a dry run's answer, for the OpenAPI document."""

from marshmallow import Schema, fields

from api.parameters import DRY_STATUSES
from api.schema_fields import choice, integer, text
from api.schemas import PostingSchema, RejectionSchema


class TriedDecisionSchema(Schema):
    """What would be decided."""

    effect = fields.String(required=True)
    amount = fields.Integer(required=True, allow_none=True)
    remaining = fields.Integer(required=True, allow_none=True)
    last = fields.Boolean(required=True)


class OutlookSchema(Schema):
    """What would become of one operation."""

    index = integer("Its place in the request.")
    status = choice(
        DRY_STATUSES,
        "`replayed`: its key has done this already; `conflict`: its key belongs to other content.",
    )
    rejection = fields.Nested(RejectionSchema, required=True, allow_none=True)
    postings = fields.List(fields.Nested(PostingSchema), required=True)
    decisions = fields.List(fields.Nested(TriedDecisionSchema), required=True)


class DryRunSchema(Schema):
    """What would become of operations now, and how many would end how."""

    class Meta:
        include = {  # noqa: RUF012 - as marshmallow
            status: fields.Integer(required=True) for status in DRY_STATUSES
        }

    object = text("`dry_run`")
    ledger = fields.String(required=True)
    as_of = integer("The last posted position that it builds on.")
    waiting = integer("Operations in between, which were not tried.")
    data = fields.List(fields.Nested(OutlookSchema), required=True)
