"""Ledgers: make one, list them, and see how far each of their stages has come."""

from typing import Any

import psycopg2
from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, ValidationError
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from api import openapi, queries
from api.answers import answer
from api.auth import may
from api.errors import Problem, invalid
from api.intake import json_body
from api.paging import cursor, page, text_after
from api.parameters import LedgerRequestSchema, PageQuery
from api.queries import FACTS
from api.state import state
from models.db import tenant_reading
from pipeline.came_from import telling
from pipeline.events import Event, record

blueprint = Blueprint(
    "Ledgers",
    __name__,
    url_prefix="/v1/ledgers",
    description="Sets of books. Each has a log of its own, in which operations take effect in"
    " order.",
)

INSERT = text("INSERT INTO ledgers (tenant_id, name) VALUES (:tenant, :name) RETURNING created_at")


@blueprint.route("", methods=["POST"])
@blueprint.doc(
    **openapi.route(
        {201: ("Ledger", "It is there.")},
        body=openapi.json_body("LedgerRequest", {"name": "main"}),
        problems=(
            "malformed_body",
            "ledger_exists",
            "body_too_large",
            "unsupported_media_type",
            "invalid_request",
        ),
        action="ledgers.create",
    )
)
def create() -> Response:
    """Make a ledger"""
    who = may("ledgers.create")
    try:
        name = LedgerRequestSchema().load(json_body())["name"]
    except ValidationError as error:
        raise invalid(error) from None
    if not who.sees(name):
        raise Problem("forbidden", "The token is for some ledgers, and this is none of them.")
    try:
        with telling(who.tenant_id, who.subject, state().engine) as connection:
            created_at = connection.execute(
                INSERT, {"tenant": who.tenant_id, "name": name}
            ).scalar()
            event = Event("ledger.created", who.subject, target=f"ledger:{name}")
            recorded = record(connection, who.tenant_id, event)
    except IntegrityError as error:
        raise _refusal(error, name) from None
    state().ring(*recorded)
    return answer(_shown(name, created_at), 201, {"Location": f"/v1/ledgers/{name}"})


@blueprint.route("", methods=["GET"])
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("LedgerList", "One page, in the order of the names.")},
        problems=("invalid_cursor", "invalid_request"),
        action="ledgers.read",
    )
)
def show_many(query: dict[str, Any]) -> Response:
    """List ledgers"""
    who = may("ledgers.read")
    after, limit = text_after("ledgers", query.get("after")) or "", query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        rows = queries.ledgers_page(connection, who.tenant_id, after, limit + 1, who.ledgers)
    following = cursor("ledgers", rows[limit - 1].name) if len(rows) > limit else None
    return answer(page([_shown(*row) for row in rows[:limit]], following))


@blueprint.route("/<ledger>", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {200: ("LedgerState", "It, and how far it has come.")},
        problems=("unknown_ledger",),
        action="ledgers.read",
    )
)
def show(ledger: str) -> Response:
    """Show a ledger

    `progress` is the last position of the log and of each stage; `lag` is how many operations wait
    for a stage and how long the first of them has. `index` is how far the index has come by which
    operations are searched: it takes 4,096 at a time, and the rest is searched without it.
    """
    who = may("ledgers.read")
    book = state().books.find(who, ledger)
    with tenant_reading(who.tenant_id, state().engine) as connection:
        reached = queries.progress(connection, book)
        index = queries.index(connection, book)
        created_at = queries.ledger_created_at(connection, book)
    last = reached["accept"].position
    facts = {fact: reached[stage] for stage, fact in FACTS.items()}
    progress = {fact: lag.position for fact, lag in facts.items()}
    lags = {
        fact: {"operations": last - lag.position, "seconds": lag.seconds}
        for fact, lag in facts.items()
    }
    behind = reached["notify"].position - index.position
    more = {
        "progress": {"accepted": last, **progress},
        "lag": lags,
        "index": {
            "position": index.position,
            "operations": behind,
            "seconds": index.seconds,
        },
    }
    return answer(_shown(book.name, created_at) | more)


def _shown(name: str, created_at: Any) -> dict[str, Any]:
    return {"object": "ledger", "name": name, "created_at": created_at}


def _refusal(error: IntegrityError, name: str) -> Problem:
    if isinstance(error.orig, psycopg2.errors.UniqueViolation):
        return Problem(
            "ledger_exists", f"Use it as it is, or choose another name than {name}.", param="name"
        )
    return Problem("forbidden", "The token's tenant does not exist here. Ask for another token.")
