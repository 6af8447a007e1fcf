"""Matches of an account's reconciliation: by the rules, by hand, by a booking; and undone."""

from collections.abc import Callable
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE, Schema

from api import openapi, openapi_reconciliations, outcomes, reconciling, shown_reconciliations
from api.answers import answer
from api.auth import demand, may
from api.errors import Rejected
from api.intake import Read
from api.operations import INTAKE_PROBLEMS
from api.paging import cursor, number_after, page
from api.parameters import PageQuery
from api.reconciliations import PREFIX, READ_PROBLEMS, WRITE_PROBLEMS, path
from api.state import state
from api.tokens import Principal
from api.waiting import wanted_wait_s
from models.db import app_engine, tenant_reading, tenant_writing
from models.ledger import LedgerRef
from pipeline.permissions import action_of
from pipeline.receipt import Submission
from pipeline.reconcile import bookings, differences, matches
from pipeline.reconcile.items import RULES, Windows
from pipeline.reconcile.subject import Subject, lock
from pipeline.strict_json import canonical

blueprint = Blueprint("Matches", __name__, url_prefix=PREFIX)

# A booking is posted in 20 ms; five seconds outlast a restart of the workers.
DEFAULT_WAIT_S = 5

ITEM_PROBLEMS = (
    *WRITE_PROBLEMS,
    "unknown_line",
    "unknown_posting",
    "already_matched",
    "being_booked",
    "unbalanced_match",
    "reconciliation_busy",
)
# The examples of docs/reconciliation.md.
ITEMS = {"lines": [4], "postings": [{"operation": "op_00000000g0r008000001ab2c3e"}]}
EXCLUSION = {
    "postings": [{"operation": openapi.OPERATION_ID["example"]}],
    "reason": "The bank books it in November",
}
BOOKING = {"lines": [18], "against": "income:account-fees"}


