"""The public keys that tokens are signed with, for whoever wants to verify one (RFC 7517)."""

from flask import Response
from flask_smorest import Blueprint

from api import openapi
from api.answers import answer, unless_known
from api.state import state
from models.signing_key import signing_keys

blueprint = Blueprint("Keys", __name__, description="What tokens are verified with.")

# Whoever verifies tokens elsewhere takes those of a revoked key for so much longer.
FRESH = "public, max-age=60"


@blueprint.route("/.well-known/jwks.json", methods=["GET"])
@blueprint.doc(
    **openapi.route(
        {200: ("JwkSet", "The one that signs new tokens comes first.")},
        problems=("database_unavailable",),
        open_to_all=True,
        cached=True,
    )
)
def published() -> Response:
    """The public keys of access tokens

    Every key that is not retired. With `If-None-Match` and the `ETag` of an earlier answer: 304
    while nothing has changed.
    """
    keys = [key.jwk() for key in signing_keys(state().engine).published()]
    return unless_known(answer({"keys": keys}, headers={"Cache-Control": FRESH}))
