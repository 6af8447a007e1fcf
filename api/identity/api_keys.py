"""API keys: programs ask with them. Made and rotated here, where the secret is shown once."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema, ValidationError
from sqlalchemy import Connection

from api import openapi
from api.answers import answer
from api.auth import may
from api.errors import Problem, invalid, invalid_members
from api.identity.asking import committed, may_now
from api.identity.schemas_api_keys import (
    EXAMPLE,
    ApiKeyChangeSchema,
    NewApiKeySchema,
    RotationSchema,
)
from api.intake import json_body, optional_json_body
from api.paging import cursor, page, text_after
from api.parameters import PageQuery
from api.state import state
from api.tokens import Principal
from models.api_key import KEY_ID_MAX, parse_id, show_id
from models.db import tenant_reading
from pipeline.came_from import telling
from pipeline.identity import api_keys as acts
from pipeline.identity.api_keys import ApiKey, RevokedError
from pipeline.identity.key_powers import BeyondError, Powers, check_within

blueprint = Blueprint(
    "API keys",
    __name__,
    url_prefix="/v1/api-keys",
    description="What programs ask with, instead of a person's token. Send one as `Authorization:"
    " Bearer tr_live_…`.",
)

CHANGE_EXAMPLE = {"scopes": ["operation.transfer"]}
KEY_ID = {
    "in": "path",
    "name": "key_id",
    "description": "The key's id.",
    "example": "ak_3Kf09aQz1Bd",
}
BODY_PROBLEMS = ("malformed_body", "body_too_large", "unsupported_media_type", "invalid_request")


@blueprint.route("", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {201: ("ApiKeyWithSecret", "It is there, and counts at once.")},
        body=openapi.json_body("NewApiKey", EXAMPLE),
        problems=BODY_PROBLEMS,
        action="api_keys.write",
    )
)
def create() -> Response:
    """Make an API key

    The answer has the key itself, this once. It never gets more than whoever asks for it may do:
    neither an action nor a ledger nor an amount. A key approves nothing, whatever its roles.
    """
    who = may_now("api_keys.write")
    wanted = _loaded(NewApiKeySchema(), json_body())
    powers = _powers(wanted)
    _check_within(powers, who)
    with _refusals(), telling(who.tenant_id, who.subject, state().engine) as connection:
        key, secret, recorded = acts.make(
            connection,
            who.tenant_id,
            wanted["name"],
            powers,
            wanted.get("expires_at"),
            who.subject,
        )
    state().ring(*recorded)
    where = {"Location": f"/v1/api-keys/{show_id(key.key_id)}"}
    return answer(_shown(key) | {"key": secret}, 201, where)


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("ApiKeyList", "One page, in no order that means anything.")},
        problems=("invalid_cursor", "invalid_request"),
        action="api_keys.read",
    )
)
def show_many(query: dict[str, Any]) -> Response:
    """List API keys

    Revoked and expired ones too: that there was a key stays on record.
    """
    who = may("api_keys.read")
    after = text_after("api-keys", query.get("after"))
    behind = 0 if after is None else parse_id(after) or KEY_ID_MAX
    limit = query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        found = acts.page(connection, who.tenant_id, behind, limit + 1)
    more = len(found) > limit
    following = cursor("api-keys", show_id(found[limit - 1].key_id)) if more else None
    return answer(page([_shown(key) for key in found[:limit]], following))


@blueprint.route("/<key_id>", methods=["GET"], parameters=[dict(KEY_ID)])
@blueprint.doc(
    **openapi.route(
        {200: ("ApiKey", "It, without its secret.")},
        problems=("unknown_api_key",),
        action="api_keys.read",
    )
)
def show(key_id: str) -> Response:
    """Show an API key"""
    who = may("api_keys.read")
    with tenant_reading(who.tenant_id, state().engine) as connection:
        return answer(_shown(_find(connection, who, key_id, lock=False)))


@blueprint.route("/<key_id>", methods=["PATCH"], parameters=[dict(KEY_ID)])
@blueprint.doc(
    **openapi.route(
        {200: ("ApiKey", "It as it is now.")},
        body=openapi.json_body("ApiKeyChange", CHANGE_EXAMPLE),
        problems=("unknown_api_key", "api_key_revoked", *BODY_PROBLEMS),
        action="api_keys.write",
    )
)
def change(key_id: str) -> Response:
    """Change an API key

    Members that are not named stay as they are. It holds everywhere within two seconds. A key that
    may do more than you is not yours to change.
    """
    who = may_now("api_keys.write")
    changes = _loaded(ApiKeyChangeSchema(partial=True), json_body())

    with _acting(who, key_id) as (connection, key):
        _check_within(key.powers, who)
        powers = _powers(key.powers._asdict() | changes)
        _check_within(powers, who)
        name, expires_at = changes.get("name", key.name), changes.get("expires_at", key.expires_at)
        changed, recorded = acts.change(
            connection, who.tenant_id, key, name, powers, expires_at, who.subject
        )
    committed(recorded)
    return answer(_shown(changed))


@blueprint.route("/<key_id>", methods=["DELETE"], parameters=[dict(KEY_ID)])
@blueprint.doc(
    **openapi.route(
        {200: ("ApiKey", "It is revoked.")},
        problems=("unknown_api_key",),
        action="api_keys.write",
    )
)
def revoke(key_id: str) -> Response:
    """Revoke an API key

    For good: nobody asks with it any more, within two seconds everywhere. Revoking it again changes
    nothing.
    """
    who = may_now("api_keys.write")
    with _acting(who, key_id) as (connection, key):
        revoked, recorded = acts.revoke(connection, who.tenant_id, key, who.subject)
    committed(recorded)
    return answer(_shown(revoked))


@blueprint.route("/<key_id>/rotate", methods=["POST"], parameters=[dict(KEY_ID)])
@blueprint.doc(
    **openapi.route(
        {200: ("ApiKeyWithSecret", "It has a new secret.")},
        body=openapi.json_body("Rotation", {"grace_s": 3600}, required=False),
        problems=("unknown_api_key", "api_key_revoked", *BODY_PROBLEMS),
        action="api_keys.write",
    )
)
def rotate(key_id: str) -> Response:
    """Give an API key a new secret

    The answer has it, this once. The one before counts a day longer, or `grace_s` seconds; one that
    was rotated out before that ends now. Who rotates a key sees its secret, so it may do no more
    than they.
    """
    who = may_now("api_keys.write")
    grace_s = _loaded(RotationSchema(), optional_json_body())["grace_s"]
    with _acting(who, key_id) as (connection, key):
        _check_within(key.powers, who)
        rotated, secret, recorded = acts.rotate(
            connection, who.tenant_id, key, grace_s, who.subject
        )
    committed(recorded)
    return answer(_shown(rotated) | {"key": secret})


@contextmanager
def _acting(who: Principal, key_id: str) -> Iterator[tuple[Connection, ApiKey]]:
    """The key, held in a transaction that is committed at the end; raises Problem."""
    with _refusals(), telling(who.tenant_id, who.subject, state().engine) as connection:
        yield connection, _find(connection, who, key_id, lock=True)


@contextmanager
def _refusals() -> Iterator[None]:
    """What is refused of a key as a problem."""
    try:
        yield
    except RevokedError as error:
        raise Problem("api_key_revoked", str(error)) from None
    except BeyondError as error:
        raise invalid_members({error.member: [str(error)]}) from None


def _find(connection: Connection, who: Principal, key_id: str, *, lock: bool) -> ApiKey:
    number = parse_id(key_id)
    key = None if number is None else acts.find(connection, who.tenant_id, number, lock=lock)
    if key is None:
        raise Problem("unknown_api_key", "GET /v1/api-keys lists those that there are.")
    return key


def _loaded(schema: Schema, body: Any) -> dict[str, Any]:
    try:
        loaded: dict[str, Any] = schema.load(body)
    except ValidationError as error:
        raise invalid(error) from None
    return loaded


def _powers(wanted: dict[str, Any]) -> Powers:
    """As they are stored: in order, nothing twice."""
    return Powers(
        _sorted(wanted["roles"]) or (),
        _sorted(wanted.get("scopes")),
        _sorted(wanted.get("ledgers")),
        wanted.get("limits"),
    )


def _sorted(names: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(sorted(set(names)))


def _check_within(powers: Powers, who: Principal) -> None:
    """Refuse powers beyond those of who asks; raises Problem.

    The tenant's limits bind whoever has none of its own: so the key as well, unless it is given
    some, which must not get it out of them.
    """
    stored = who.stored
    if powers.limits is not None:
        stored = state().tenancy.recorded(who.tenant_id, stored)
    limits = orjson.loads(stored).get("limits")
    ledgers = None if who.ledgers is None else tuple(sorted(who.ledgers))
    with _refusals():
        check_within(powers, Powers(tuple(who.roles), who.scopes, ledgers, limits))


def _shown(key: ApiKey) -> dict[str, Any]:
    return {
        "object": "api_key",
        "id": show_id(key.key_id),
        "name": key.name,
        **key.powers._asdict(),
        "created_by": key.created_by,
        "known_to": key.known_to,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "previous_until": key.previous_until,
        "revoked_at": key.revoked_at,
    }
