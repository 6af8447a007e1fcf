"""Statements from outside: import a file, list what came; and the mappings that CSV is read by."""

import datetime as dt
from typing import Any

from flask import Response, request
from flask_smorest import Blueprint
from marshmallow import RAISE, ValidationError

from api import openapi, openapi_reconciliations, reconciling, shown_reconciliations
from api.answers import answer
from api.auth import may
from api.errors import Problem, invalid
from api.intake import JSON, json_body, raw_body
from api.paging import cursor, number_after, page
from api.parameters import PageQuery
from api.reconciliations import READ_PROBLEMS, WRITE_PROBLEMS, path
from api.state import state
from models.db import app_engine, tenant_reading, tenant_writing
from pipeline.reconcile import mappings, statements
from pipeline.reconcile.readers import mapping as mapping_schema
from pipeline.reconcile.readers import reading

blueprint = Blueprint("Statements from outside", __name__, url_prefix="/v1/ledgers/<ledger>")

STATEMENTS = "/reconciliations/<account_code:code>/statements"
# A name and borders beside the file in a multipart body.
MULTIPART_EXTRA_BYTES = 64 * 1024


@blueprint.route(STATEMENTS, methods=["POST"], parameters=path())
@blueprint.arguments(reconciling.ImportQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {
            201: ("ExternalStatements", "Its statements are there."),
            200: ("ExternalStatements", "They were there already: nothing has changed."),
        },
        body=openapi_reconciliations.FILE_BODY,
        problems=(
            *WRITE_PROBLEMS,
            "malformed_statement",
            "statement_mismatch",
            "unknown_mapping",
            "reconciliation_busy",
        ),
        action="reconciliation.write",
    )
)
def take_in(query: dict[str, Any], ledger: str, code: str) -> Response:
    """Import a statement

    The file is the body itself, or the part `file` of a multipart body; up to 32 MiB of CSV
    (`mapping` says how to read it), camt.053 or OFX. It is taken whole or refused whole, with the
    line and column or element of each fault. The same file again changes nothing; a line that an
    earlier statement brought is not taken twice.
    """
    who = may("reconciliation.write")
    book = state().books.find(who, ledger)
    data = _file()
    hash_ = statements.file_hash(data)
    with tenant_reading(who.tenant_id, state().engine) as connection:
        of = reconciling.subject(connection, book, code)
        before = statements.of_file(connection, of, hash_)
        mapping = None
        if "mapping" in query:
            mapping = mappings.find(connection, book, query["mapping"]).mapping
    if before:
        taken = statements.TakenIn(before, replayed=True)
    else:
        today = dt.datetime.now(dt.UTC).date()
        form, found = reading.read(
            data, currency=of.currency, today=today, form=query.get("format"), mapping=mapping
        )
        file = statements.File(hash_, form, query.get("file_name"))
        with tenant_writing(who.tenant_id, app_engine()) as connection:
            taken = statements.take_in(
                connection,
                of,
                file,
                found,
                by=who.subject,
                external_account=query.get("external_account"),
            )
    shown = {
        "object": "external_statements",
        "replayed": taken.replayed,
        "data": [shown_reconciliations.statement(of, row) for row in taken.statements],
    }
    return answer(shown, 200 if taken.replayed else 201)


@blueprint.route(STATEMENTS, methods=["GET"], parameters=path())
@blueprint.arguments(PageQuery, location="query", unknown=RAISE)
@blueprint.doc(
    **openapi.route(
        {200: ("ExternalStatementList", "One page.")},
        problems=(*READ_PROBLEMS, "invalid_cursor"),
        action="reconciliation.read",
    )
)
def show_many(query: dict[str, Any], ledger: str, code: str) -> Response:
    """List statements

    In the order in which they were imported.
    """
    who = may("reconciliation.read")
    book = state().books.find(who, ledger)
    after, limit = number_after("statements", query.get("after")) or 0, query["limit"]
    with tenant_reading(who.tenant_id, state().engine) as connection:
        of = reconciling.subject(connection, book, code)
        rows = statements.page(connection, of, after, limit + 1)
    following = cursor("statements", rows[limit - 1].number) if len(rows) > limit else None
    shown = [shown_reconciliations.statement(of, row) for row in rows[:limit]]
    return answer(page(shown, following))


@blueprint.route("/csv-mappings", methods=["GET"], parameters=openapi.in_ledger())
@blueprint.doc(
    **openapi.route(
        {200: ("CsvMappings", "All of them, by name.")},
        problems=("unknown_ledger",),
        action="reconciliation.read",
    )
)
def show_mappings(ledger: str) -> Response:
    """List CSV mappings"""
    who = may("reconciliation.read")
    book = state().books.find(who, ledger)
    with tenant_reading(who.tenant_id, state().engine) as connection:
        rows = mappings.every(connection, book)
    shown = [shown_reconciliations.mapping(row) for row in rows]
    return answer({"object": "csv_mappings", "data": shown})


@blueprint.route(
    "/csv-mappings/<name>",
    methods=["PUT"],
    parameters=[dict(openapi.LEDGER), dict(openapi_reconciliations.MAPPING)],
)
@blueprint.doc(
    **openapi.route(
        {200: ("CsvMapping", "It is stored, as a new version.")},
        body=openapi.json_body("Mapping", openapi_reconciliations.MAPPING_EXAMPLE),
        problems=(
            "unknown_ledger",
            "invalid_request",
            "malformed_body",
            "body_too_large",
            "unsupported_media_type",
        ),
        action="reconciliation.write",
    )
)
def store_mapping(ledger: str, name: str) -> Response:
    """Store a CSV mapping

    Which column is what, and how the bank writes dates and amounts; imports name it.
    """
    who = may("reconciliation.write")
    book = state().books.find(who, ledger)
    if not mapping_schema.MAPPING_NAME.fullmatch(name):
        raise Problem(
            "invalid_request",
            "A mapping's name is 1 to 63 small letters, digits and hyphens, no hyphen first.",
            param="name",
        )
    try:
        loaded = mapping_schema.load(json_body())
    except ValidationError as error:
        raise invalid(error) from None
    with tenant_writing(who.tenant_id, state().engine) as connection:
        mappings.store(connection, book, name, loaded, who.subject)
        return answer(shown_reconciliations.mapping(mappings.find(connection, book, name)))


def _file() -> bytes:
    """The file, as the body or as its part `file`; raises Problem."""
    if request.mimetype == JSON:
        raise Problem(
            "unsupported_media_type",
            "Send the file itself, such as `Content-Type: application/xml`, or multipart/form-data"
            " with a part `file`.",
        )
    if request.mimetype != "multipart/form-data":
        return raw_body(reading.FILE_MAX_BYTES)
    request.max_content_length = reading.FILE_MAX_BYTES + MULTIPART_EXTRA_BYTES
    part = request.files.get("file")
    if part is None:
        raise Problem("invalid_request", "The multipart body has no part `file`.", param="file")
    data = part.stream.read(reading.FILE_MAX_BYTES + 1)
    if len(data) > reading.FILE_MAX_BYTES:
        raise Problem(
            "body_too_large", f"This address takes files of up to {reading.FILE_MAX_BYTES} bytes."
        )
    return data
