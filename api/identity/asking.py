"""What the routes of people share: their bodies, who asks, and what is done after a commit."""

from typing import Any

import orjson
from flask import g, has_request_context, request
from marshmallow import Schema, ValidationError

from api import openapi
from api.auth import may
from api.errors import Problem, invalid
from api.intake import json_body
from api.state import state
from api.tokens import Principal
from pipeline.came_from import CameFrom
from pipeline.events import Recorded
from pipeline.identity.people import Actor
from pipeline.identity.tickets import Offered
from tasks.mail import mail_ringer

# A password of 128 characters, an e-mail address, a name and a few roles come to less.
BODY_MAX_BYTES = 8 * 1024
BODY_PROBLEMS = ("malformed_body", "body_too_large", "unsupported_media_type", "invalid_request")
# What whoever has no token yet may be answered as well: people's data is sealed, and log-ins are
# counted.
AWAY = (*openapi.SEALED, "database_unavailable")
LET_IN = (*AWAY, "log_ins_uncounted")
PERSON = "person:"


def body(shape: Schema) -> dict[str, Any]:
    """The request's members; raises Problem."""
    try:
        loaded: dict[str, Any] = shape.load(json_body(BODY_MAX_BYTES))
    except ValidationError as error:
        raise invalid(error) from None
    return loaded


def may_now(action: str) -> Principal:
    """Who asks, if it may do this now, whatever is remembered of it; raises Problem.

    For what outlasts the request: who is out within two seconds left a way in within them.
    """
    state().tokens.look_again(may(action).subject)
    return may(action)


def person_of(who: Principal) -> str:
    """The id of the person who asks; raises Problem."""
    if not who.subject.startswith(PERSON):
        raise Problem("unknown_person", f"The token is of {who.subject}, which is no person.")
    return who.subject.removeprefix(PERSON)


def actor_of(who: Principal) -> Actor:
    """Who acts."""
    limits = orjson.loads(who.stored).get("limits")
    return Actor(who.subject, who.roles, who.scopes, who.ledgers, limits)


def address() -> str:
    """From where the request came."""
    return request.remote_addr or "unknown"


def agent() -> str:
    """With what program, as it says itself."""
    return request.environ.get("HTTP_USER_AGENT", "")


def came_from() -> CameFrom | None:
    """Whence the request came that this thread answers; None if it answers none."""
    return CameFrom(address(), agent()) if has_request_context() else None


def answering(tenant_id: int) -> None:
    """The answer is of this tenant: pages that it allows may read it (api/gateway/cors.py)."""
    g.tenant_id = tenant_id


def committed(recorded: Recorded | None, *subjects: str) -> None:
    """An event was committed: ring for it. Of whose tokens it changed, none is taken on trust."""
    for subject in subjects:
        state().tokens.look_again(subject)
    if recorded is not None:
        state().ring(*recorded)


def handed(made: Offered, name: str) -> dict[str, Any]:
    """How a ticket comes to whom it is for, after its commit; shown, as the member `name`, only
    where it does not go by mail."""
    committed(made.recorded)
    if made.token is not None:
        return {"delivery": made.delivery, name: made.token}
    mail_ringer().add(*made.recorded)
    return {"delivery": made.delivery}
