"""Postings: the lines of a ledger, of all its accounts together."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE

from api import openapi, shown
from api.answers import answer
from api.auth import may
from api.paging import cursor, page, place_after
from api.searches import PostingsQuery, listing, wanted_by
from api.state import state
from models.db import tenant_reading

blueprint = Blueprint(
    "Postings",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/postings",
    description="What operations did to accounts, line by line, in the order of the log.",
)


@blueprint.route("", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.arguments(PostingsQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("LedgerPostingList", "One page.")},
        problems=("invalid_cursor", "unknown_ledger", "unknown_account", "invalid_request"),
        action="operations.read",
    )
)
def show_many(query: dict[str, Any], ledger: str) -> Response:
    """List or search postings

    Newest first, or `order=oldest`. A page looks at a bounded number of rows: where few of them
    fit, it may hold fewer than `limit`, even none, while `has_more` says that there is a next one.
    """
    who = may("operations.read")
    book = state().books.find(who, ledger)
    wanted = wanted_by(query, place_after("ledger postings", query.get("after")))
    with tenant_reading(who.tenant_id, state().engine) as connection:
        listed = listing(connection, book, wanted).postings()
    following = None
    if listed.following is not None:
        following = cursor("ledger postings", listed.following)
    return answer(page(list(map(shown.ledger_posting, listed.items)), following))
