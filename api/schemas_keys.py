"""The shapes of published keys, for the OpenAPI document."""

from marshmallow import Schema, fields

from api.schema_fields import choice, text


class JwkSchema(Schema):
    """The public half of an Ed25519 key (RFC 8037)."""

    kty = choice(("OKP",), "The type of key.")
    crv = choice(("Ed25519",), "The curve.")
    x = text("The key: 32 bytes in base64url.")
    kid = text("Its id, as in the header of a token.")
    use = choice(("sig",), "It verifies signatures.")
    alg = choice(("EdDSA",), "By this algorithm and no other.")


class JwkSetSchema(Schema):
    """Keys that verify tokens."""

    keys = fields.List(
        fields.Nested(JwkSchema), required=True, metadata={"description": "The keys."}
    )
