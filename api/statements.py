"""An account's balance at any date, and its statement for a period as JSON, CSV or PDF."""

import datetime as dt
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import structlog
from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import RAISE
from sqlalchemy import Connection

from api import openapi, queries
from api.answers import answer
from api.errors import Problem
from api.intake import JSON
from api.report_queries import FORMATS, MomentQuery, StatementQuery, dates, times
from api.reports import moment_of, reading
from models.ledger import LedgerRef
from pipeline.ledger import Account
from pipeline.reports import documents, period
from pipeline.reports.balances import at_moment
from pipeline.reports.exports import BROKEN_OFF, as_csv, as_json, file_name
from pipeline.reports.pdf import as_pdf

blueprint = Blueprint(
    "Statements",
    __name__,
    url_prefix="/v1/ledgers/<ledger>/accounts",
    description="What an account held at any date, and what it did in a period.",
)

CSV, PDF = "text/csv", "application/pdf"
MEDIA = dict(zip(FORMATS, (JSON, CSV, PDF), strict=True))
CODE = [dict(openapi.LEDGER), dict(openapi.CODE)]
PROBLEMS = ("unknown_ledger", "unknown_account", "invalid_request")

log = structlog.get_logger("trident.api")


@blueprint.route("/<account_code:code>/balance", methods=["GET"], parameters=CODE)
@blueprint.arguments(MomentQuery, location="query", unknown=RAISE)
@blueprint.doc(**openapi.route({200: ("Balance", "It.")}, problems=PROBLEMS, action="reports.read"))
def balance(query: dict[str, Any], ledger: str, code: str) -> Response:
    """Show an account's balance at a moment

    By time of acceptance (`at`) or by effective date (`effective`); without either, now.
    """
    with reading(ledger) as (connection, book):
        account = queries.account(connection, book, code)
        moment = moment_of(connection, book, query)
        (held,) = at_moment(connection, book, moment, [account])
        return answer(documents.balance(book, moment, held))


def _documented() -> dict[str, Any]:
    said = openapi.route(
        {200: ("Statement", "It; CSV has decimals, and a row for either balance.")},
        problems=(*PROBLEMS, "not_acceptable", "report_too_large"),
        action="reports.read",
    )
    text = {"schema": {"type": "string"}}
    file = {"schema": {"type": "string", "format": "binary"}}
    said["responses"]["200"]["content"] |= {CSV: text, PDF: file}
    return said


@blueprint.route("/<account_code:code>/statement", methods=["GET"], parameters=CODE)
@blueprint.arguments(StatementQuery, location="query", unknown=RAISE)
@blueprint.doc(**_documented())
def statement(query: dict[str, Any], ledger: str, code: str) -> Response:
    """Show an account's statement for a period

    The balance before it, each posting with the balance behind it, the balance at its end, and the
    sums of debits and credits. As JSON, CSV or PDF, by `format` or by the `Accept` header. JSON and
    CSV are sent while they are read, however long they are; a PDF holds 5,000 lines at most.
    """
    form = _wanted(query)
    with ExitStack() as stack:
        connection, book = stack.enter_context(reading(ledger))
        account = queries.account(connection, book, code)
        made = _statement(connection, book, account, query)
        headers = {}
        if form != "json":
            headers["Content-Disposition"] = f'attachment; filename="{file_name(made, form)}"'
        if form == "pdf":
            document = as_pdf(made, dt.datetime.now(dt.UTC))
            return Response(document, headers=headers, content_type=PDF)
        pieces = as_csv(made) if form == "csv" else as_json(made)
        media = f"{CSV}; charset=utf-8" if form == "csv" else JSON
        broken_off = BROKEN_OFF if form == "csv" else b""
        sent = Response(_watched(pieces, broken_off), headers=headers, content_type=media)
        # The snapshot lasts until the last piece is sent, or the client has gone away.
        sent.call_on_close(stack.pop_all().close)
        return sent


def _watched(pieces: Iterator[bytes], broken_off: bytes) -> Iterator[bytes]:
    """What fails half-way says so at its end: the status was sent long ago.

    The server ends such an answer like any other. JSON is broken then, and CSV has a row more.
    """
    try:
        yield from pieces
    except Exception as error:
        log.error("statement_broken_off", exc_info=error)
        yield broken_off


def _statement(
    connection: Connection, book: LedgerRef, account: Account, query: dict[str, Any]
) -> period.Statement:
    if query["basis"] == "effective":
        return period.by_effective_date(connection, book, account, *dates(query))
    return period.by_acceptance(connection, book, account, *times(query))


def _wanted(query: dict[str, Any]) -> str:
    """The format that the query names, or else what the client accepts best; raises Problem."""
    if "format" in query:
        return str(query["format"])
    if not request.accept_mimetypes:
        return "json"
    best = request.accept_mimetypes.best_match(list(MEDIA.values()))
    for form, media in MEDIA.items():
        if media == best:
            return form
    raise Problem(
        "not_acceptable",
        f"A statement comes as {', '.join(MEDIA.values())}: accept one of them or name a `format`.",
    )
