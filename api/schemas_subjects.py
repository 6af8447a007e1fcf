"""The shapes of subjects, for the OpenAPI document."""

from marshmallow import Schema, fields

from api.schema_fields import choice, integer, says, text, time
from pipeline.privacy.subjects import STATUSES


class SubjectSchema(Schema):
    """Whom personal data is about, and what has become of that; never the data."""

    object = text("`subject`")
    subject = text("The reference.", example="customer-42")
    status = choice(STATUSES, "What has become of it.")
    created_at = time("When it was first named.")
    named_at = time("When an operation named it last.", nullable=True)
    operations = integer("How many idempotency keys have named it.")
    restricted_at = time("Since when no operation may name it.", nullable=True)
    erase_due_at = time("When retention ends, and it is erased.", nullable=True)
    erased_at = time("When it was erased.", nullable=True)


class SubjectExportSchema(Schema):
    """All that is held of a subject."""

    object = text("`subject_export`")
    subject = fields.Nested(SubjectSchema, required=True)
    people = fields.List(
        fields.Dict(), required=True, metadata=says("Who it is, if one of the tenant's people.")
    )
    sessions = fields.List(
        fields.Dict(), required=True, metadata=says("Its sessions, ended ones too.")
    )
    invitations = fields.List(
        fields.Dict(), required=True, metadata=says("And resets of its password; no secrets.")
    )
    mails = fields.List(
        fields.Dict(), required=True, metadata=says("That were sent to it, or are to be.")
    )
    api_keys = fields.List(
        fields.Dict(), required=True, metadata=says("That it made or knows; no secrets.")
    )
    accounts = fields.List(fields.Dict(), required=True, metadata=says("Those with its data."))
    operations = fields.List(
        fields.Dict(),
        required=True,
        metadata=says("Those that name it, with their postings and the bank's lines."),
    )
    submitted = fields.List(
        fields.Dict(),
        required=True,
        metadata=says("What it submitted, if one of the tenant's people, and decided by that."),
    )
    reconciled = fields.List(
        fields.Dict(),
        required=True,
        metadata=says("Statements that it imported, and matches that it made, likewise."),
    )
    events = fields.List(fields.Dict(), required=True, metadata=says("What was done to it, or by."))


class ErasureEventSchema(Schema):
    """The event that tells of an erasure."""

    id = text("Its own.")
    ledger = text("The log of events.")
    position = integer("Its place there.")
    at = time("When.")


class ErasureBlockSchema(Schema):
    """A block of the audit chain."""

    height = integer("Its number in the chain.")
    hash = text("Its hash, in hexadecimal digits.")


class ErasureCertificateSchema(Schema):
    """The proof of an erasure."""

    object = text("`erasure_certificate`")
    subject = text("What was erased.")
    erased_at = time("When.")
    erased_by = text("Who asked for it.")
    event = fields.Nested(ErasureEventSchema, required=True)
    block = fields.Nested(
        ErasureBlockSchema,
        required=True,
        allow_none=True,
        metadata=says("Where the event is sealed; null until it is."),
    )
    jws = text("The same, signed by the key of this installation that its header names.")


SHAPES = (SubjectSchema, SubjectExportSchema, ErasureCertificateSchema)
