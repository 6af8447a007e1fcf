"""Operations: put them into the log, one or many, and see what became of them."""

from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE

from api import bulk, openapi, outcomes, queries, shown
from api.answers import answer, unless_known
from api.auth import may
from api.errors import Problem
from api.intake import header_key, items_body, json_body, read, read_item
from api.paging import cursor, number_after, page
from api.privacy import reveal
from api.searches import OperationsQuery, listing, positions_of, wanted_by
from api.state import state
from api.waiting import wanted_wait_s
from models.db import tenant_reading
from models.operation import address_of, parse_id

blueprint = Blueprint(
    "Operations",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/operations",
    description="Everything that changes what a ledger does: its log.",
)

# Why an operation may not get into the log.
INTAKE_PROBLEMS = (
    "malformed_body",
    "idempotency_key_missing",
    "idempotency_key_invalid",
    "idempotency_key_reserved",
    "unknown_ledger",
    "body_too_large",
    "unsupported_media_type",
    "invalid_request",
    "currency_not_allowed",
    "idempotency_key_reused",
    "unstorable",
    "subject_erased",
    "subject_restricted",
    "keys_unavailable",
    "intake_timeout",
    "intake_full",
    "intake_down",
    "ledger_behind",
    "ledger_busy",
)


@blueprint.route("", methods=["POST"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {
            202: ("Operation", "It is in the log, durably, at a place of its own."),
            200: ("Operation", "It is final: posted or rejected."),
        },
        body=openapi.kind_body(),
        headers=(openapi.IDEMPOTENCY_KEY, openapi.PREFER),
        problems=(*INTAKE_PROBLEMS, "unknown_kind"),
        action="operation.*",
    )
)
def create(ledger: str) -> Response:
    """Submit an operation

    It is answered with 202 as soon as it is committed to the log. With `Prefer: wait=5` it is
    answered when it is final, at most 5 seconds later: 200 with `status` `posted` or `rejected`.

    The same key and the same content give the same operation again, whatever became of it, with
    `Idempotent-Replayed: true`; the same key and another content are refused.
    """
    who = may("operation.*")
    book = state().books.find(who, ledger)
    submission = read(who, header_key(), json_body())
    outcome, waited_s = outcomes.hand_in(book, submission, wanted_wait_s())
    return outcome.response(waited_s)


@blueprint.route("/bulk", methods=["POST"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {200: ("Bulk", "What became of each item.")},
        body=openapi.bulk_body(),
        problems=(
            "malformed_body",
            "unknown_ledger",
            "body_too_large",
            "too_many_items",
            "unsupported_media_type",
            "invalid_request",
            "intake_full",
            "intake_down",
        ),
        action="operation.*",
    )
)
def create_many(ledger: str) -> Response:
    """Submit up to 5,000 operations

    A JSON array, or NDJSON (`application/x-ndjson`, one operation a line), of at most 8 MiB. Each
    item is an operation with an `idempotency_key` of its own, and has an outcome of its own: one
    bad item stops no other. They are accepted in their order. A document that cannot be read is
    refused whole, and nothing of it is stored.
    """
    who = may("operation.*")
    book = state().books.find(who, ledger)
    return bulk.response(bulk.hand_in(book, items_body(), lambda item: read_item(who, item)))


@blueprint.route("", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.arguments(OperationsQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("OperationList", "One page, without postings.")},
        problems=(
            "invalid_cursor",
            "unknown_ledger",
            "unknown_account",
            "invalid_request",
            "filter_unserved",
            *openapi.SEALED,
        ),
        action="operations.read",
    )
)
def show_many(query: dict[str, Any], ledger: str) -> Response:
    """List or search operations

    Newest first, or `order=oldest`. A page looks at a bounded number of rows: where few of them
    fit, it may hold fewer than `limit`, even none, while `has_more` says that there is a next one.
    An amount is one that the operation names or posts, whatever its currency. Search sees
    every operation that is accepted, however new.
    """
    who = may("operations.read")
    book = state().books.find(who, ledger)
    after = number_after("operations", query.get("after"))
    with tenant_reading(who.tenant_id, state().engine) as connection:
        if "subject" in query:
            places, behind = positions_of(connection, book, query, after)
        else:
            places, behind = listing(connection, book, wanted_by(query, after)).operations()
        rows = queries.operations(connection, book, places)
        found = [shown.stored_operation(book, row) for row in rows]
        found = reveal.operations(connection, who, book, rows, found)
    following = None if behind is None else cursor("operations", behind)
    return answer(page(found, following))


@blueprint.route(
    "/<operation_id>",
    methods=["GET"],
    parameters=[dict(openapi.LEDGER), dict(openapi.OPERATION_ID)],
)
@blueprint.doc(
    **openapi.route(
        {200: ("Operation", "It, as it is now.")},
        problems=("unknown_ledger", "unknown_operation", *openapi.SEALED),
        cached=True,
        action="operations.read",
    )
)
def show(ledger: str, operation_id: str) -> Response:
    """Show an operation

    With its timeline (when it passed each stage), its postings, and why it was rejected if it was.
    With `If-None-Match` and the `ETag` of an earlier answer: 304 while nothing has changed.
    """
    who = may("operations.read")
    book = state().books.find(who, ledger)
    id_ = parse_id(operation_id)
    if id_ is not None and address_of(id_).ledger_id == book.ledger_id:
        with tenant_reading(who.tenant_id, state().engine) as connection:
            for row in queries.operations(connection, book, [address_of(id_).position]):
                if row.id == id_:
                    found = [outcomes.with_postings(connection, book, row)]
                    (one,) = reveal.operations(connection, who, book, [row], found)
                    return unless_known(answer(one))
    raise Problem("unknown_operation", "Check the id, and the ledger that it belongs to.")
