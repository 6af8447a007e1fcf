"""Events: who did what beside the books."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, ValidationError, fields, validate

from api import openapi
from api.answers import answer
from api.auth import may
from api.paging import cursor, number_after, page
from api.parameters import PageQuery, moment, says
from api.privacy.edge import keys_at_hand
from api.privacy.reveal import sees
from api.state import state
from models.db import tenant_reading
from models.key_ring import key_ring
from models.operation import show_id
from pipeline.came_from import CameFrom
from pipeline.events import ACTIONS, Told, Wanted, read_page, whence
from pipeline.kinds.event import TEXT_MAX_LENGTH

blueprint = Blueprint(
    "Events",
    __name__,
    url_prefix="/v1/events",
    description="What people and programs did, or were refused, beside the books: sealed in an"
    " audit chain of its own, as operations are.",
)


def _check_actor(actor: str) -> None:
    if not actor.isprintable():  # the database takes no text with a NUL in it
        raise ValidationError("An actor is of printable characters.")


class EventsQuery(PageQuery):
    """Filters of events; all that are given must fit."""

    action = fields.String(
        validate=validate.OneOf(tuple(ACTIONS)), metadata=says("What was done or refused.")
    )
    actor = fields.String(
        validate=[validate.Length(1, TEXT_MAX_LENGTH), _check_actor],
        metadata=says("Who it was, exactly."),
    )
    since = moment("At this time or later.")
    until = moment("Before this time.")


@blueprint.route("", methods=["GET"])
@blueprint.arguments(EventsQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("EventList", "One page, newest first.")},
        problems=("invalid_cursor", "invalid_request", *openapi.SEALED),
        action="events.read",
    )
)
def show_many(query: dict[str, Any]) -> Response:
    """List events

    `from` (address and program) is there for those who may see personal data, as long as its actor
    is not erased.
    Each page looks at 20,000 events: where filters
    fit few of them it holds fewer than `limit`, even none, and still has a next one.
    """
    who = may("events.read")
    wanted = Wanted(
        limit=query["limit"],
        before=number_after("events", query.get("after")),
        **{name: query[name] for name in ("action", "actor", "since", "until") if name in query},
    )
    with tenant_reading(who.tenant_id, state().engine) as connection:
        found = read_page(connection, who.tenant_id, wanted)
        origins: dict[int, CameFrom] = {}
        if sees(who):
            with keys_at_hand():
                origins = whence(connection, key_ring(), who.tenant_id, found.events)
    following = None if found.following is None else cursor("events", found.following)
    return answer(page([_shown(one, origins) for one in found.events], following))


def _shown(told: Told, origins: dict[int, CameFrom]) -> dict[str, Any]:
    body = told.body
    origin = origins.get(told.position)
    return ({} if origin is None else {"from": origin._asdict()}) | {
        "object": "event",
        "id": show_id(told.id),
        "position": told.position,
        "at": told.at,
        "action": body["action"],
        "outcome": body["outcome"],
        "actor": body["actor"],
        "target": body.get("target"),
        "detail": body.get("detail", {}),
        "sealed": told.sealed,
    }
