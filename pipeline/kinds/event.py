"""event: what somebody did, or was refused, beside the books. pipeline/events.py alone submits it.

It stands in a tenant's ledger of events, so it is sealed by audit as operations are.
"""

import re
from typing import Any

from marshmallow import RAISE, ValidationError, fields, validate
from marshmallow import Schema as MarshmallowSchema

from pipeline.kinds.kind import Kind
from pipeline.ledger import Books, Effect, Entry
from pipeline.strict_json import canonical

OUTCOMES = ("done", "refused")
ACTION = re.compile(r"[a-z_]{1,40}\.[a-z_]{1,40}\Z")
TEXT_MAX_LENGTH = 255
# An address and the name of a program, in base64.
SEALED_MAX_LENGTH = 1024
# Settings of 200 currencies and 50 origins, as they were and as they are now, come to less.
DETAIL_MAX_BYTES = 64 * 1024


def _check_detail(detail: dict[str, Any]) -> None:
    if len(canonical(detail)) > DETAIL_MAX_BYTES:
        raise ValidationError(f"The detail of an event has up to {DETAIL_MAX_BYTES} bytes.")


class SealedSchema(MarshmallowSchema):
    """What is sealed under the key of who did it, or of somebody else."""

    class Meta:
        unknown = RAISE

    key = fields.Integer(required=True, strict=True)
    sealed = fields.String(required=True, validate=validate.Length(1, SEALED_MAX_LENGTH))
    # Whose key it is where that is not the actor's.
    of = fields.String(validate=validate.Length(1, TEXT_MAX_LENGTH))


class Schema(MarshmallowSchema):
    """What was done, by whom, to what, and what came of it. Nothing in it is personal in clear."""

    class Meta:
        unknown = RAISE

    action = fields.String(required=True, validate=validate.Regexp(ACTION))
    outcome = fields.String(required=True, validate=validate.OneOf(OUTCOMES))
    actor = fields.String(required=True, validate=validate.Length(1, TEXT_MAX_LENGTH))
    target = fields.String(validate=validate.Length(1, TEXT_MAX_LENGTH))
    from_ = fields.Nested(SealedSchema, data_key="from", attribute="from")
    detail = fields.Dict(keys=fields.String(), validate=_check_detail)


def apply(_books: Books, _entry: Entry) -> Effect:
    """Nothing moves."""
    return []


KIND = Kind(
    name="event",
    posts=False,
    schema=Schema(),
    example={
        "kind": "event",
        "action": "ledger.created",
        "outcome": "done",
        "actor": "cli:ada",
        "target": "ledger:main",
    },
    apply=apply,
    internal=True,
    alone=True,
)