@blueprint.route("/matches", methods=["GET"], parameters=path())
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("MatchList", "One page.")},
        problems=(*READ_PROBLEMS, "invalid_cursor"),
        action="reconciliation.read",
    )
)
def show_matches(query: dict[str, Any], ledger: str, code: str) -> Response:
    """List matches

    In the order in which they were made, those that were undone among them.
    """
    who = may("reconciliation.read")
    book = state().books.find(who, ledger)
    after, limit = number_after("matches", query.get("after")) or 0, query["limit"]
    with tenant_reading(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        rows = matches.page(connection, of, after, limit + 1)
    following = cursor("matches", rows[limit - 1].match) if len(rows) > limit else None
    return answer(page([shown_reconciliations.match(of, row) for row in rows[:limit]], following))


@blueprint.route("/matches/automatic", methods=["POST"], parameters=path())
@blueprint.doc(
    **openapi.route(
        {200: ("Matching", "How many matches each rule made, and what is left.")},
        body=openapi.json_body("Windows", {"days": 5}, required=False),
        problems=(*WRITE_PROBLEMS, "reconciliation_busy"),
        action="reconciliation.write",
    )
)
def match_all(ledger: str, code: str) -> Response:
    """Match by the rules

    In this order: `reference` (a reference agrees, and the amount), `reference_sum` (all that bear
    the reference sum to the amount), `amount_and_date`, `sum`. A rule takes only what has no rival;
    what could be two things is left.
    """
    who, book = _writer(ledger)
    windows = Windows(**reconciling.body(reconciling.WindowsSchema, optional=True))
    with tenant_writing(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        found = matches.match_all(connection, of, by=who.subject, windows=windows)
    return answer(
        {
            "object": "matching",
            "account": code,
            "made": {rule: found.by_rule[rule] for rule in (*RULES, "booked")},
            "lines_left": found.lines_left,
            "postings_left": found.postings_left,
        }
    )


@blueprint.route("/matches", methods=["POST"], parameters=path())
@blueprint.doc(
    **openapi.route(
        {201: ("Match", "It is made.")},
        body=openapi.json_body("MatchRequest", ITEMS),
        problems=ITEM_PROBLEMS,
        action="reconciliation.write",
    )
)
def match(ledger: str, code: str) -> Response:
    """Match by hand

    Lines and postings that sum to the same.
    """
    return _make(ledger, code, reconciling.MatchRequestSchema, matches.match_by_hand)


@blueprint.route("/exclusions", methods=["POST"], parameters=path())
@blueprint.doc(
    **openapi.route(
        {201: ("Match", "They are set aside, as a match with the rule `ignored`.")},
        body=openapi.json_body("ExclusionRequest", EXCLUSION),
        problems=ITEM_PROBLEMS,
        action="reconciliation.write",
    )
)
def ignore(ledger: str, code: str) -> Response:
    """Ignore lines or postings

    With a reason; undo the match to take it back.
    """
    return _make(ledger, code, reconciling.ExclusionRequestSchema, matches.ignore)


@blueprint.route(
    "/matches/<number>/undo", methods=["POST"], parameters=path(openapi_reconciliations.MATCH)
)
@blueprint.doc(
    **openapi.route(
        {200: ("Match", "It is undone; what it held is unmatched.")},
        body=openapi.json_body("UndoRequest", {"reason": "The wrong invoice"}),
        problems=(*WRITE_PROBLEMS, "unknown_match", "already_undone", "reconciliation_busy"),
        action="reconciliation.write",
    )
)
def undo(ledger: str, code: str, number: str) -> Response:
    """Undo a match

    An operation that was booked stays posted; reverse it if it was wrong.
    """
    who, book = _writer(ledger)
    reason = reconciling.body(reconciling.UndoRequestSchema)["reason"]
    with tenant_writing(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        found = matches.find(connection, of, reconciling.number(number))
        matches.undo(connection, of, found.match, reason=reason, by=who.subject)
        return answer(shown_reconciliations.match(of, matches.find(connection, of, found.match)))


@blueprint.route("/bookings", methods=["POST"], parameters=path())
@blueprint.doc(
    **openapi.route(
        {
            201: ("Booking", "The operation is posted, and matched."),
            202: ("Booking", "The operation is in the log; it will be matched when it is posted."),
        },
        body=openapi.json_body("BookingRequest", BOOKING),
        headers=(openapi.PREFER,),
        problems=(
            *ITEM_PROBLEMS,
            "nothing_to_book",
            "operation_rejected",
            *(one for one in INTAKE_PROBLEMS if not one.startswith("idempotency_key_")),
            "idempotency_key_reused",
        ),
        action="reconciliation.write",
    )
)
def book_difference(ledger: str, code: str) -> Response:
    """Book a difference

    What the lines are more than the postings becomes a transfer against one account, or a journal,
    and the match of all of them once it is posted. The operation's key is made from the first line:
    asking again makes no second one.
    """
    who, book = _writer(ledger)
    asked = reconciling.body(reconciling.BookingRequestSchema)
    with tenant_writing(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        wish = differences.Wish(
            asked["lines"],
            reconciling.places(connection, of, asked["postings"]),
            asked.get("against"),
            asked["legs"],
            asked.get("description"),
        )
        prepared = differences.prepare(connection, of, wish, by=who.subject)
        demand(who, action_of(prepared.kind))
    principal = state().tenancy.recorded(who.tenant_id, who.stored)
    submission = Submission(prepared.key, prepared.kind, canonical(prepared.body), principal)
    outcome, waited_s = outcomes.hand_in(
        book, Read(submission, prepared.body), wanted_wait_s(DEFAULT_WAIT_S)
    )
    if outcome.operation["status"] == "rejected":
        raise Rejected(outcome.operation)
    made = _settled(who, of, prepared.key)
    shown = {"object": "booking", "operation": outcome.operation, "match": made}
    return answer(shown, 202 if made is None else 201, outcome.headers(waited_s))


def _settled(who: Principal, of: Subject, key: str) -> dict[str, Any] | None:
    """The match that the booking made, if it is posted."""
    with tenant_writing(who.tenant_id, app_engine()) as connection:
        lock(connection, of)
        matches.settle(connection, of, by=who.subject, again=key)
        number = bookings.match_of(connection, of, key)
        if number is None:
            return None
        return shown_reconciliations.match(of, matches.find(connection, of, number))


def _make(ledger: str, code: str, schema: type[Schema], maker: Callable[..., int]) -> Response:
    """Make a match of the lines and postings that the body names, and show it."""
    who, book = _writer(ledger)
    asked = reconciling.body(schema)
    lines, named = asked.pop("lines"), asked.pop("postings")
    with tenant_writing(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        places = reconciling.places(connection, of, named)
        number = maker(connection, of, lines, places, by=who.subject, **asked)
        found = matches.find(connection, of, number)
    return answer(shown_reconciliations.match(of, found), 201)


def _writer(ledger: str) -> tuple[Principal, LedgerRef]:
    """Who asks, if it may reconcile, and the ledger; raises Problem."""
    who = may("reconciliation.write")
    return who, state().books.find(who, ledger)
