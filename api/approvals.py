"""Approvals: what waits for other people than who submitted it, and their yes or no."""

from typing import Any
from uuid import UUID

import orjson
from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE

from api import openapi, outcomes, queries, things
from api.answers import answer
from api.auth import may
from api.errors import Problem
from api.intake import optional_json_body
from api.paging import cursor, number_after, page
from api.parameters import PageQuery
from api.shown import stored_operation
from api.state import state
from api.things import CHANGE_HEADERS, CHANGE_PROBLEMS, LATER, Thing
from models.db import tenant_reading
from models.ledger import LedgerRef
from models.operation import address_of, parse_id
from pipeline.permissions import action_of
from pipeline.waiting import Waiting, waiting

blueprint = Blueprint(
    "Approvals",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/approvals",
    description="Operations that wait until other people than who submitted them have approved"
    " them. Rules of the ledger say which (`set_approval`).",
)

DECIDED = {
    200: ("Operation", "The operation that waited, as it is now."),
    202: LATER,
}


@blueprint.route("", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("WaitingOperationList", "One page, the longest waiting first.")},
        problems=("invalid_cursor", "unknown_ledger", "invalid_request"),
        action="approvals.read",
    )
)
def show_many(query: dict[str, Any], ledger: str) -> Response:
    """List what waits for approvals

    `awaits_you` says whether an approval of yours would count: you have the role, did not submit
    it, and have not approved it yet.
    """
    who = may("approvals.read")
    book = state().books.find(who, ledger)
    after, limit = number_after("approvals", query.get("after")) or 0, query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        found = waiting(connection, book, after, limit + 1)
        rows = queries.operations(connection, book, [one.position for one in found[:limit]])
    following = cursor("approvals", found[limit - 1].position) if len(found) > limit else None
    pairs = zip(found, rows, strict=False)
    shown = [
        stored_operation(book, row) | {"approval": _shown(one, who.stored.decode())}
        for one, row in pairs
    ]
    return answer(page(shown, following))


@blueprint.route(
    "/<operation_id>/approve", methods=["POST"], parameters=openapi.in_ledger(openapi.OPERATION_ID)
)
@blueprint.doc(
    **openapi.route(
        DECIDED,
        body=openapi.json_body("ApprovalRemark", {"description": "As agreed"}, required=False),
        headers=CHANGE_HEADERS,
        problems=(*CHANGE_PROBLEMS, "unknown_operation"),
        action="operation.approve",
    )
)
def approve(ledger: str, operation_id: str) -> Response:
    """Approve an operation

    The last approval that it needs applies it. If the books refuse it then, so is the approval,
    and the operation waits on.
    """
    return _decide(ledger, operation_id, "approve")


@blueprint.route(
    "/<operation_id>/refuse", methods=["POST"], parameters=openapi.in_ledger(openapi.OPERATION_ID)
)
@blueprint.doc(
    **openapi.route(
        DECIDED,
        body=openapi.json_body("Refusal", {"reason": "The invoice is not ours"}, required=False),
        headers=CHANGE_HEADERS,
        problems=(*CHANGE_PROBLEMS, "unknown_operation"),
        action="operation.refuse",
    )
)
def refuse(ledger: str, operation_id: str) -> Response:
    """Refuse an operation

    It is rejected for good. Who submitted it may take it back so, too.
    """
    return _decide(ledger, operation_id, "refuse")


def _decide(ledger: str, operation_id: str, kind: str) -> Response:
    """Put the yes or no into the log, and answer with the operation that it is about."""
    who = may(action_of(kind))
    book = state().books.find(who, ledger)
    id_ = parse_id(operation_id)
    if id_ is None or address_of(id_).ledger_id != book.ledger_id:
        raise Problem("unknown_operation", "Check the id, and the ledger that it belongs to.")
    members = optional_json_body()
    things.add_named(members, "target", operation_id, "operation")
    if kind == "approve" and isinstance(members, dict):
        members = _date_of(book, id_) | members
    return things.perform(who, book, kind, members, _thing)


def _thing(book: LedgerRef, operation: dict[str, Any]) -> Thing:
    id_ = parse_id(operation["target"])
    assert id_ is not None, "it was read from the address"
    target = outcomes.look(book, address_of(id_).position)
    return Thing(f"operations/{target['id']}", target)


def _date_of(book: LedgerRef, id_: UUID) -> dict[str, str]:
    """The effective date that the operation names, which its approvals name as well."""
    with tenant_reading(book.tenant_id, state().engine) as connection:
        for row in queries.operations(connection, book, [address_of(id_).position]):
            named = orjson.loads(row.body).get("effective_date")
            if row.id == id_ and named is not None:
                return {"effective_date": named}
    return {}


def _shown(one: Waiting, asking: str) -> dict[str, Any]:
    rule = one.rule
    return {
        "rule": None if rule is None else rule.name,
        "by_role": None if rule is None else rule.by_role,
        "submitted_by": one.submitted_by,
        "approved_by": one.approved_by,
        "missing": one.remaining,
        "expires_at": one.due_at,
        "awaits_you": one.awaits(asking),
    }
