"""Reconciliations: what an account's statements say, matched with what the books say."""

import datetime as dt
from typing import Any

from flask import Response
from flask_smorest import Blueprint
from marshmallow import RAISE

from api import openapi, openapi_reconciliations, reconciling, shown_reconciliations
from api.answers import answer
from api.auth import may
from api.paging import cursor, number_after, page
from api.reconciling import AccountPostingsQuery, LinesQuery, SummaryQuery
from api.state import state
from models.db import app_engine, tenant_reading
from pipeline.reconcile import review, unmatched
from pipeline.reconcile.summary import summary

PREFIX = "/v1/ledgers/<ledger>/reconciliations/<account_code:code>"

blueprint = Blueprint(
    "Reconciliations",
    __name__,
    url_prefix=PREFIX,
    description="An account's statements from outside, matched with its postings. Amounts stand in"
    " the statement's sense: + is money that came in, which the books debit.",
)

# Of a page for which suggestions are wanted, these lines get some: each looks at what is unmatched.
SUGGESTED_MAX = 50

READ_PROBLEMS = ("unknown_ledger", "unknown_account", "invalid_request")
WRITE_PROBLEMS = (*READ_PROBLEMS, "malformed_body", "body_too_large", "unsupported_media_type")


def path(*parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The path's parameters for the OpenAPI document."""
    return openapi.in_ledger(openapi_reconciliations.RECONCILED, *parameters)


@blueprint.route("", methods=["GET"], parameters=path())
@blueprint.arguments(SummaryQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("Reconciliation", "The difference, and all that explains it.")},
        problems=READ_PROBLEMS,
        action="reconciliation.read",
    )
)
def show(query: dict[str, Any], ledger: str, code: str) -> Response:
    """Show how an account stands

    The balance of the books, the balance of the statement, and what explains the difference, to
    the cent: `books_balance - statement_balance` is `brought_forward`, more the unmatched and
    ignored postings, less the unmatched and ignored lines, more `in_transit` (matches of which one
    side lies behind the date), less `missing_statements`.
    """
    who = may("reconciliation.read")
    book = state().books.find(who, ledger)
    with tenant_reading(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        return answer(shown_reconciliations.summary(of, summary(connection, of, query.get("date"))))


@blueprint.route("/lines", methods=["GET"], parameters=path())
@blueprint.arguments(LinesQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("ExternalLineList", "One page.")},
        problems=(*READ_PROBLEMS, "invalid_cursor"),
        action="reconciliation.read",
    )
)
def show_lines(query: dict[str, Any], ledger: str, code: str) -> Response:
    """List statement lines

    With `suggest=true` each unmatched line comes with the postings that it may belong to, the
    likeliest first, and why: `reference_and_amount`, `reference` or `amount`.
    """
    who = may("reconciliation.read")
    book = state().books.find(who, ledger)
    after, limit = number_after("lines", query.get("after")) or 0, query["limit"]
    if query["suggest"]:
        limit = min(limit, SUGGESTED_MAX)
    with tenant_reading(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        rows = unmatched.lines_page(
            connection, of, state=query.get("state"), after=after, many=limit + 1
        )
        shown = [shown_reconciliations.line(of, row) for row in rows[:limit]]
        if query["suggest"]:
            found = review.suggestions(connection, of, [row.number for row in rows[:limit]])
            named = [one.place for several in found.values() for one in several]
            postings = unmatched.postings_at(connection, of, named)
            for one in shown:
                several = found.get(one["number"], ())
                one["suggestions"] = shown_reconciliations.suggestions(several, postings)
    following = cursor("lines", rows[limit - 1].number) if len(rows) > limit else None
    return answer(page(shown, following))


@blueprint.route("/postings", methods=["GET"], parameters=path())
@blueprint.arguments(AccountPostingsQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("ReconciledPostingList", "One page.")},
        problems=(*READ_PROBLEMS, "invalid_cursor"),
        action="reconciliation.read",
    )
)
def show_postings(query: dict[str, Any], ledger: str, code: str) -> Response:
    """List the account's postings by what they are matched with"""
    who = may("reconciliation.read")
    book = state().books.find(who, ledger)
    after, limit = number_after("reconciled", query.get("after")) or 0, query["limit"]
    days = (query.get("since", dt.date.min), query.get("until", dt.date.max))
    with tenant_reading(who.tenant_id, app_engine()) as connection:
        of = reconciling.subject(connection, book, code)
        rows = unmatched.postings_page(
            connection, of, state=query.get("state"), after=after, many=limit + 1, days=days
        )
    following = cursor("reconciled", rows[limit - 1].version) if len(rows) > limit else None
    return answer(page([shown_reconciliations.posting(of, row) for row in rows[:limit]], following))
