"""Every error that the API answers with, as problem details (RFC 9457).

Problem ──────── ours: a code of PROBLEMS, or of pipeline.refusal.CODES for a rejected operation
ReconcileError ─ of pipeline.reconcile, whose codes are problems too
IdentityError ── of pipeline.identity, likewise
HTTPException ── Flask's and werkzeug's own (404, 405, 413, ...), given the same shape
database gone ── 503 database_unavailable
anything else ── 500 internal_error: logged with its traceback, answered without
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import psycopg2
import structlog
from flask import Flask, Response, g
from marshmallow import ValidationError
from sqlalchemy.exc import DBAPIError, DisconnectionError, TimeoutError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from api.answers import dump
from pipeline.accept import TENANT_DELETED
from pipeline.identity.errors import CODES as IDENTITY_CODES
from pipeline.identity.errors import IdentityError
from pipeline.reconcile.errors import CODES as RECONCILE_CODES
from pipeline.reconcile.errors import ReconcileError, Unreadable

PROBLEM_JSON = "application/problem+json"
# A person fixes one error after the other; a body of 100,000 wrong members gets no 100,000 answers.
ERRORS_MAX = 20
PATH_MAX_LENGTH = 200
DATABASE_ERRORS = (DBAPIError, DisconnectionError, TimeoutError, psycopg2.Error)
# What a full or lagging Trident asks of a client, in seconds: a stage's run takes about one.
RETRY_AFTER_S = 1

log = structlog.get_logger("trident.api")


class ProblemType(NamedTuple):
    """One kind of problem: its HTTP status and its title."""

    status: int
    title: str


PROBLEMS = {
    "bad_request": ProblemType(400, "The request cannot be read."),
    "malformed_body": ProblemType(400, "The body is not JSON that Trident accepts."),
    "idempotency_key_missing": ProblemType(400, "The Idempotency-Key header is missing."),
    "idempotency_key_invalid": ProblemType(400, "This is no idempotency key."),
    "idempotency_key_reserved": ProblemType(
        400, "This idempotency key is in Trident's own namespace."
    ),
    "invalid_cursor": ProblemType(400, "This is no cursor of this list."),
    "token_missing": ProblemType(401, "No bearer token came with the request."),
    "token_invalid": ProblemType(401, "The bearer token is not valid."),
    "forbidden": ProblemType(403, "The token's roles and scopes do not let it do this."),
    "not_found": ProblemType(404, "There is nothing at this address."),
    "unknown_ledger": ProblemType(404, "The tenant has no ledger of this name."),
    "unknown_account": ProblemType(404, "The ledger has no account with this code."),
    "unknown_operation": ProblemType(404, "The ledger has no operation with this id."),
    "unknown_schedule": ProblemType(404, "The ledger has no schedule with this id."),
    "unknown_api_key": ProblemType(404, "The tenant has no API key with this id."),
    "unknown_subject": ProblemType(404, "The tenant has no subject of this name."),
    "method_not_allowed": ProblemType(405, "This address does not take this method."),
    "not_acceptable": ProblemType(406, "This address answers in none of these formats."),
    "operation_rejected": ProblemType(
        409, "The operation was rejected; `code` says why, as in its `rejection`."
    ),
    "subject_erased": ProblemType(409, "The subject was erased."),
    "subject_restricted": ProblemType(409, "The use of the subject's data is restricted."),
    "subject_not_erased": ProblemType(409, "The subject is not erased."),
    "ledger_exists": ProblemType(409, "The tenant has a ledger of this name already."),
    "api_key_revoked": ProblemType(409, "The API key is revoked."),
    "body_too_large": ProblemType(413, "The body is too large."),
    "too_many_items": ProblemType(413, "The document has too many items."),
    "unsupported_media_type": ProblemType(
        415, "The body is of a type that this address does not take."
    ),
    "invalid_request": ProblemType(422, "A member or parameter is missing or wrong."),
    "filter_unserved": ProblemType(422, "No index serves this search."),
    "report_too_large": ProblemType(422, "The report would be too large in this form."),
    "currency_not_allowed": ProblemType(422, "The tenant does not have this currency."),
    "unknown_kind": ProblemType(422, "There is no such kind of operation."),
    "idempotency_key_reused": ProblemType(422, "The idempotency key belongs to another content."),
    "unstorable": ProblemType(422, "The database refused this content."),
    "rate_limited": ProblemType(429, "There were too many requests."),
    "internal_error": ProblemType(500, "Trident has failed."),
    "personal_tampered": ProblemType(500, "Personal data does not open."),
    "keys_unavailable": ProblemType(503, "The keys of personal data are not at hand."),
    "intake_timeout": ProblemType(503, "The operation was not confirmed in time."),
    "intake_full": ProblemType(503, "Too many operations wait to be accepted."),
    "intake_down": ProblemType(503, "The API process is not taking operations in."),
    "ledger_behind": ProblemType(503, "The ledger lags too far behind its log."),
    "ledger_busy": ProblemType(503, "Somebody else is writing to the ledger's log."),
    "log_ins_uncounted": ProblemType(503, "Nobody is let in just now."),
    "database_unavailable": ProblemType(503, "The database does not answer."),
}
RECONCILE_STATUSES = {
    "malformed_statement": 422,
    "statement_mismatch": 422,
    "unknown_mapping": 404,
    "unknown_line": 404,
    "unknown_posting": 404,
    "unknown_match": 404,
    "already_matched": 409,
    "already_undone": 409,
    "being_booked": 409,
    "unbalanced_match": 422,
    "nothing_to_book": 422,
    "reconciliation_busy": 503,
}
PROBLEMS |= {
    code: ProblemType(status, RECONCILE_CODES[code]) for code, status in RECONCILE_STATUSES.items()
}
IDENTITY_STATUSES = {
    "sign_in_refused": 401,
    "session_ended": 401,
    "ticket_invalid": 401,
    "owners_only": 403,
    "own_roles": 403,
    "unknown_person": 404,
    "unknown_session": 404,
    "refresh_raced": 409,
    "person_exists": 409,
    "last_owner": 409,
    "not_active": 409,
    "second_factor_on": 409,
    "second_factor_off": 409,
    "weak_password": 422,
    "code_wrong": 422,
    "sign_in_busy": 503,
}
PROBLEMS |= {
    code: ProblemType(status, IDENTITY_CODES[code]) for code, status in IDENTITY_STATUSES.items()
}
TRANSIENT = 503
# Flask's own errors that have a code of ours; the others are named after their status.
BY_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    500: "internal_error",
}


class Problem(Exception):
    """An answer that says what is wrong, where (`param`), and in `detail` what to do."""

    def __init__(
        self, code: str, detail: str, *, param: str | None = None, **members: object
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.status, self.title = PROBLEMS[code]
        self.detail = detail
        self.param = param
        self.members = members
        self.headers: dict[str, str] = {}

    def body(self) -> dict[str, Any]:
        """The problem as JSON, without the request that it belongs to."""
        shown = {
            "type": f"/docs#{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.param is not None:
            shown["param"] = self.param
        return shown | self.members

    def response(self) -> Response:
        """The answer to the request at hand."""
        answer = Response(
            dump(self.body() | {"request_id": g.get("request_id")}),
            self.status,
            content_type=PROBLEM_JSON,
        )
        if self.status == TRANSIENT:
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
        if self.status == HTTPStatus.UNAUTHORIZED:
            answer.headers["WWW-Authenticate"] = 'Bearer realm="trident"'
        answer.headers.update(self.headers)
        return answer


class Rejected(Problem):
    """An operation of the log that was refused for ever, where the request asked for its effect."""

    def __init__(self, operation: Mapping[str, Any]) -> None:
        rejection = operation["rejection"]
        super().__init__(
            "operation_rejected",
            f"{rejection['message']} It stays refused under its key: when this has changed, send"
            " it with another one.",
            operation=operation["id"],
            rejection=rejection,
        )
        self.code = rejection["code"]
        self.title = rejection["message"]


def from_reconcile(error: ReconcileError) -> Problem:
    """What a reconciliation refuses; of a file that cannot be read, every fault with its place."""
    if isinstance(error, Unreadable):
        errors = [{"param": fault.place, "detail": fault.message} for fault in error.faults]
        return Problem(error.code, str(error), errors=errors)
    return Problem(error.code, str(error))


def invalid(error: ValidationError) -> Problem:
    """What marshmallow found, as one problem: the first error in front, all of them behind it."""
    return invalid_members(error.normalized_messages())


def invalid_members(messages: Mapping[Any, Any]) -> Problem:
    """The same from messages by member name, however deep."""
    errors = [{"param": path, "detail": text} for path, text in _flat(messages, "")]
    first = errors[0]
    more = f" ({len(errors) - 1} more in `errors`)" if len(errors) > 1 else ""
    return Problem(
        "invalid_request",
        f"{first['param']}: {first['detail']}{more}",
        param=first["param"],
        errors=errors[:ERRORS_MAX],
    )


def _flat(messages: Mapping[Any, Any], path: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, below in messages.items():
        # Marshmallow files what concerns an object as a whole under "_schema".
        here = path if name == "_schema" else f"{path}.{name}" if path else str(name)
        if isinstance(below, Mapping):
            found += _flat(below, here)
        else:
            texts = [below] if isinstance(below, str) else below
            found.append(((here or "body")[:PATH_MAX_LENGTH], " ".join(map(str, texts))))
        if len(found) > ERRORS_MAX:
            break
    return found


def register(app: Flask) -> None:
    """Let every error of the app leave as a problem."""
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(ReconcileError, lambda error: from_reconcile(error).response())
    app.register_error_handler(
        IdentityError, lambda error: Problem(error.code, str(error)).response()
    )
    app.register_error_handler(HTTPException, _from_http)
    for gone in DATABASE_ERRORS:
        app.register_error_handler(gone, _from_database)
    app.register_error_handler(Exception, _from_bug)


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if messages:
        # webargs files its messages by where the argument stood: {"query": {...}}.
        return invalid_members(next(iter(messages.values()))).response()
    code = BY_STATUS.get(status, "bad_request")
    problem = Problem(code, _advice(error))
    problem.status = status
    if code == "bad_request":
        problem.title = f"{error.name}."
    answer = problem.response()
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After", "Location"):
            answer.headers[name] = value
    return answer


def _advice(error: HTTPException) -> str:
    """What to do about one of werkzeug's errors; their own texts speak of browsers."""
    if isinstance(error, NotFound):
        return "/docs shows every address that there is."
    if isinstance(error, MethodNotAllowed):
        return f"It takes {', '.join(sorted(error.valid_methods or ()))}; /docs shows what for."
    return error.description or "/docs shows what requests look like."


def _from_database(error: Exception) -> Response:
    """What the database could not do now, it may do later; a bug in our SQL it will not."""
    cause = getattr(error, "orig", error)
    if getattr(cause, "pgcode", None) == TENANT_DELETED:
        return Problem("token_invalid", "The token's tenant is deleted.").response()
    transient = isinstance(
        cause, psycopg2.OperationalError | psycopg2.InterfaceError | TimeoutError
    ) or isinstance(error, DisconnectionError)
    if not transient:
        return _from_bug(error)
    log.warning("database_unavailable", error=type(cause).__name__, request_id=g.request_id)
    detail = "The database cannot be reached or is too slow just now. Try again in a second."
    return Problem("database_unavailable", detail).response()


def _from_bug(error: Exception) -> Response:
    log.error("request_failed", exc_info=error, request_id=g.get("request_id"))
    detail = "Trident could not answer; its log has the reason under this request_id."
    return Problem("internal_error", detail).response()
